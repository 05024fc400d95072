"""Which variants may run at all now, and what is foretold of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.controller.contract import Candidate, Observation
from edge.controller.goals import Goals
from edge.controller.hull import Option
from edge.controller.learn.thermal import Forecast
from edge.controller.plan.state import Learnt, PlanState, busy_share

ON_TIME_SPREADS = 2.45  # standard deviations of latency that must still meet the deadline: late less than 1 in 140
HEAT_MARGIN_C = 0.25
HEAT_SPREADS = 2.0  # standard deviations of the foretold temperature
_BLIND_SPREADS = 3.0
_MOST_DOUBT_C = 3.0  # what is hardly learnt must not keep everything from running
POWER_SPREADS = 2.0  # standard deviations of a variant's power that must still keep a power limit
_RETURN_SPREADS = 2.8  # before a variant that was late is trusted again


@dataclass(frozen=True)
class Choice:
    """`all`: every usable variant; `fit`: those that meet every limit of their own; `late`, `hungry`, `hot`, `coarse`:
    ids barred by deadline, power, temperature and accuracy; `gave_up` names limits that had to give way."""

    all: tuple[Option, ...]
    fit: tuple[Option, ...]
    late: tuple[str, ...]
    hungry: tuple[str, ...]
    hot: tuple[str, ...]
    coarse: tuple[str, ...]
    gave_up: tuple[str, ...]


def choice(state: PlanState, learnt: Learnt, seen: Observation, goals: Goals) -> Choice:
    """Bar variants limit by limit, in the order of the priorities; a limit that would leave none gives way.

    Raises ValueError when no candidate is usable.
    """
    usable = [c for c in seen.candidates if c.usable]
    if not usable:
        raise ValueError("no usable variant is left")
    options = [_option(c, learnt, seen) for c in usable]
    late = tuple(o.id for o in options if _is_late(o, state, learnt, goals))
    hungry = tuple(o.id for o in options if _is_hungry(o, learnt, seen, goals))
    hot = _hot(options, learnt, seen, goals)
    coarse = tuple(o.id for o in options if goals.min_accuracy is not None and o.accuracy < goals.min_accuracy)
    fit, gave_up = options, []
    barred = {"temperature": hot, "power": hungry, "deadline": late, "accuracy": coarse}
    for name in (name for name in goals.priorities if name in barred):
        left = [o for o in fit if o.id not in barred[name]]
        if left:
            fit = left
        elif barred[name]:
            gave_up.append(name)
            fit = _least_bad(name, fit)
    return Choice(tuple(options), tuple(fit), late, hungry, hot, coarse, tuple(gave_up))


def _least_bad(name: str, options: list[Option]) -> list[Option]:
    key = {
        "temperature": lambda o: o.power_w,
        "power": lambda o: o.power_w,
        "deadline": lambda o: o.latency_ms,
        "accuracy": lambda o: -o.accuracy,
    }[name]
    return [min(options, key=key)]


def _option(candidate: Candidate, learnt: Learnt, seen: Observation) -> Option:
    latency_ms = learnt.latency.expected_ms(candidate.id) or 0.0
    watts = learnt.power.power_w(candidate.id, busy_share(latency_ms, learnt, seen))
    return Option(candidate.id, merit(candidate), latency_ms, 0.0 if watts is None else watts)


def merit(candidate: Candidate) -> float:
    """Accuracy; where it is unknown, more multiply-accumulates are taken for better, below every known accuracy."""
    if candidate.accuracy is not None and 0 <= candidate.accuracy <= 1:
        return candidate.accuracy
    return -1.0 / (1.0 + (candidate.macs or 0))


def _is_late(option: Option, state: PlanState, learnt: Learnt, goals: Goals) -> bool:
    limit = goals.longest_ms
    if limit is None:
        return False
    spreads = _RETURN_SPREADS if option.id in state.late else ON_TIME_SPREADS
    careful = learnt.latency.expected_ms(option.id, spreads)
    return careful is not None and careful > limit


def _hot(options: list[Option], learnt: Learnt, seen: Observation, goals: Goals) -> tuple[str, ...]:
    """Options that would bring the chip over its limit within a dwell, or at once if the load rose as it has before:
    chips follow power within seconds."""
    limit_c = goals.max_temperature_c
    if limit_c is None or not learnt.thermal.known:
        return ()
    soon, chip_k_per_w = learnt.thermal.forecast(max(goals.dwell_s, 2.0)), learnt.thermal.forecast(0.0).driven_k_per_w

    def reckoned_c(option: Option) -> float:
        expected_c = careful_c(learnt, soon, option.power_w + learnt.draw.rest_w)
        return expected_c + chip_k_per_w * worst_w(option, learnt, seen)

    return tuple(option.id for option in options if reckoned_c(option) > limit_c)


def worst_w(option: Option, learnt: Learnt, seen: Observation) -> float:
    """By how many watts `option` may suddenly draw more than is foretold."""
    dynamic_w = learnt.power.dynamic_w(option.id) or 0.0
    return learnt.surprise.worst_w(dynamic_w, busy_share(option.latency_ms, learnt, seen))


def careful_c(learnt: Learnt, forecast: Forecast, power_w: float) -> float:
    """The temperature that must be reckoned with."""
    return forecast.mean_c(power_w) + heat_margin_c(learnt, forecast, power_w)


def heat_margin_c(learnt: Learnt, forecast: Forecast, power_w: float) -> float:
    """What is kept clear of the limit: for the model's doubt, and by how much readings lie above it just now."""
    blind_c = learnt.thermal.blind_c
    # What a coarse sensor hides stays hidden for minutes, where a fine one would show it in the next second.
    spreads = _BLIND_SPREADS if blind_c else HEAT_SPREADS
    doubt_c = min(_MOST_DOUBT_C + blind_c, spreads * forecast.spread_c(power_w))
    return HEAT_MARGIN_C + doubt_c + learnt.thermal.above_c


def spread_w(option: Option, learnt: Learnt, seen: Observation) -> float:
    """One standard deviation of the power foretold for `option`."""
    busy = busy_share(option.latency_ms, learnt, seen)
    return learnt.power.spread_w(option.id, busy, learnt.latency.own_spread(option.id))


def power_margin_w(option: Option, learnt: Learnt, seen: Observation) -> float:
    """What a power limit is kept clear of `option` by, beyond what is foretold of it.

    The model's doubt and a surprise are added as independent errors are: doubt ends within seconds of a trial, a
    surprise comes once in minutes, and both at their largest at once is not what a limit can be kept clear of for ever.
    """
    doubt_w = POWER_SPREADS * spread_w(option, learnt, seen)
    return learnt.draw.surely_beside_w + math.hypot(doubt_w, worst_w(option, learnt, seen))


def _is_hungry(option: Option, learnt: Learnt, seen: Observation, goals: Goals) -> bool:
    """Whether `option` may draw more than the power limit."""
    if goals.max_power_w is None:
        return False
    return option.power_w + power_margin_w(option, learnt, seen) > goals.max_power_w
