"""Small worlds with known constants."""

from __future__ import annotations

from typing import Any

from edge.controller.goals import Goals
from edge.simulate.scenario import Scenario
from edge.simulate.world import Physics, TrueVariant, flat

HIGH = TrueVariant("high", 0.6, 150.0, 3.0, 150.0, 6.0)
LOW = TrueVariant("low", 0.4, 50.0, 2.0, 50.0, 5.0)


def physics(**values: Any) -> Physics:
    """Two variants, no noise, room temperature."""
    usual: dict[str, Any] = {"variants": (HIGH, LOW), "idle_w": 3.0, "latency_noise": 1e-9, "tail_share": 0.0}
    return Physics(**{**usual, "resistance": flat(7.0), "ambient_c": flat(25.0), **values})


def world(goals: Goals | None = None, **values: Any) -> Scenario:
    """A scenario of 100 s at 5 frames a second; `values` beside the scenario's own go to the physics."""
    own = {name: values.pop(name) for name in ("seconds", "fps", "step_s", "senses", "hides", "pace") if name in values}
    free = goals or Goals(max_temperature_c=None, emergency_temperature_c=None)
    return Scenario("small", physics(**values), free, **{"seconds": 100.0, **own})


HIGH_W = 3.0 + 3.0 * 0.75  # at 5 frames a second
LOW_W = 3.0 + 2.0 * 0.25
