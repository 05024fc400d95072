"""Scenarios in which the user allows fewer frames a second than the source gives. The oracle knows nothing of rates: it
serves every frame, so these are for looking at, and are not part of the comparison."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from edge.controller.goals import Goals
from edge.simulate.kit import Kit
from edge.simulate.scenario import Scenario
from edge.simulate.scenarios import base_physics, between, warm

_RATE_FIRST = ("temperature", "power", "deadline", "battery", "accuracy", "rate")


def battery_slower(rng: random.Random, kit: Kit) -> Scenario:
    """Less than the cheapest variant needs for every frame, more than it needs for one a second."""
    physics = base_physics(rng, kit)
    cheapest_w = between(physics, 0.0)
    need_w = physics.idle_w + rng.uniform(0.45, 0.85) * (cheapest_w - physics.idle_w)
    left_j = need_w * 3600
    goals = Goals(
        battery_hours=1.0, battery_critical=0.0, battery_capacity_wh=left_j / 0.8 / 3600, max_temperature_c=None,
        min_fps=1.0, allow_lower_fps=True,
    )  # fmt: skip
    return Scenario(
        "battery-slower", replace(physics, battery_j=left_j, full_j=left_j / 0.8), goals, seconds=3600,
        about="too little for every frame; down to one a second is allowed",
    )  # fmt: skip


def battery_rate_first(rng: random.Random, kit: Kit) -> Scenario:
    """The same want of energy as `battery`, but fewer frames are preferred to coarser ones."""
    physics = base_physics(rng, kit)
    left_j = between(physics, rng.uniform(0.2, 0.8)) * 3600
    goals = Goals(
        battery_hours=1.0, battery_critical=0.0, battery_capacity_wh=left_j / 0.8 / 3600, max_temperature_c=None,
        min_fps=1.0, allow_lower_fps=True, priorities=_RATE_FIRST,
    )  # fmt: skip
    return Scenario(
        "battery-rate", replace(physics, battery_j=left_j, full_j=left_j / 0.8), goals, seconds=3600,
        about="an hour to last; fewer frames are preferred to a less accurate variant",
    )  # fmt: skip


def hot_box_slower(rng: random.Random, kit: Kit) -> Scenario:
    """Too warm even for the cheapest variant at the full rate."""
    physics = base_physics(rng, kit)
    ambient = warm(physics, 70.0, rng.uniform(-0.12, -0.03))
    physics = replace(physics, ambient_c=lambda at_s: ambient, start_c=ambient + 2 * physics.resistance(0))
    goals = Goals(max_temperature_c=70.0, min_fps=1.0, allow_lower_fps=True)
    return Scenario(
        "hot-box-slower",
        physics,
        goals,
        seconds=2400,
        about="too warm for every frame; down to one a second is allowed",
    )


SLOWER: dict[str, Callable[[random.Random, Kit], Scenario]] = {
    "battery-slower": battery_slower,
    "battery-rate": battery_rate_first,
    "hot-box-slower": hot_box_slower,
}
