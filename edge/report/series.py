"""Points over time, gathered into a bounded number of buckets with their extremes kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MOST_POINTS = 3000  # of one trace


@dataclass(frozen=True)
class Series:
    """Points ready to be drawn: times and means of one length; `low` and `high` where points stand for many."""

    times_s: Floats
    means: Floats
    low: Floats | None = None
    high: Floats | None = None


class Buckets:
    """Values by time, `count` buckets over [0, span_s]; memory does not grow with what is added."""

    def __init__(self, span_s: float, count: int) -> None:
        self._width_s = max(span_s, 1e-9) / count
        self._count = count
        self._sums = np.zeros(count)
        self._numbers = np.zeros(count, dtype=np.int64)
        self._low = np.full(count, np.inf)
        self._high = np.full(count, -np.inf)

    def add(self, times_s: Floats, values: Floats, low: Floats | None = None, high: Floats | None = None) -> None:
        """Add points of equal length; `low` and `high` where each is itself a mean of many."""
        places = self.places(times_s)
        self._sums += np.bincount(places, values, self._count)
        self._numbers += np.bincount(places, minlength=self._count)
        np.minimum.at(self._low, places, values if low is None else low)
        np.maximum.at(self._high, places, values if high is None else high)

    def places(self, times_s: Floats) -> npt.NDArray[np.int64]:
        """The bucket of each time."""
        return np.clip((times_s / self._width_s).astype(np.int64), 0, self._count - 1)

    def totals(self) -> Floats:
        """The sum of each bucket."""
        return self._sums

    def series(self) -> Series:
        """One point for each bucket that holds something, in its middle."""
        filled = np.flatnonzero(self._numbers)
        return Series(
            np.asarray((filled + 0.5) * self._width_s, dtype=np.float64),
            self._sums[filled] / self._numbers[filled],
            self._low[filled],
            self._high[filled],
        )


class Gathered:
    """Points over time, drawn one by one when they are few, in buckets when they are many."""

    def __init__(self, span_s: float, expected: int, most_points: int) -> None:
        self._buckets = Buckets(span_s, most_points // 2) if expected > most_points else None
        self._times: list[Floats] = []
        self._values: list[Floats] = []
        self._low: list[Floats] = []
        self._high: list[Floats] = []

    def add(self, times_s: Floats, values: Floats, low: Floats | None = None, high: Floats | None = None) -> None:
        """Add points in order of time."""
        if self._buckets is not None:
            self._buckets.add(times_s, values, low, high)
            return
        self._times.append(times_s)
        self._values.append(values)
        if low is not None and high is not None:
            self._low.append(low)
            self._high.append(high)

    def series(self) -> Series:
        """What there is to draw."""
        if self._buckets is not None:
            return self._buckets.series()
        times, values = _joined(self._times), _joined(self._values)
        if not self._low:
            return Series(times, values)
        return Series(times, values, _joined(self._low), _joined(self._high))


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.zeros(0)
