"""Waveforms of voltage and current whose energy is known exactly, and how near the metered frames came to it."""

from __future__ import annotations

import math
import random
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

Knot = tuple[float, int, int]  # seconds, microvolts, microamperes; two knots of one time are a jump

OPEN_CIRCUIT_UV = 5_050_000  # a supply of 5.05 V behind 20 mOhm: voltage sags as current rises
SOURCE_OHM = 0.02


def knot(at_s: float, ampere: float) -> Knot:
    """A point of a channel's course; the supply's voltage follows its current."""
    return at_s, round(OPEN_CIRCUIT_UV - SOURCE_OHM * ampere * 1e6), round(ampere * 1e6)


def steps(seconds: float, seed: int, low_a: float, high_a: float, held_s: tuple[float, float]) -> list[Knot]:
    """Levels drawn evenly between two currents, each held for a time drawn evenly between two bounds."""
    drawn = random.Random(seed)
    knots: list[Knot] = []
    at_s = 0.0
    while at_s < seconds:
        level, until_s = drawn.uniform(low_a, high_a), at_s + drawn.uniform(*held_s)
        knots += [knot(at_s, level), knot(until_s, level)]
        at_s = until_s
    return knots


def bursts(seconds: float, seed: int, low_a: float, high_a: float, held_s: tuple[float, float]) -> list[Knot]:
    """Two levels in turn, for times drawn evenly between two bounds."""
    drawn = random.Random(seed)
    knots: list[Knot] = []
    at_s = 0.0
    while at_s < seconds:
        level, until_s = high_a if len(knots) % 4 else low_a, at_s + drawn.uniform(*held_s)
        knots += [knot(at_s, level), knot(until_s, level)]
        at_s = until_s
    return knots


def ramps(seconds: float, seed: int, low_a: float, high_a: float, held_s: tuple[float, float]) -> list[Knot]:
    """Straight lines between levels drawn evenly."""
    drawn = random.Random(seed)
    knots = [knot(0.0, low_a)]
    while knots[-1][0] < seconds:
        knots.append(knot(knots[-1][0] + drawn.uniform(*held_s), drawn.uniform(low_a, high_a)))
    return knots


def rippled(knots: Sequence[Knot], seed: int, ampere: float, every_s: float = 0.0023) -> list[Knot]:
    """The same course with a current on top that is drawn anew, evenly within `ampere` on either side, every 2.3 ms."""
    drawn = random.Random(seed)
    fine: list[Knot] = []
    for before, after in pairwise(knots):
        at_s = before[0]
        while at_s < after[0]:
            until_s = min(at_s + every_s, after[0])
            share = [(edge - before[0]) / (after[0] - before[0]) for edge in (at_s, until_s)]
            extra = drawn.uniform(-ampere, ampere)
            levels = [(before[2] + (after[2] - before[2]) * part) * 1e-6 + extra for part in share]
            fine += [knot(at_s, levels[0]), knot(until_s, levels[1])]
            at_s = until_s
    return fine


class Truth:
    """The exact energy of a course that began at `start_ns` of the monotonic clock.

    Voltage and current are straight between knots, so power is a parabola there and Simpson's rule is exact.
    """

    def __init__(self, knots: Sequence[Knot], start_ns: int) -> None:
        self._knots = [(start_ns + round(at_s * 1e9), uv, ua) for at_s, uv, ua in knots]
        self._times = [at_ns for at_ns, _, _ in self._knots]
        parts = (_piece_uj(*pair) for pair in pairwise(self._knots))
        self._until_uj = list(accumulate(parts, initial=0.0))

    def energy_uj(self, start_ns: int, end_ns: int) -> float:
        """Energy between two instants within the course, in microjoules."""
        return self._since_start_uj(end_ns) - self._since_start_uj(start_ns)

    def power_w(self, at_ns: int) -> float:
        """Power at an instant within the course."""
        index = self._index(at_ns)
        _, uv, ua = _between(self._knots[index], self._knots[index + 1], at_ns)
        return uv * ua * 1e-12

    def _index(self, at_ns: int) -> int:
        index = bisect_right(self._times, at_ns) - 1
        if index < 0 or at_ns > self._times[-1]:
            raise ValueError(f"{at_ns} lies outside the course")
        return min(index, len(self._knots) - 2)

    def _since_start_uj(self, at_ns: int) -> float:
        index = self._index(at_ns)
        here = _between(self._knots[index], self._knots[index + 1], at_ns)
        return self._until_uj[index] + _piece_uj(self._knots[index], here)


def _between(before: tuple[int, float, float], after: tuple[int, float, float], at_ns: int) -> tuple[int, float, float]:
    if after[0] == before[0]:
        return after
    share = (at_ns - before[0]) / (after[0] - before[0])
    return at_ns, before[1] + (after[1] - before[1]) * share, before[2] + (after[2] - before[2]) * share


def _piece_uj(before: tuple[int, float, float], after: tuple[int, float, float]) -> float:
    middle = (before[1] + after[1]) * (before[2] + after[2]) / 4
    mean_pw = (before[1] * before[2] + 4 * middle + after[1] * after[2]) / 6
    return mean_pw * (after[0] - before[0]) * 1e-15  # uV * uA = pW; pW * ns = 1e-21 J


@dataclass(frozen=True)
class Score:
    """Frames against the truth: energies relative, `coverage` 0..1, errors in microjoules and relative."""

    frames: int
    unavailable: int
    sum_error: float
    coverage: float
    median_error_uj: float
    median_uncertainty_uj: float
    ratio: float  # of the medians
    rms_ratio: float  # of the root mean squares: about 2 where 95 % is stated, whatever the shares of easy frames
    median_error: float
    p95_error: float


def score(frames: Sequence[tuple[int, int, int | None, int | None]], truth: Truth) -> Score:
    """Judge frames given as (start ns, end ns, energy uJ, uncertainty uJ)."""
    known = [(start, end, energy, stated) for start, end, energy, stated in frames if energy is not None]
    true_uj = [truth.energy_uj(start, end) for start, end, _, _ in known]
    errors_uj = [abs(energy - true) for (_, _, energy, _), true in zip(known, true_uj, strict=True)]
    shares = sorted(error / true for error, true in zip(errors_uj, true_uj, strict=True))
    stated_uj = [stated or 0 for _, _, _, stated in known]
    inside = sum(error <= stated for error, stated in zip(errors_uj, stated_uj, strict=True))
    median_error, median_stated = statistics.median(errors_uj), statistics.median(stated_uj)
    return Score(
        frames=len(known),
        unavailable=len(frames) - len(known),
        sum_error=(sum(energy for _, _, energy, _ in known) - sum(true_uj)) / sum(true_uj),
        coverage=inside / len(known),
        median_error_uj=median_error,
        median_uncertainty_uj=median_stated,
        ratio=median_stated / max(1.0, median_error),
        rms_ratio=math.hypot(*stated_uj) / max(1.0, math.hypot(*errors_uj)),
        median_error=statistics.median(shares),
        p95_error=shares[min(len(shares) - 1, round(0.95 * len(shares)))],
    )
