"""Controllers by the names that a command line takes."""

from __future__ import annotations

from edge.controller.contract import Controller
from edge.controller.pinned import StaticController
from edge.errors import UsageError
from edge.simulate.compare import controllers
from edge.simulate.scenario import Scenario

_STATIC = "static:"


def player(name: str, scenario: Scenario) -> Controller:
    """`plan`, `ladder`, `tiers`, `alert`, or `static:VARIANT`. Raises UsageError for any other name."""
    made = controllers()
    if name in made:
        return made[name](scenario)
    ids = [variant.id for variant in scenario.physics.variants]
    if name.startswith(_STATIC) and name.removeprefix(_STATIC) in ids:
        return StaticController(name.removeprefix(_STATIC))
    statics = ", ".join(_STATIC + variant for variant in ids)
    raise UsageError(f"no controller is called {name!r}; known are {', '.join(made)}, {statics}")
