"""How little energy a controller needs for an accuracy: the same controller, given less and less to spend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from edge.controller.contract import Controller, Decision, Observation

_NS = 1e-9


@dataclass(frozen=True)
class PurseState:
    inner: Any
    left_j: float
    last_ns: int | None = None


class Purse:
    """Shows the controller a battery that holds `joules`, counted down by the power that it sees; all else is as it is.

    A battery of the board's own is not shown: what a panel gives that one may not be spent out of this one. A run that
    empties it serves nothing from then on, and so says for itself that it had less than `joules`.
    """

    def __init__(self, controller: Controller, joules: float) -> None:
        self.controller, self.joules = controller, joules

    def initial(self) -> PurseState:
        return PurseState(self.controller.initial(), self.joules)

    def decide(self, state: PurseState, seen: Observation) -> tuple[PurseState, Decision]:
        last_ns = seen.monotonic_ns if state.last_ns is None else state.last_ns
        left_j = max(0.0, state.left_j - (seen.power_w or 0.0) * (seen.monotonic_ns - last_ns) * _NS)
        shown = replace(seen, on_mains=False, battery_energy_j=left_j, battery=left_j / self.joules)
        inner, decision = self.controller.decide(state.inner, shown)
        return PurseState(inner, left_j, seen.monotonic_ns), decision


def energy_for(points: list[tuple[float, float]], accuracy: float) -> float | None:
    """Joules for `accuracy`, by straight lines between (accuracy, joules) of runs; None outside of them."""
    ordered = sorted(points)
    for (low, low_j), (high, high_j) in pairwise(ordered):
        if low <= accuracy <= high:
            return low_j if high == low else low_j + (high_j - low_j) * (accuracy - low) / (high - low)
    return None
