"""A scenario by its name, with constants drawn from a seed."""

from __future__ import annotations

import random

from edge.simulate.held_out import HELD_OUT
from edge.simulate.kit import Kit
from edge.simulate.scenario import Scenario
from edge.simulate.scenarios import SCENARIOS
from edge.simulate.slower import SLOWER


def draw(name: str, seed: int, kit: Kit | None = None) -> Scenario:
    """The scenario `name` of any list. Raises KeyError for an unknown name."""
    return (SCENARIOS.get(name) or SLOWER.get(name) or HELD_OUT[name])(random.Random(f"{name}-{seed}"), kit or Kit())
