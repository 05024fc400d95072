"""How many frames a second: all that the source gives, or fewer, down to `min_fps`, where the user allows it.

The rate takes its place among the priorities. Before `accuracy`, as when it is not named, it gives way last: only when
even the cheapest variant draws more than may be drawn. After `accuracy` it gives way first: the most accurate variant
is kept for as long as any rate down to `min_fps` lets it. What is found is the highest rate of a fixed ladder that will
do; between two of its rungs the variants share time as they always do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge.controller.contract import Observation
from edge.controller.goals import Goals
from edge.controller.hull import Option
from edge.controller.plan.options import Choice
from edge.controller.plan.state import Learnt, PlanState

_NS = 1e-9
_STEP = 1.06  # from one rung to the next
_NO_GAIN = 1.02  # a rung this near the source's rate is not worth a change
_UPWARDS = 0.99  # of the permitted power: what must do before the rate rises, so that it does not swing

Rate = float | None  # frames a second; None: all of them


@dataclass(frozen=True)
class Pace:
    """The rate in force, and what the source gives."""

    max_fps: Rate
    source_fps: float


def paced(seen: Observation, max_fps: Rate) -> Observation:
    """The observation of a source that gives no more than `max_fps`."""
    if max_fps is None:
        return seen
    return replace(seen, camera_fps=max_fps if seen.camera_fps is None else min(seen.camera_fps, max_fps))


def source_fps(seen: Observation, learnt: Learnt) -> float:
    """What the source gives; one that waits gives as much as the quickest variant can serve."""
    if seen.camera_fps is not None:
        return seen.camera_fps
    known = [ms for c in seen.candidates if c.usable and (ms := learnt.latency.expected_ms(c.id)) is not None]
    return 1000.0 / max(1e-3, min(known, default=1000.0) + learnt.overhead_ms)


def ladder(full_fps: float, goals: Goals) -> tuple[Rate, ...]:
    """Rates to choose from, the highest first. Rungs are counted from `min_fps`, so that they stay where they are while
    the source's rate is measured anew."""
    if not goals.allow_lower_fps or goals.min_fps is None or full_fps <= _NO_GAIN * goals.min_fps:
        return (None,)
    rungs = math.ceil(math.log(full_fps / _NO_GAIN / goals.min_fps) / math.log(_STEP))
    return (None, *(goals.min_fps * _STEP**rung for rung in reversed(range(rungs))))


def wanted_rate(
    rates: tuple[Rate, ...], at: Callable[[Rate], Choice], power_w: float, goals: Goals, present: Rate
) -> Rate:
    """The highest rate that does with `power_w`; `at` tells what variants come to at a rate."""

    def does(rate: Rate, share: float) -> bool:
        return _does(at(rate), share * power_w, goals)

    place = _first(rates, lambda rate: does(rate, 1.0))
    here = _nearest(rates, present)
    if place < here:
        return rates[min(here, _first(rates, lambda rate: does(rate, _UPWARDS)))]
    return rates[place]


def turned(state: PlanState, wanted: Rate, seen: Observation, dwell_s: float, at_once: bool) -> PlanState:
    """The state with the rate that is in force from now on: the wanted one, once the present one had its dwell."""
    if state.rate_ns is None:
        return replace(state, max_fps=wanted, rate_ns=seen.monotonic_ns)
    waited_s = (seen.monotonic_ns - state.rate_ns) * _NS
    if wanted == state.max_fps or (waited_s < dwell_s and not at_once):
        return state
    return replace(state, max_fps=wanted, rate_ns=seen.monotonic_ns)


def _does(options: Choice, power_w: float, goals: Goals) -> bool:
    if {"temperature", "power"} & set(options.gave_up):
        return False
    if not _gives_way_first(goals):
        return min(option.power_w for option in options.fit) <= power_w
    best = _best(options)
    return best.power_w <= power_w and best.id in {option.id for option in options.fit}


def _best(options: Choice) -> Option:
    """The most accurate of those that no rate would bar."""
    barred = {*options.late, *options.coarse}
    return max([o for o in options.all if o.id not in barred] or options.all, key=lambda o: o.accuracy)


def _gives_way_first(goals: Goals) -> bool:
    order = goals.priorities
    return "rate" in order and "accuracy" in order and order.index("rate") > order.index("accuracy")


def _first(rates: tuple[Rate, ...], does: Callable[[Rate], bool]) -> int:
    """The place of the first rate that does, the last one's where none does. Less power is drawn the lower the rate,
    so halves will find it."""
    low, high = 0, len(rates) - 1
    while low < high:
        middle = (low + high) // 2
        if does(rates[middle]):
            high = middle
        else:
            low = middle + 1
    return low


def _nearest(rates: tuple[Rate, ...], present: Rate) -> int:
    """The place of the first rate that is no higher than the present one."""
    if present is None:
        return 0
    return next((place for place, rate in enumerate(rates) if rate is not None and rate <= present), len(rates) - 1)
