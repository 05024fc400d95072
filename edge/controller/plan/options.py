"""Which variants may run at all now, and what is foretold of each."""

from __future__ import annotations

from dataclasses import dataclass

from edge.controller.contract import Candidate, Observation
from edge.controller.goals import Goals
from edge.controller.hull import Option
from edge.controller.plan.state import Learnt, PlanState

_ON_TIME_SPREADS = 2.45  # standard deviations of latency that must still meet the deadline: late less than 1 in 140
HEAT_MARGIN_C = 0.5
HEAT_SPREADS = 2.0  # standard deviations of the foretold temperature
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
    hot = tuple(o.id for o in options if _is_hot(o, learnt, goals))
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


def busy_share(latency_ms: float, learnt: Learnt, seen: Observation) -> float:
    """Share of time that a variant of this latency spends inferring at the source's pace."""
    if latency_ms <= 0:
        return 0.0
    if seen.camera_fps is None:
        return latency_ms / (latency_ms + learnt.overhead_ms)
    return min(1.0, latency_ms * seen.camera_fps / 1000.0)


def _is_late(option: Option, state: PlanState, learnt: Learnt, goals: Goals) -> bool:
    limit = goals.longest_ms
    if limit is None:
        return False
    spreads = _RETURN_SPREADS if option.id in state.late else _ON_TIME_SPREADS
    careful = learnt.latency.expected_ms(option.id, spreads)
    return careful is not None and careful > limit


def _is_hot(option: Option, learnt: Learnt, goals: Goals) -> bool:
    """Whether running `option` for a dwell would bring the chip over its limit: chips follow power within seconds."""
    if goals.max_temperature_c is None or not learnt.thermal.known:
        return False
    soon_c, spread_c = learnt.thermal.expected_c(option.power_w, max(goals.dwell_s, 2.0))
    return soon_c + HEAT_MARGIN_C + min(3.0, HEAT_SPREADS * spread_c) > goals.max_temperature_c


def _is_hungry(option: Option, learnt: Learnt, seen: Observation, goals: Goals) -> bool:
    if goals.max_power_w is None:
        return False
    spread_w = learnt.power.spread_w(option.id, busy_share(option.latency_ms, learnt, seen))
    # Where a variant has run for a while the spread is small; an unknown one is not tried at the limit.
    return option.power_w + spread_w > goals.max_power_w
