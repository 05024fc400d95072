"""Interleaved rounds: A B C, A B C, ... so that whatever the machine does meanwhile meets every contestant alike.

A ratio is taken round by round, between neighbours in time, and its interval is found by drawing rounds again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000


@dataclass(frozen=True)
class Spread:
    """The middle of some measurements, and between which values the middle 80 % of them lie."""

    count: int
    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ValueError for no values."""
        if not values:
            raise ValueError("no measurements to summarise")
        p10, median, p90 = np.percentile(np.asarray(values, np.float64), [10, 50, 90])
        return cls(len(values), float(median), float(p10), float(p90))


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios with a 95 % bootstrap interval (percentile method, over rounds)."""

    median: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


@dataclass(frozen=True)
class Rounds:
    """One value for each contestant and round, all in one unit."""

    values: Mapping[str, tuple[float, ...]]

    def spread(self, name: str) -> Spread:
        """Summary of one contestant."""
        return Spread.of(self.values[name])

    def ratio(self, above: str, below: str, seed: int = 0) -> Ratio:
        """`above` / `below`, paired by round: how many times faster `below` is, when values are times."""
        return paired_ratio(self.values[above], self.values[below], seed)


def paired_ratio(above: Sequence[float], below: Sequence[float], seed: int = 0) -> Ratio:
    """The median of ``above[i] / below[i]`` and its interval. Raises ValueError for unpaired or no values."""
    if len(above) != len(below) or not above:
        raise ValueError(f"ratios need pairs, got {len(above)} and {len(below)} values")
    ratios = np.asarray(above, np.float64) / np.asarray(below, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(ratios), (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[drawn], axis=1), [2.5, 97.5])
    return Ratio(float(np.median(ratios)), float(low), float(high), len(ratios))


def interleave(
    contestants: Mapping[str, Callable[[], float]],
    rounds: int,
    *,
    on_round: Callable[[int], None] = lambda done: None,
) -> Rounds:
    """Let every contestant measure itself once a round, in the given order. Raises ValueError for no rounds.

    A contestant settles (caches, clocks) before it measures: that is its own affair, since only it knows how.
    """
    if rounds < 1:
        raise ValueError(f"at least one round is needed, not {rounds}")
    values: dict[str, list[float]] = {name: [] for name in contestants}
    for done in range(1, rounds + 1):
        for name, measure in contestants.items():
            values[name].append(measure())
        on_round(done)
    return Rounds({name: tuple(measured) for name, measured in values.items()})
