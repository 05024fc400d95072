"""How far a frame's energy may be off, derived from the samples themselves.

Between two samples nobody saw the power. Three things make the trapezoid wrong, and each leaves a trace in the data.

**A step nobody saw happen.** Power jumps by J somewhere in an interval of length h; the straight line between the two
samples is right on average and off by at most J*h/2. With the jump's place even over the interval, and the window
covering the part from fraction a to fraction b of it, the error is J*h*((b - clip(s, a, b)) - (b*b - a*a)/2) with s
even in 0..1. Its mean is zero and its variance, in units of (J*h)**2, is

    V(a, b) = a*(b - a)**2 + (b - a)**3/3 - ((b*b - a*a)/2)**2

which is 1/12 for a whole interval: `step_share`.

**How large a jump?** A change between two samples is no error when its neighbours change alike: on a ramp the
trapezoid is exact. So J is the part of the change that neither the slope before nor the slope after explains,
J = h * sqrt(|r - r_before| * |r - r_after|): the full height for a step between flat stretches, nothing on a ramp or
beside a step, and at a corner of a ramp (at fraction t of the interval, slopes differing by D) sqrt(t*(1-t))*D*h,
whose J*h/2 is never less than the true error t*(1-t)*D*h*h/2.

A sensor that averages over a moment may catch the step itself, and its reading lies between the two levels: two
changes follow each other, alike enough to pass for a short ramp. So a slope counts as explained by a side only as far
as both of the intervals there go along with it: a ramp must last.

**Noise.** Sample i enters the integral with a weight w_i in seconds (half of each interval beside it; less at the
window's edges), so white noise of s watts gives s*s*sum(w_i**2). s comes from the residual of each sample against the
line between its neighbours, which steps and ramps leave nearly alone, by a clipped estimate that forgets after some
hundred samples. What noise alone would make of J is taken off J. If power itself flickers faster than it is sampled,
the same formula holds: the samples scatter, and the sum is off as much.

**A coarse register** of step q rounds alike for as long as power stands still, so its error (variance q*q/12) grows
with the window's length T, not with its root: (q*T)**2/12, faded by exp(-4*pi**2*s**2/q**2), because noise of the
size of the step makes the rounding errors independent (dither; Widrow and Kollar, Quantization Noise, 2008).

The parts are independent, so variances add. How many standard deviations hold 95 % depends on how many parts there
are: 0.95*sqrt(3) = 1.645 for one even error, 1.90 for the sum of two alike, 1.96 for a bell curve; a little more is
taken, 1.68 to 2, because heights and noise are estimates themselves. With v_i the variances of the whole intervals and
v the total, n = v*v/sum(v_i**2) counts how many even errors it takes to make this one, and

    factor = 2 - 0.32 / n**2

runs through these. Parts of intervals at the window's edges have longer tails and count as noise does, towards 2.

Not in it: an error of the sensor's calibration, and load shorter than a sampling interval that begins and ends
between two samples; neither leaves a trace in the data.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

_BELL_95 = 2.0
_EVEN_95 = 1.68
# Residuals of pure noise exceed this many variances of the slope difference too rarely to matter.
_NOISE_IN_JUMP = 3.0
_NOISE_OF_LEVELS = 12.0  # variance of the difference of two levels drawn on to an interval's ends, in readings' noise
_REMEMBERED = 512
_REFRESH_EVERY = 16


def step_share(start: float, end: float) -> float:
    """V(a, b): variance of the error of the part `start`..`end` (fractions) of an interval that hides one unit step."""
    length = end - start
    mean = (end * end - start * start) / 2
    return max(0.0, start * length * length + length**3 / 3 - mean * mean)


Slopes = list[tuple[float, float]]  # (width in s, slope in W/s) of the intervals on one side, the nearest first


def unexplained_jump_sq(width_s: float, slope: float, sides: list[Slopes], noise_var: float) -> float:
    """Square of the change over an interval that neither side explains, less what noise makes of it.

    `slope` is in W/s, `noise_var` is one sample's noise in W**2. A side explains what all of its slopes go along with.
    Without sides the whole change is unexplained. Returns W**2.
    """
    if not sides:
        return (slope * width_s) ** 2
    product = 1.0
    for side in sides:
        left = 0.0
        for other_s, other_slope in side:
            ratio = width_s / other_s
            noise = noise_var * ((1 + ratio) ** 2 + 1 + ratio * ratio)
            left = max(left, ((slope - other_slope) * width_s) ** 2 - _NOISE_IN_JUMP * noise)
        product *= left
    return math.pow(product, 1 / len(sides))


def rounding_bias_var(step: float, noise_var: float) -> float:
    """Variance of the common error of values rounded to multiples of `step`; noise of the step's size removes it."""
    if step <= 0:
        return 0.0
    return step * step / 12 * math.exp(-4 * math.pi**2 * noise_var / (step * step))


