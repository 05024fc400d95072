"""Controllers decide which variant runs next; pure functions of what was seen and learnt."""

from edge.controller.contract import Candidate, Controller, Decision, FrameSeen, GoalStatus, Observation
from edge.controller.ladder import LadderController, LadderState, Limits, ladder_of
from edge.controller.pinned import PinnedController

__all__ = [
    "Candidate",
    "Controller",
    "Decision",
    "FrameSeen",
    "GoalStatus",
    "LadderController",
    "LadderState",
    "Limits",
    "Observation",
    "PinnedController",
    "ladder_of",
]
