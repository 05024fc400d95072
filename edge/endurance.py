"""How long the battery lasts: from the energy left and the power drawn, with a range that is meant to be true.

The range holds with about 90 %. It has two parts. How the load will be on average until the end is guessed from how it
was: the last minutes are cut into batches, and the mean of the future is within Student's t times
``s * sqrt(1/n + 1/m)`` of the mean of the past (n batches seen, m batches to come), as long as the load goes on as it
was. Batches are long so that a load which swings for tens of seconds counts as swinging, not as certain. And what is
left is known only to a share of a full pack: gauges err by a few hundredths, a voltage curve by two tenths.

Where no power is known, the fall of the charge over hours takes its place; a curve bends that fall, so the range is
wide.
Nothing here knows of a load that changes: a variant that is switched makes the old minutes wrong until they are gone.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from boards.sensor import Method

# Errors of a state of charge, as a share of a full pack. A learnt gauge is off by a few hundredths. A curve of another
# cell was off by up to 0.18 on two recorded discharges of one robot (docs/batteries.md); both constants were chosen on
# them. A voltmeter that is off makes any curve worse.
GAUGE_ERROR = 0.05
CURVE_ERROR = 0.18
# A curve's slope is not the pack's, so that a fall seen in one part of it says less of another.
CURVE_BEND = 1.6

# Student's t, two-sided 95 %, by degrees of freedom: more than the 90 % that are stated, because batches of a load that
# remembers are not independent. In 1,500 simulated loads 93 % held, 87 % of those that remember for a minute.
_T = {3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365}
_BATCHES = 8
_FEWEST = 5
_WANTED_BATCH_S = 60.0  # shorter ones only where there is no more to see
_LEAST_BUCKET_S = 5.0
_MOST_BUCKETS = 720


@dataclass(frozen=True)
class Amount:
    """What is left, in joules or in shares of a full pack, and how far it may be off (same unit)."""

    value: float
    error: float = 0.0


@dataclass(frozen=True)
class Use:
    """Mean use a second, in the amount's unit, and the factor (1 or more) by which the future's mean may differ."""

    per_s: float
    factor: float = 1.0


@dataclass(frozen=True)
class TimeToEmpty:
    """Seconds until empty: likely, and the ends of the 90 % range. `basis` is ``power`` or ``charge``."""

    low_s: float
    likely_s: float
    high_s: float
    method: Method
    basis: str


def time_to_empty(left: Amount, use: Use, method: Method, basis: str) -> TimeToEmpty | None:
    """The range from what is left and how fast it goes; None where nothing is used, so that no end can be told."""
    if not (use.per_s > 0 and use.factor >= 1 and left.value >= 0 and left.error >= 0):
        return None
    if not all(map(math.isfinite, (left.value, left.error, use.per_s, use.factor))):
        return None
    low_s = max(0.0, left.value - left.error) / (use.per_s * use.factor)
    high_s = (left.value + left.error) * use.factor / use.per_s
    return TimeToEmpty(low_s, left.value / use.per_s, high_s, method, basis)


def expected_use(batches: Sequence[float], batch_s: float, left: float) -> Use | None:
    """The future's mean use, from the means of equally long batches of the past; None for too few of them.

    The number of batches to come follows from what is left and the mean.
    """
    if len(batches) < _FEWEST:
        return None
    mean = fmean(batches)
    if mean <= 0 or batch_s <= 0:
        return None
    to_come = max(left / mean / batch_s, 1e-3)
    half = _T[min(len(batches) - 1, 7)] * stdev(batches) * math.sqrt(1 / len(batches) + 1 / to_come)
    return Use(mean, 1 + half / mean)


def fall(batches: Sequence[tuple[float, float]], step: float) -> Use | None:
    """How fast a charge falls, from (second, mean charge) of batches: a line by least squares, with Student's range.

    `step` is the smallest step of the gauge: over the whole stretch the fall is uncertain by one of them.
    """
    if len(batches) < _FEWEST:
        return None
    seconds, charges = zip(*batches, strict=True)
    middle_s, middle = fmean(seconds), fmean(charges)
    spread = sum((second - middle_s) ** 2 for second in seconds)
    slope = sum((second - middle_s) * (charge - middle) for second, charge in batches) / spread
    rest = sum((charge - middle - slope * (second - middle_s)) ** 2 for second, charge in batches)
    freedom = len(batches) - 2
    half = _T[min(freedom, 7)] * math.sqrt(rest / freedom / spread) + step / (seconds[-1] - seconds[0])
    if -slope <= half:
        return None  # it may as well not fall at all
    return Use(-slope, 1 / (1 - half / -slope))


@dataclass
class _Bucket:
    at_ns: int
    total: float
    count: int

    @property
    def mean(self) -> float:
        return self.total / self.count


class _Recent:
    """Means over 5 s or longer of the last `window_s` seconds."""

    def __init__(self, window_s: float) -> None:
        self._window_ns = round(window_s * 1e9)
        self._bucket_ns = round(max(_LEAST_BUCKET_S, window_s / _MOST_BUCKETS) * 1e9)
        self._buckets: deque[_Bucket] = deque()

    def add(self, at_ns: int, value: float) -> None:
        last = self._buckets[-1] if self._buckets else None
        if last is not None and at_ns - last.at_ns < self._bucket_ns:
            last.total += value
            last.count += 1
            return
        self._buckets.append(_Bucket(at_ns, value, 1))
        while at_ns - self._buckets[0].at_ns > self._window_ns:
            self._buckets.popleft()

    def clear(self) -> None:
        self._buckets.clear()

    @property
    def span_s(self) -> float:
        return (self._buckets[-1].at_ns - self._buckets[0].at_ns) * 1e-9 if self._buckets else 0.0

    def batches(self) -> list[tuple[float, float]]:
        """(middle in seconds since the first, mean) of five to eight equally long batches that hold a sample."""
        if len(self._buckets) < 2:
            return []
        start_ns, span_s = self._buckets[0].at_ns, self.span_s
        count = max(_FEWEST, min(_BATCHES, int(span_s / _WANTED_BATCH_S)))
        parts: list[list[float]] = [[] for _ in range(count)]
        for bucket in self._buckets:
            share = (bucket.at_ns - start_ns) * 1e-9 / span_s
            parts[min(count - 1, int(share * count))].append(bucket.mean)
        length_s = span_s / count
        return [((number + 0.5) * length_s, fmean(part)) for number, part in enumerate(parts) if part]


class Endurance:
    """Fed with what is known each few seconds; answers with the time to empty, or None as long as it is not known.

    `power_w` is to be the whole draw from the battery (its own discharge, a rail behind which the board lies, or a
    calibrated one): a partial sum would promise too long. Where the supply is on mains nothing is told, and what was
    seen before is forgotten.
    """

    def __init__(
        self,
        *,
        charge_method: Method = Method.MEASURED,
        power_method: Method = Method.MEASURED,
        charge_error: float | None = None,
        power_window_s: float = 900.0,
        charge_window_s: float = 6 * 3600.0,
        least_span_s: float = 180.0,
    ) -> None:
        """`charge_error` is the charge's error as a share of a full pack; by default what its method deserves."""
        modelled = charge_method is Method.MODELLED
        self._charge_method = charge_method
        self._power_method = power_method
        self._error = charge_error if charge_error is not None else (CURVE_ERROR if modelled else GAUGE_ERROR)
        self._bend = CURVE_BEND if modelled else 1.0
        self._least_span_s = least_span_s
        self._power = _Recent(power_window_s)
        self._charge = _Recent(charge_window_s)
        self._step = math.inf
        self._last_ratio: float | None = None
        self._remaining_j: float | None = None
        self._ratio: float | None = None

    def feed(
        self,
        monotonic_ns: int,
        *,
        remaining_j: float | None = None,
        ratio: float | None = None,
        power_w: float | None = None,
        on_mains: bool | None = None,
    ) -> None:
        """What is known now; None for what is not. `ratio` is the charge, 0..1."""
        if on_mains:
            self.forget()
            return
        self._remaining_j, self._ratio = remaining_j, ratio
        if power_w is not None and power_w > 0:
            self._power.add(monotonic_ns, power_w)
        if ratio is not None:
            if self._last_ratio is not None and ratio != self._last_ratio:
                self._step = min(self._step, abs(ratio - self._last_ratio))
            self._last_ratio = ratio
            self._charge.add(monotonic_ns, ratio)

    def forget(self) -> None:
        """The past says nothing of the future any more: on mains, or after the load was changed on purpose."""
        self._power.clear()
        self._charge.clear()
        self._step, self._last_ratio = math.inf, None
        self._remaining_j = self._ratio = None

    def estimate(self) -> TimeToEmpty | None:
        """The time to empty: by power where the energy left is known, else by the fall of the charge, else None."""
        return self._by_power() or self._by_charge()

    def _by_power(self) -> TimeToEmpty | None:
        if self._remaining_j is None or self._power.span_s < self._least_span_s:
            return None
        means = [mean for _, mean in self._power.batches()]
        use = expected_use(means, self._power.span_s / max(len(means), 1), self._remaining_j)
        if use is None:
            return None
        full_j = self._remaining_j / self._ratio if self._ratio else self._remaining_j
        left = Amount(self._remaining_j, self._error * full_j)
        return time_to_empty(left, use, min(self._charge_method, self._power_method), "power")

    def _by_charge(self) -> TimeToEmpty | None:
        if self._ratio is None or self._charge.span_s < 4 * self._least_span_s:
            return None
        use = fall(self._charge.batches(), self._step if math.isfinite(self._step) else 0.0)
        if use is None:
            return None
        bent = Use(use.per_s, use.factor * self._bend)
        return time_to_empty(
            Amount(self._ratio, self._error), bent, min(self._charge_method, Method.MEASURED), "charge"
        )