def counter_edge_var(
    before_w: float | None, mean_w: float, after_w: float | None, width_s: float, at: float, noise_var: float
) -> float:
    """Variance in J**2 of a counter's energy at fraction `at` between two readings, when read off the straight line.

    The counter tells the interval's mean power exactly; the neighbours tell what power was at its ends. Among all
    courses that lead from the one to the other without turning back and have this mean, none strays from the straight
    line further than a single step, placed so that the mean comes out: a tent of height s*(1-s)*|after-before|*width at
    fraction s. The error is taken as even within the tent. A mean outside its neighbours' (a burst within the interval)
    may lie anywhere in it: at*(1-at) of its excess squared. What the noise of the readings (`noise_var`, J**2) makes of
    the difference of two such levels is taken off.
    """
    levels = [level for level in (before_w, after_w) if level is not None]
    if not levels:
        return 0.0
    low, high = min(levels), max(levels)
    floor = _NOISE_IN_JUMP * _NOISE_OF_LEVELS * noise_var
    excess_sq = max(0.0, (max(mean_w - high, low - mean_w) * width_s) ** 2 - floor)
    if not low <= mean_w <= high:
        return excess_sq * at * (1 - at)
    swing_sq = max(0.0, ((high - low) * width_s) ** 2 - floor)
    if swing_sq == 0.0:
        return 0.0
    place = (levels[-1] - mean_w) / (levels[-1] - levels[0])
    return swing_sq * (at * (1 - place) if at <= place else place * (1 - at)) ** 2 / 3


@dataclass(frozen=True)
class Spread:
    """Variance of an energy's error, J**2, and the sum of squares of the variances of its even parts, J**4."""

    variance: float
    even_sq: float

    def plus(self, variance: float) -> Spread:
        """With an independent error of a bell-shaped kind."""
        return Spread(self.variance + variance, self.even_sq)

    def half_width(self) -> float:
        """What the error stays within in 95 % of cases, J."""
        share = min(1.0, self.even_sq / (self.variance * self.variance)) if self.variance > 0 else 0.0  # 1/n
        return (_BELL_95 - (_BELL_95 - _EVEN_95) * share * share) * math.sqrt(self.variance)


class NoiseEstimate:
    """Variance of a sensor's white noise from residuals that are free of its signal's straight parts.

    `add` takes a residual that has been divided by the root of its weights' sum of squares, so that it scatters as one
    reading does. Steps leave outliers: starting from the tenth percentile, which they hardly move, everything beyond
    3.5 standard deviations is left out until that settles.
    """

    def __init__(self) -> None:
        self._residuals: deque[float] = deque(maxlen=_REMEMBERED)
        self._since_refresh = 0
        self.variance = 0.0

    def add(self, residual: float) -> None:
        self._residuals.append(residual * residual)
        self._since_refresh += 1
        if self._since_refresh >= _REFRESH_EVERY or len(self._residuals) < 2 * _REFRESH_EVERY:
            self._since_refresh = 0
            self.variance = self._clipped_variance()

    def _clipped_variance(self) -> float:
        squares = np.fromiter(self._residuals, float, len(self._residuals))
        variance = float(np.quantile(squares, 0.1)) / 0.0157908  # the same percentile of a squared standard normal
        for _ in range(6):
            kept = squares[squares <= 12.25 * variance]
            if kept.size == 0:
                return 0.0
            clipped = float(kept.mean()) / 0.994  # what a cut at 3.5 takes off a normal's variance
            if clipped == variance:
                break
            variance = clipped
        return variance
