"""A scenario: a world, the goals stated in it, and what the sensors make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.controller.goals import Goals
from edge.simulate.world import AS_USUAL, Course, Physics


def faithful(value: float) -> float:
    """A gauge that shows what is."""
    return value


@dataclass(frozen=True)
class Senses:
    """What stands between the world and the controller: scatter, steps, and sensors that fall silent."""

    power_noise_w: float = 0.06
    temperature_noise_c: float = 0.15
    temperature_step_c: float = 0.1
    charge_step: float = 0.01
    gauge: Callable[[float], float] = faithful  # what the battery's gauge makes of the true charge
    counts_energy: bool = False  # whether the battery's gauge counts joules
    temperature_present: Course = AS_USUAL  # 1 or 0
    power_present: Course = AS_USUAL


@dataclass(frozen=True)
class Scenario:
    """What is run: for `seconds`, frames at `fps` times `pace`, decisions each `step_s`. `hides` names what the profile
    does not say: ``accuracy``, ``latency``, ``power``."""

    name: str
    physics: Physics
    goals: Goals
    senses: Senses = Senses()
    seconds: float = 1800.0
    fps: float = 5.0
    step_s: float = 1.0
    about: str = ""
    pace: Course = AS_USUAL
    hides: frozenset[str] = frozenset()

    def fps_at(self, at_s: float) -> float:
        """Frames a second that the source delivers now."""
        return self.fps * self.pace(at_s)
