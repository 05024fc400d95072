"""A scenario: a world, the goals stated in it, and what the sensors make of it."""

from __future__ import annotations

from dataclasses import dataclass

from edge.controller.goals import Goals
from edge.simulate.world import AS_USUAL, Course, Physics


@dataclass(frozen=True)
class Senses:
    """What stands between the world and the controller. `lost(channel, at_s)` says whether a sensor is silent."""

    power_noise_w: float = 0.06
    temperature_noise_c: float = 0.15
    temperature_step_c: float = 0.1
    charge_step: float = 0.01
    counts_energy: bool = False  # whether the battery's gauge counts joules
    temperature_present: Course = AS_USUAL  # 1 or 0
    power_present: Course = AS_USUAL


@dataclass(frozen=True)
class Scenario:
    """What is run: for `seconds`, frames at `fps`, decisions each `step_s`."""

    name: str
    physics: Physics
    goals: Goals
    senses: Senses = Senses()
    seconds: float = 1800.0
    fps: float = 5.0
    step_s: float = 1.0
    about: str = ""
