"""The meter: samples of power, or readings of a counter, become a running integral E(t) and the energy of any window.

Between samples power is taken as a straight line, so E(t) is exact for power that is piecewise linear with knots at the
samples. Times are integers (ns), power is rounded to whole microwatts, and sums are integers too: nothing drifts, and
the energies of windows that tile a stretch add up to the stretch's own energy exactly, because each is the difference
of the same integral rounded to microjoules.

Where samples are missing, E(t) does not exist: a window that touches a gap is `unavailable`, never zero.
`edge.uncertainty` derives how far a window's energy may be off.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from operator import attrgetter
from threading import Lock

from boards.board import Channel, Quantity
from boards.sensor import Method, Reading
from edge.uncertainty import (
    NoiseEstimate,
    Spread,
    counter_edge_var,
    rounding_bias_var,
    step_share,
    unexplained_jump_sq,
)

# Half a femtojoule: the sum of two powers in uW times a time in ns is twice the trapezoid's area, and an integer.
UNITS_PER_UJ = 2_000_000_000
_UNITS_PER_J = UNITS_PER_UJ * 1_000_000
_S_PER_NS = 1e-9
_ROUNDING_VAR_J2 = 1e-12 / 6  # an energy is the difference of two integrals, each rounded to 1 uJ
_STRETCHED = 1.75  # an interval this many periods long has lost a sample
_RECENT = 32  # samples whose range tells what may hide in a stretched interval

_time_of = attrgetter("time_ns")


@dataclass(frozen=True)
class WindowEnergy:
    """Energy of one window in microjoules, its 95 % uncertainty, how many samples fell inside, and how it was obtained.

    `energy_uj` and `uncertainty_uj` are None exactly when `method` is UNAVAILABLE.
    """

    energy_uj: int | None
    uncertainty_uj: int | None
    samples: int
    method: Method


@dataclass(slots=True)
class _Point:
    """A sample and what was summed up to it; `jump_sq` and `mean_w` describe the interval that ends here."""

    time_ns: int
    value: float  # W, or J for a counter
    micro: int  # the value in uW; unused for a counter
    units: int  # integral up to here
    breaks: int  # gaps so far
    mean_w: float = 0.0  # mean power of the interval, W (counters only)
    jump_sq: float = 0.0  # W**2
    jump_var: float = 0.0  # summed variance of unseen jumps, J**2
    jump_var_sq: float = 0.0  # summed squares of those variances, J**4
    noise_var: float = 0.0  # noise of one reading when this one was taken, W**2 or J**2
    weighted_noise: float = 0.0  # summed noise variance of all samples before this one, J**2


class Meter(ABC):
    """A bounded ring of samples with running sums; one writer (`add`, `lost`) and any reader may run at once.

    `period_s` is the period the sensor is read with: an interval longer than `gap_periods` of it is a gap.
    `resolution` is the sensor's smallest step in its unit, 0 where unknown; `relative_error` is the share by which all
    its values may be off together (95 %), which no averaging removes. `capacity` samples are kept at least.
    """

    def __init__(
        self,
        method: Method,
        period_s: float,
        *,
        resolution: float = 0.0,
        relative_error: float = 0.0,
        capacity: int = 4096,
        gap_periods: float = 5.0,
    ) -> None:
        if period_s <= 0 or capacity < 8 or gap_periods < 1:
            raise ValueError("a meter needs a period above 0, a capacity of 8 or more, and gaps of a period or more")
        self.method = method
        self.gap_ns = round(period_s * gap_periods * 1e9)
        self._stretched_ns = round(period_s * _STRETCHED * 1e9)
        self._resolution = resolution
        self._relative_error = relative_error
        self._capacity = capacity
        self._points: list[_Point] = []
        self._broken = False
        self._noise = NoiseEstimate()
        self._lock = Lock()
        self.rejected = 0

    @classmethod
    def for_channel(cls, channel: Channel) -> Meter:
        """The meter for a POWER or ENERGY channel."""
        kinds: dict[Quantity, type[Meter]] = {Quantity.ENERGY: CounterMeter, Quantity.POWER: PowerMeter}
        kind = kinds.get(channel.quantity)
        if kind is not None:
            return kind(
                channel.method,
                channel.period_s,
                resolution=channel.resolution,
                relative_error=channel.relative_error,
            )
        raise ValueError(f"channel {channel.name} measures {channel.quantity.value}, which is no energy")

    # -- writing ----------------------------------------------------------------------------------------------

    def add(self, reading: Reading) -> None:
        """Append a sample. One that is not later than the last, or not finite, is counted in `rejected` and left
        out."""
        with self._lock:
            last = self._points[-1] if self._points else None
            if not math.isfinite(reading.value) or (last is not None and reading.monotonic_ns <= last.time_ns):
                self.rejected += 1
                return
            point = self._point(reading, last)
            self._points.append(point)
            self._broken = False
            if last is not None and point.breaks == last.breaks:
                self._describe()
            if len(self._points) >= 2 * self._capacity:
                self._forget()

    def lost(self, at_ns: int) -> None:
        """A read failed at this time. Once the last sample is further back than a gap may be, nothing is waited for."""
        with self._lock:
            self._broken = not self._points or at_ns - self._points[-1].time_ns > self.gap_ns

    def _point(self, reading: Reading, last: _Point | None) -> _Point:
        point = _Point(reading.monotonic_ns, reading.value, round(reading.value * 1e6), 0, 0)
        if last is None:
            return point
        gap = self._broken or point.time_ns - last.time_ns > self.gap_ns
        added = 0 if gap else self._added(last, point)
        if added is None:
            gap, added = True, 0
        point.units, point.breaks = last.units + added, last.breaks + gap
        point.jump_var, point.jump_var_sq = last.jump_var, last.jump_var_sq
        point.weighted_noise, point.noise_var = last.weighted_noise, self._noise.variance
        return point

    def _forget(self) -> None:
        # Half of the ring goes at once, and the sums of variances start anew, so that they keep their precision.
        del self._points[: len(self._points) - self._capacity]
        oldest = self._points[0]
        jump_var, jump_var_sq, weighted_noise = oldest.jump_var, oldest.jump_var_sq, oldest.weighted_noise
        for point in self._points:
            point.jump_var -= jump_var
            point.jump_var_sq -= jump_var_sq
            point.weighted_noise -= weighted_noise

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def total_uj(self) -> int:
        """The integral over all samples so far, gaps left out, in microjoules."""
        with self._lock:
            return _rounded(self._points[-1].units) if self._points else 0

    def ready(self, end_ns: int, now_ns: int | None = None) -> bool:
        """Whether waiting longer cannot change the energy of a window that ends at `end_ns`.

        That is so with two samples past it (the second tells what the interval around `end_ns` hid), after a loss,
        or, where `now_ns` is given, when the next sample is overdue by a whole gap.
        """
        with self._lock:
            points = self._points
            if len(points) >= 2 and points[-2].time_ns >= end_ns:
                return True
            if self._broken:
                return True
            return now_ns is not None and bool(points) and now_ns - max(points[-1].time_ns, end_ns) > self.gap_ns

    def energy(self, start_ns: int, end_ns: int) -> WindowEnergy:
        """Energy between two instants, `unavailable` where samples do not cover them without a gap.

        Raises ValueError when the window ends before it starts.
        """
        if end_ns < start_ns:
            raise ValueError(f"a window cannot end ({end_ns}) before it starts ({start_ns})")
        with self._lock:
            points = self._points
            inside = bisect_left(points, end_ns, key=_time_of) - bisect_left(points, start_ns, key=_time_of)
            first = bisect_right(points, start_ns, key=_time_of) - 1
            last = bisect_left(points, end_ns, key=_time_of)
            # `first` is the sample at or before the start, `last` the one at or after the end.
            if first < 0 or last >= len(points) or points[max(last, first)].breaks != points[first].breaks:
                return WindowEnergy(None, None, inside, Method.UNAVAILABLE)
            if start_ns == end_ns:
                return WindowEnergy(0, 0, 0, self.method)
            energy_uj = _rounded(self._units_at(end_ns, last)) - _rounded(self._units_at(start_ns, first + 1))
            spread = self._spread(start_ns, first, end_ns, last)
        # What averages out and what does not are independent of each other: their squares add.
        stated_j = math.hypot(spread.plus(_ROUNDING_VAR_J2).half_width(), self._relative_error * energy_uj * 1e-6)
        return WindowEnergy(energy_uj, math.ceil(stated_j * 1e6), inside, self.method)

    def power_w(self, now_ns: int, window_ns: int) -> float | None:
        """Mean power of the latest `window_ns` that were sampled without a gap; None when nothing recent is known."""
        with self._lock:
            points = self._points
            if not points or self._broken or now_ns - points[-1].time_ns > self.gap_ns:
                return None
            end = points[-1]
            first = bisect_left(points, end.time_ns - window_ns, key=_time_of)
            first = max(first, bisect_left(points, end.breaks, key=lambda point: point.breaks))
            begin = points[first]
            if begin is end:
                return self._present_w(end)
            return (end.units - begin.units) / _UNITS_PER_J / ((end.time_ns - begin.time_ns) * _S_PER_NS)

    def _units_at(self, at_ns: int, right: int) -> int:
        """The integral at an instant in the interval that ends with sample `right`."""
        before = self._points[right - 1]
        if at_ns == before.time_ns:
            return before.units
        return before.units + self._partial(before, self._points[right], at_ns - before.time_ns)

    def _same_stretch(self, index: int, other: int) -> bool:
        points = self._points
        return 0 <= other < len(points) and points[index].breaks == points[other].breaks

    def _interval_in_stretch(self, index: int, other: int) -> bool:
        """Whether the interval that ends with sample `other` exists in the stretch of sample `index`."""
        return other >= 1 and self._same_stretch(index, other - 1) and self._same_stretch(index, other)

    def _width_s(self, index: int) -> float:
        return (self._points[index].time_ns - self._points[index - 1].time_ns) * _S_PER_NS

    # -- what differs between power and a counter -------------------------------------------------------------

    @abstractmethod
    def _added(self, last: _Point, point: _Point) -> int | None:
        """Units between two samples, or None where they cannot belong together."""

    @abstractmethod
    def _partial(self, before: _Point, after: _Point, elapsed_ns: int) -> int:
        """Units in the first `elapsed_ns` of an interval."""

    @abstractmethod
    def _describe(self) -> None:
        """Work out what the newest sample tells of the last two intervals."""

    @abstractmethod
    def _spread(self, start_ns: int, first: int, end_ns: int, last: int) -> Spread:
        """Error in J of a window from within the interval after `first` to within the one before `last`."""

    @abstractmethod
    def _present_w(self, point: _Point) -> float | None:
        """Power at a lone sample."""


class PowerMeter(Meter):
    """Integrates samples of power by the trapezoid rule."""

    def _added(self, last: _Point, point: _Point) -> int | None:
        return (last.micro + point.micro) * (point.time_ns - last.time_ns)

    def _partial(self, before: _Point, after: _Point, elapsed_ns: int) -> int:
        width_ns = after.time_ns - before.time_ns
        return 2 * before.micro * elapsed_ns + (after.micro - before.micro) * elapsed_ns * elapsed_ns // width_ns

    def _present_w(self, point: _Point) -> float | None:
        return point.value

    def _describe(self) -> None:
        points = self._points
        newest = len(points) - 1
        if self._same_stretch(newest, newest - 2):
            self._noise.add(self._residual(newest - 1))
            points[newest].noise_var = self._noise.variance
            if self._interval_in_stretch(newest, newest - 2):
                self._weigh_jump(newest - 2)  # what lies behind it on either side is known only now
            self._weigh_jump(newest - 1)
            half_s = (self._width_s(newest - 1) + self._width_s(newest)) / 2
            weighted = points[newest - 1].noise_var * half_s * half_s
            points[newest].weighted_noise = points[newest - 1].weighted_noise + weighted
        self._weigh_jump(newest)

    def _residual(self, middle: int) -> float:
        before, at, after = self._points[middle - 1 : middle + 2]
        share = self._width_s(middle) / (self._width_s(middle) + self._width_s(middle + 1))
        residual = at.value - before.value * (1 - share) - after.value * share
        return residual / math.sqrt(1 + share * share + (1 - share) ** 2)

    def _slope(self, index: int) -> tuple[float, float]:
        width_s = self._width_s(index)
        return width_s, (self._points[index].value - self._points[index - 1].value) / width_s

    def _weigh_jump(self, index: int) -> None:
        """Set the unexplained jump of the interval that ends with sample `index`, and the sum up to it."""
        points = self._points
        width_s, slope = self._slope(index)
        reach = ((index - 1, index - 2), (index + 1, index + 2))
        sides = [[self._slope(at) for at in side if self._interval_in_stretch(index, at)] for side in reach]
        jump_sq = unexplained_jump_sq(width_s, slope, [side for side in sides if side], points[index].noise_var)
        if points[index].time_ns - points[index - 1].time_ns > self._stretched_ns:
            jump_sq = max(jump_sq, self._recent_range_w(index) ** 2)
        points[index].jump_sq = jump_sq
        variance = jump_sq * width_s * width_s * step_share(0.0, 1.0)
        points[index].jump_var = points[index - 1].jump_var + variance
        points[index].jump_var_sq = points[index - 1].jump_var_sq + variance * variance

    def _recent_range_w(self, index: int) -> float:
        recent = [point.value for point in self._points[max(0, index - _RECENT) : index + 1]]
        return max(recent) - min(recent)

    def _spread(self, start_ns: int, first: int, end_ns: int, last: int) -> Spread:
        points = self._points
        begin = (start_ns - points[first].time_ns) * _S_PER_NS / self._width_s(first + 1)
        end = (end_ns - points[last - 1].time_ns) * _S_PER_NS / self._width_s(last)
        whole, whole_sq = 0.0, 0.0
        if first + 1 == last:
            parts = self._part_var(last, begin, end)
        else:
            parts = self._part_var(first + 1, begin, 1.0) + self._part_var(last, 0.0, end)
            whole = max(0.0, points[last - 1].jump_var - points[first + 1].jump_var)
            whole_sq = max(0.0, points[last - 1].jump_var_sq - points[first + 1].jump_var_sq)
        duration_s = (end_ns - start_ns) * _S_PER_NS
        rounding = rounding_bias_var(self._resolution, points[last].noise_var) * duration_s * duration_s
        return Spread(whole + parts + self._noise_of(first, begin, last, end) + rounding, whole_sq)

    def _part_var(self, index: int, begin: float, end: float) -> float:
        width_s = self._width_s(index)
        return self._points[index].jump_sq * width_s * width_s * step_share(begin, end)

    def _noise_of(self, first: int, begin: float, last: int, end: float) -> float:
        """Sum of noise variance times squared weight; `begin`, `end` are fractions of the first and the last
        interval."""
        points = self._points
        if first + 1 == last:
            width_s = self._width_s(last)
            later = width_s * (end * end - begin * begin) / 2
            earlier = width_s * (end - begin) - later
            return points[first].noise_var * earlier * earlier + points[last].noise_var * later * later
        head_s, tail_s = self._width_s(first + 1), self._width_s(last)
        weights = {first: head_s * (1 - begin) ** 2 / 2, last: tail_s * end * end / 2}
        inner_head, inner_tail = head_s * (1 - begin * begin) / 2, tail_s * (end - end * end / 2)
        between = 0.0
        if first + 2 == last:
            weights[first + 1] = inner_head + inner_tail
        else:
            weights[first + 1] = inner_head + self._width_s(first + 2) / 2
            weights[last - 1] = inner_tail + self._width_s(last - 1) / 2
            between = points[last - 1].weighted_noise - points[first + 2].weighted_noise
        return max(0.0, between) + sum(points[at].noise_var * weight * weight for at, weight in weights.items())


class CounterMeter(Meter):
    """Reads energy off a counter that only grows; between two readings its course is taken as a straight line."""

    def _added(self, last: _Point, point: _Point) -> int | None:
        added = round(point.value * _UNITS_PER_J) - round(last.value * _UNITS_PER_J)
        return added if added >= 0 else None  # it began anew: the two do not belong together

    def _partial(self, before: _Point, after: _Point, elapsed_ns: int) -> int:
        return (after.units - before.units) * elapsed_ns // (after.time_ns - before.time_ns)

    def _present_w(self, point: _Point) -> float | None:
        return None

    def _describe(self) -> None:
        points = self._points
        newest = len(points) - 1
        points[newest].mean_w = (points[newest].value - points[newest - 1].value) / self._width_s(newest)
        if self._same_stretch(newest, newest - 3):
            self._noise.add(self._residual(newest))
            points[newest].noise_var = self._noise.variance

    def _residual(self, newest: int) -> float:
        """The middle of three mean powers against the line through the outer two, scaled to one reading's scatter in
        J."""
        earlier_s, middle_s, later_s = (self._width_s(index) for index in (newest - 2, newest - 1, newest))
        share = (earlier_s + middle_s) / (earlier_s + 2 * middle_s + later_s)
        before, middle, after = (self._points[index].mean_w for index in (newest - 2, newest - 1, newest))
        weights = (
            (1 - share) / earlier_s,
            -1 / middle_s - (1 - share) / earlier_s,
            1 / middle_s + share / later_s,
            -share / later_s,
        )
        residual = middle - before * (1 - share) - after * share
        return residual / math.sqrt(sum(weight * weight for weight in weights))

    def _spread(self, start_ns: int, first: int, end_ns: int, last: int) -> Spread:
        return Spread(self._edge_var(start_ns, first + 1) + self._edge_var(end_ns, last), 0.0)

    def _edge_var(self, at_ns: int, index: int) -> float:
        """Variance of the integral at an instant in the interval that ends with sample `index`."""
        points = self._points
        width_s = self._width_s(index)
        at = (at_ns - points[index - 1].time_ns) * _S_PER_NS / width_s
        noise_var = max(points[index].noise_var, self._resolution**2 / 12)
        noise = noise_var * (at * at + (1 - at) * (1 - at))
        before = self._level_w(index - 1, -1) if self._interval_in_stretch(index, index - 1) else None
        after = self._level_w(index + 1, +1) if self._interval_in_stretch(index, index + 1) else None
        return noise + counter_edge_var(before, points[index].mean_w, after, width_s, at, noise_var)

    def _level_w(self, index: int, away: int) -> float:
        """Power that the interval `index` has at its end towards us, drawn on from the one beyond it."""
        mean_w = self._points[index].mean_w
        beyond = index + away
        if not self._interval_in_stretch(index, beyond):
            return mean_w
        return mean_w + (mean_w - self._points[beyond].mean_w) / 2


def _rounded(units: int) -> int:
    return (units + UNITS_PER_UJ // 2) // UNITS_PER_UJ
