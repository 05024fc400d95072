"""How much power may be drawn on the mean: what the battery's end and the temperature limit leave."""

from __future__ import annotations

from dataclasses import dataclass

from edge.controller.contract import GoalStatus, Observation
from edge.controller.goals import Goals
from edge.controller.plan.options import HEAT_MARGIN_C, HEAT_SPREADS
from edge.controller.plan.state import Learnt, PlanState

_NS = 1e-9
_STRANGE_C = 6.0  # below the limit: no nearer before the board's heat is learnt
_RESERVE = 0.01  # of what is left in the battery: gauges end early


@dataclass(frozen=True)
class Budget:
    """A permitted mean power and where it comes from; `power_w` None where the limit binds nothing."""

    goal: str
    power_w: float | None
    text: str


def battery_budget(state: PlanState, learnt: Learnt, seen: Observation, goals: Goals) -> Budget:
    """What is left in the battery over the time that it must last."""
    left_s = seconds_to_last(state, seen, goals)
    left_j = learnt.battery.left_j
    if left_s is None or seen.on_mains:
        return Budget("battery", None, "")
    if left_j is None:
        return Budget("battery", None, "the battery's charge is unknown")
    if left_s <= 0:
        return Budget("battery", None, "the battery has lasted as long as it was asked to")
    reserve_j = goals.battery_critical * learnt.battery.capacity_j if learnt.battery.counted_j is None else 0.0
    watts = max(0.0, left_j * (1 - _RESERVE) - reserve_j) / left_s + learnt.battery.expected_gain_w(left_s)
    return Budget("battery", watts, f"the battery has {left_j / 3600:.1f} Wh for {left_s / 3600:.1f} h: {watts:.2f} W")


def seconds_to_last(state: PlanState, seen: Observation, goals: Goals) -> float | None:
    """Until when the battery must last, from now; None where nobody asks or the clock is not known."""
    ends = []
    if goals.battery_hours is not None:
        ends.append(goals.battery_hours * 3600 - (seen.monotonic_ns - state.start_ns) * _NS)
    if goals.last_until_utc_s is not None and seen.utc_s is not None:
        ends.append(goals.last_until_utc_s - seen.utc_s)
    return min(ends) if ends else None


def heat_budget(learnt: Learnt, goals: Goals, within_s: float) -> Budget:
    """The constant power that stays under the temperature limit, with a margin for what the model does not know."""
    limit_c = goals.max_temperature_c
    if limit_c is None:
        return Budget("temperature", None, "")
    if not learnt.thermal.known:
        near = learnt.standstill.temperature_c is not None and learnt.standstill.temperature_c > limit_c - _STRANGE_C
        text = f"close to {limit_c:g} °C, and how this board warms up is not learnt yet"
        return Budget("temperature", 0.0 if near else None, text if near else "")
    _, spread_c = learnt.thermal.expected_c(learnt.thermal.power_w, within_s)
    careful_c = limit_c - HEAT_MARGIN_C - min(3.0, HEAT_SPREADS * spread_c)
    watts = learnt.thermal.permitted_w(careful_c, within_s)
    return Budget("temperature", max(0.0, watts), f"{limit_c:g} °C permit {max(0.0, watts):.2f} W now")


def battery_status(
    state: PlanState, learnt: Learnt, seen: Observation, goals: Goals, power_w: float, least_w: float
) -> GoalStatus | None:
    """Whether the battery will last, at `power_w`; `least_w` is what the cheapest variant draws."""
    if goals.battery_hours is None and goals.last_until_utc_s is None:
        return None
    left_s = seconds_to_last(state, seen, goals)
    if left_s is None:
        text = "last_until is not known yet: the clock is not synchronised; nothing is saved for it meanwhile"
        return GoalStatus("battery", "unknown", text)
    if seen.on_mains:
        return GoalStatus("battery", "met", "on mains")
    left_j = learnt.battery.left_j
    if left_j is None:
        return GoalStatus("battery", "unknown", "the battery's charge is unknown")
    if left_s <= 0:
        return GoalStatus("battery", "met", "it has lasted as long as it was asked to")
    gain_w = learnt.battery.expected_gain_w(left_s)
    best_h, wanted_h = left_j / max(1e-6, least_w - gain_w) / 3600, left_s / 3600
    if best_h < 0.98 * wanted_h:
        return GoalStatus("battery", "not feasible", f"{best_h:.1f} h at the most of {wanted_h:.1f} h wanted")
    expected_h = min(best_h, max(left_j / max(1e-6, power_w - gain_w) / 3600, 0.0))
    if expected_h < 0.98 * wanted_h:
        return GoalStatus("battery", "at risk", f"{expected_h:.1f} h expected of {wanted_h:.1f} h wanted")
    return GoalStatus("battery", "met", f"on course, {expected_h:.1f} h expected of {wanted_h:.1f} h wanted")
