"""How much power may be drawn on the mean: what the battery's end and the temperature limit leave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge.controller.contract import GoalStatus, Observation
from edge.controller.goals import Goals
from edge.controller.hull import Option
from edge.controller.plan.options import heat_margin_c
from edge.controller.plan.state import Learnt, PlanState

_NS = 1e-9
_DAY_S = 86_400.0
_STRANGE_C = 6.0  # below the limit: no nearer before the board's heat is learnt
_RESERVE = 0.003  # of what is left in the battery: gauges end early
_PATIENCE_S = 30.0
_LASTS = 0.98  # of the time wanted: near enough
_HOPE_SPREADS = 1.65  # standard deviations of what is believed


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


def next_instant(seen: Observation, goals: Goals) -> float | None:
    """The next occurrence of `last_until`, in seconds since 1970; None while the clock is not synchronised."""
    if goals.last_until_s is None or seen.utc_s is None:
        return None
    local_s = seen.utc_s + seen.utc_offset_s
    end_s = math.floor(local_s / _DAY_S) * _DAY_S + goals.last_until_s
    return (end_s if end_s > local_s else end_s + _DAY_S) - seen.utc_offset_s


def saving_budget(options: Sequence[Option], seen: Observation, goals: Goals) -> Budget:
    """Where nobody said how long the battery must last: ever less the emptier it is, from the dearest variant's power
    at `battery_saving_from` to the cheapest one's at `battery_critical`."""
    charge, begin, end = seen.battery, goals.battery_saving_from, goals.battery_critical
    stated = goals.battery_hours is not None or goals.last_until_s is not None
    if stated or charge is None or seen.on_mains or charge >= begin or begin <= end:
        return Budget("battery", None, "")
    low_w, high_w = min(o.power_w for o in options), max(o.power_w for o in options)
    share = max(0.0, (charge - end) / (begin - end))
    text = f"the battery is at {100 * charge:.0f} %, saving from {100 * begin:.0f} %"
    return Budget("battery", low_w + share * (high_w - low_w), text)


def seconds_to_last(state: PlanState, seen: Observation, goals: Goals) -> float | None:
    """Until when the battery must last, from now; None where nobody asks or the clock is not known."""
    ends = []
    if goals.battery_hours is not None:
        ends.append(goals.battery_hours * 3600 - (seen.monotonic_ns - state.start_ns) * _NS)
    if state.until_utc_s is not None and seen.utc_s is not None:
        ends.append(state.until_utc_s - seen.utc_s)
    return min(ends) if ends else None


def heat_budget(learnt: Learnt, goals: Goals, within_s: float) -> Budget:
    """The constant power that stays under the temperature limit, with a margin for what the model does not know."""
    limit_c = goals.max_temperature_c
    if limit_c is None:
        return Budget("temperature", None, "")
    now_c = learnt.standstill.temperature_c
    now = f"temperature {'unknown' if now_c is None else f'{now_c:.1f} °C'} (limit {limit_c:g} °C)"
    if not learnt.thermal.known:
        near = now_c is not None and now_c > limit_c - _STRANGE_C
        text = f"{now}, and how this board warms up is not learnt yet"
        return Budget("temperature", 0.0 if near else None, text if near else "")
    forecast = learnt.thermal.forecast(within_s)
    margin_c = heat_margin_c(learnt, forecast, learnt.thermal.power_w)
    watts = max(0.0, forecast.permitted_w(limit_c - margin_c) - learnt.draw.rest_w)
    return Budget("temperature", watts, f"{now}: {watts:.2f} W permitted")


def battery_status(
    state: PlanState,
    learnt: Learnt,
    seen: Observation,
    goals: Goals,
    power_w: float,
    least_w: float,
    least_spread_w: float = 0.0,
) -> GoalStatus | None:
    """Whether the battery will last, at `power_w`; `least_w` is what the cheapest variant draws, `least_spread_w` one
    standard deviation of it."""
    if goals.battery_hours is None and goals.last_until_s is None:
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
    wanted_h = left_s / 3600
    hoped_h = _hoped_h(learnt, left_s, left_j, least_w, least_spread_w)
    if hoped_h < _LASTS * wanted_h:
        return GoalStatus(
            "battery", "not feasible", f"{_long(hoped_h, wanted_h)} at the most of {_long(wanted_h, wanted_h)} wanted"
        )
    drain_w = max(power_w, least_w) - learnt.battery.expected_gain_w(left_s)
    if drain_w <= 0:
        return GoalStatus("battery", "met", "on course, more flows in than is drawn")
    expected_h = left_j / drain_w / 3600
    text = f"{_long(expected_h, wanted_h)} expected of {_long(wanted_h, wanted_h)} wanted"
    if expected_h < _LASTS * wanted_h:
        return GoalStatus("battery", "at risk", text)
    return GoalStatus("battery", "met", f"on course, {text}")


def _long(hours: float, wanted_h: float) -> str:
    """In hours, or in minutes where no more than an hour is wanted."""
    return f"{hours:.1f} h" if wanted_h > 1 else f"{60 * hours:.0f} min"


def _hoped_h(learnt: Learnt, left_s: float, left_j: float, least_w: float, least_spread_w: float) -> float:
    """Hours with the cheapest variant at the hopeful end of what is believed of capacity, power and inflow. Only what
    not even these give is called not feasible: who reads that gives up."""
    drain_w = max(1e-6, least_w - learnt.battery.hoped_gain_w(left_s))
    doubt_j = math.hypot(learnt.battery.left_spread_j, left_j * least_spread_w / drain_w)
    return (left_j + _HOPE_SPREADS * doubt_j) / drain_w / 3600


def patient(learnt: Learnt, statuses: tuple[GoalStatus, ...]) -> tuple[GoalStatus, ...]:
    """Where the gauge counts joules, nothing is called not feasible before it was seen for half a minute whether
    something flows in; it is at risk until then."""
    battery = learnt.battery
    if battery.counted_j is None or battery.gain_seen_s >= _PATIENCE_S:
        return statuses
    hasty = [s for s in statuses if s.goal == "battery" and s.state == "not feasible"]
    return tuple(replace(status, state="at risk") if status in hasty else status for status in statuses)
