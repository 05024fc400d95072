"""Budgets of time: what the user asked for, and the path that meets each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.search.contract import Measured
from edge.errors import UsageError


@dataclass(frozen=True)
class Budget:
    """At most so many milliseconds an inference; `asked` is how the user put it."""

    asked: str
    latency_ms: float


@dataclass(frozen=True)
class Met:
    """The most accurate path within a budget, or the nearest one and why it must do."""

    budget: Budget
    path: Measured
    reason: str | None = None


def parse_numbers(option: str, text: str | None, above: float) -> tuple[float, ...]:
    """Numbers joined by commas, each above `above`; raises UsageError naming the option."""
    if text is None:
        return ()
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(above < number < 1e6 for number in numbers):
        raise UsageError(f"{option} {text!r}: expected numbers above {above:g} joined by commas, such as 2,3,5")
    return numbers


def budgets(latencies_ms: Sequence[float], speedups: Sequence[float], full_ms: float) -> tuple[Budget, ...]:
    """The budgets of both kinds, the loosest first; a speed-up is over the folded full path."""
    asked = [Budget(f"{ms:g} ms", ms) for ms in latencies_ms]
    asked += [Budget(f"{ratio:g}x", full_ms / ratio) for ratio in speedups]
    return tuple(sorted(asked, key=lambda budget: -budget.latency_ms))


def meet(budget: Budget, found: Sequence[Measured]) -> Met:
    """The most accurate of `found` within the budget; the fastest when none is, with the words to say so."""
    within = [each for each in found if each.latency_ms <= budget.latency_ms]
    if within:
        return Met(budget, max(within, key=lambda each: (each.accuracy, -each.latency_ms)))
    nearest = min(found, key=lambda each: (each.latency_ms, -each.accuracy))
    return Met(
        budget,
        nearest,
        f"{budget.asked} ({budget.latency_ms:.1f} ms) cannot be met: the fastest path found takes "
        f"{nearest.latency_ms:.1f} ms at {100 * nearest.accuracy:.1f} %; it is offered instead",
    )
