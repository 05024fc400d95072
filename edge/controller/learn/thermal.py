"""How the board warms up: a case behind a thermal resistance, a chip that is a little hotter than its case.

    C dTs/dt = P - (Ts - A)/R        the case: time constant tau = R C, ambient A
    T = Ts + Rf P                    the chip's sensor, which follows power at once (within seconds)

For a known tau one step of dt seconds at mean power P is linear in the state (Ts, A, R, Rf):
Ts' = a Ts + (1 - a)(A + R P) with a = exp(-dt/tau), so a Kalman filter identifies ambient and both resistances while it
follows the temperature. tau itself is unknown: a bank of filters runs, one for each tau of a fixed grid, and each is
weighted by how well it foretold the readings (multiple-model estimation, Magill 1965). Ambient and resistance walk, so
that the sun on the case or a dead fan is learnt as it happens.

A sensor whose steps are wider than its scatter (whole degrees, steps of five) says only between which bounds the
temperature lies. Each filter's normal belief is then cut off at these bounds and replaced by the normal one of the same
mean and variance (assumed density filtering). That is done when the reading changes. While it stands it says the same
again, and only a filter that has left the bounds meanwhile is corrected: it foretold a change that did not come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TAUS_S: Floats = np.array([20.0, 45.0, 90.0, 180.0, 360.0, 720.0, 1440.0])
_STEP_S = 1.0  # readings closer together than this are one step
_SENSOR_VAR = 0.4**2  # °C**2, before the sensor's own scatter is known
_SENSOR_LEAST_VAR = 0.15**2
_SENSOR_WEIGHT = 0.02
_OUTLIER = 4.0  # standard deviations
_LAG_WEIGHT = 0.1
_STRAYED = 4.0  # standard deviations of the mean of the last ten innovations or so
_STRAYED_VAR: Floats = np.diag(np.array([0.0, 3.0, 0.5, 0.0]) ** 2)  # then doubted anew: ambient and resistance
_USUAL_STEP_C = 1.0  # a sensor that has not moved yet may speak in whole degrees
_COARSEST_STEP_C = 5.0  # a first change that is larger is a change, not the sensor's step
_COARSE = 3.0  # times its scatter: steps that scatter does not blur
_STANDS = 10  # readings that were all the same: a sensor that has not moved by then may be as coarse as any
# Standard deviations a square-root second: case (what the model leaves out), ambient, and both resistances.
_WALK_VAR: Floats = np.array([0.02, 0.01, 0.01, 0.002]) ** 2
_PRIOR: Floats = np.array([0.0, 25.0, 6.0, 1.0])
_PRIOR_VAR: Floats = np.array([1.5, 12.0, 4.0, 1.0]) ** 2
_FORGET = 0.995  # of the log-weights: old mistakes do not rule a tau out for ever
_LEAST_RESISTANCE = 0.05


@dataclass(frozen=True)
class Forecast:
    """Temperature at one instant to come, as a function of the constant power until then: T = still + driven P."""

    still_c: float
    driven_k_per_w: float
    still_var: float
    cross_var: float
    driven_var: float

    def mean_c(self, power_w: float) -> float:
        return self.still_c + self.driven_k_per_w * power_w

    def spread_c(self, power_w: float) -> float:
        """One standard deviation of what the models believe; the sensor's own scatter is not in it."""
        var = self.still_var + 2 * power_w * self.cross_var + power_w * power_w * self.driven_var
        return math.sqrt(max(0.0, var))

    def permitted_w(self, limit_c: float) -> float:
        """The power that brings the mean to `limit_c`; may be negative."""
        return (limit_c - self.still_c) / max(_LEAST_RESISTANCE, self.driven_k_per_w)


@dataclass(frozen=True)
class ThermalModel:
    """Beliefs for each tau: `mean` (n, 4) over (case °C, ambient °C, R K/W, Rf K/W), `cov` (n, 4, 4), `log_weight` (n).

    Arrays are never changed in place. Before the first reading `mean` is None.
    """

    mean: Floats | None = None
    cov: Floats | None = None
    log_weight: Floats | None = None
    power_w: float = 0.0
    pending_s: float = 0.0  # time and energy since the last step
    pending_j: float = 0.0
    steps: int = 0
    sensor_var: float = _SENSOR_VAR
    step_c: float | None = None  # the smallest change of the reading that was seen
    last_c: float | None = None
    same: int = 0  # readings in a row that were the last one again
    lag_c: float = 0.0  # by how much readings of the last seconds lay above what was foretold, on the mean

    def seen(self, temperature_c: float | None, power_w: float | None, elapsed_s: float) -> ThermalModel:
        """After `elapsed_s` at a mean of `power_w`, with a reading at its end. Lost sensors only let time pass."""
        known = power_w is not None and math.isfinite(power_w) and power_w >= 0
        watts = power_w if known and power_w is not None else self.power_w
        if not (math.isfinite(elapsed_s) and 0 <= elapsed_s < 86_400):
            return self
        if self.mean is None or self.cov is None or self.log_weight is None:
            return self if temperature_c is None else self._first(temperature_c, watts)
        pending_s, pending_j = self.pending_s + elapsed_s, self.pending_j + watts * elapsed_s
        if pending_s < _STEP_S:
            return replace(self, pending_s=pending_s, pending_j=pending_j, power_w=watts)
        mean_w = pending_j / pending_s
        mean, cov = _forward(self.mean, self.cov, pending_s, mean_w)
        moved = replace(self, mean=mean, cov=cov, power_w=watts, pending_s=0.0, pending_j=0.0, steps=self.steps + 1)
        if temperature_c is None or not math.isfinite(temperature_c):
            return moved
        return moved._gauged(temperature_c)._corrected(temperature_c)

    def _gauged(self, temperature_c: float) -> ThermalModel:
        """What the reading says of its sensor: the width of its steps, and for how long it has stood on one."""
        change_c = 0.0 if self.last_c is None else abs(temperature_c - self.last_c)
        if change_c < 1e-6:
            return replace(self, last_c=temperature_c, same=min(600, self.same + 1))
        step_c = min(_COARSEST_STEP_C if self.step_c is None else self.step_c, change_c)
        return replace(self, last_c=temperature_c, same=0, step_c=step_c)

    def _corrected(self, temperature_c: float) -> ThermalModel:
        assert self.mean is not None
        assert self.cov is not None
        assert self.log_weight is not None
        step_c, sensor_var = self.assumed_step_c, self.sensor_var
        beliefs = (self.mean, self.cov, self.log_weight, temperature_c, self.power_w)
        if self.coarse:
            var = sensor_var
            mean, cov, log_weight, innovation, believed = _bounded(*beliefs, var, step_c / 2, self.same > 0)
        else:
            # Within a step the reading is off by the same again and again: each repetition says less.
            var = sensor_var + step_c**2 / 12 * (1 + self.same)
            mean, cov, log_weight, innovation, believed = _corrected(*beliefs, var)
        # What persists is no scatter: the board is not what it was (carried into the sun, a fan stopped).
        lag_c = self.lag_c + _LAG_WEIGHT * (innovation - self.lag_c)
        slack_c = step_c / 2 - self.blind_c
        strayed = abs(lag_c) > slack_c + _STRAYED * math.sqrt(_LAG_WEIGHT / (2 - _LAG_WEIGHT) * (believed + var))
        if strayed:
            cov = cov + _STRAYED_VAR
        if not self.coarse:
            off_var = min((innovation - lag_c) ** 2 - believed, 16 * sensor_var) - sensor_var
            sensor_var = max(_SENSOR_LEAST_VAR, sensor_var + _SENSOR_WEIGHT * off_var)
        return replace(self, mean=mean, cov=cov, log_weight=log_weight, sensor_var=sensor_var, lag_c=lag_c)

    @property
    def coarse(self) -> bool:
        """Whether the sensor's steps are wider than what its scatter blurs."""
        return self.assumed_step_c > _COARSE * math.sqrt(self.sensor_var)

    @property
    def blind_c(self) -> float:
        """How far the temperature may be from the reading for minutes while nothing is seen of it."""
        return self.assumed_step_c / 2 if self.coarse else 0.0

    @property
    def assumed_step_c(self) -> float:
        """The width of the sensor's steps: as seen, or what must be reckoned with while it has not moved."""
        if self.step_c is not None:
            return self.step_c
        return _USUAL_STEP_C if self.same < _STANDS else _COARSEST_STEP_C

    @property
    def above_c(self) -> float:
        """By how much readings of late lay above what was foretold, beyond the steps of the sensor; 0 or more."""
        return max(0.0, self.lag_c - self.assumed_step_c / 2 + self.blind_c)

    def _first(self, temperature_c: float, watts: float) -> ThermalModel:
        count = len(TAUS_S)
        mean = np.tile(_PRIOR, (count, 1))
        mean[:, 0] = temperature_c - mean[:, 3] * watts
        # A board that starts warm has warm air around it or has just been at work: ambient lies below the case.
        mean[:, 1] = np.minimum(mean[:, 1], mean[:, 0])
        cov = np.tile(np.diag(_PRIOR_VAR), (count, 1, 1))
        return ThermalModel(mean, cov, np.zeros(count), watts)

    @property
    def known(self) -> bool:
        """Whether enough was seen to plan with: half a minute."""
        return self.mean is not None and self.steps >= 30

    def weights(self) -> Floats:
        """How much each tau is believed, summing to 1."""
        assert self.log_weight is not None
        weight = np.exp(self.log_weight - self.log_weight.max())
        return np.asarray(weight / weight.sum(), np.float64)

    def forecast(self, after_s: float) -> Forecast:
        """What constant power brings after so long. Raises ValueError before any reading."""
        if self.mean is None or self.cov is None:
            raise ValueError("no temperature was seen yet")
        rows, columns = _rows(after_s)
        weight = self.weights()
        means = (rows @ self.mean[:, :, None])[:, :, 0]
        mean = weight @ means
        off = means - mean
        var = weight @ (rows @ self.cov @ columns + off[:, :, None] * off[:, None, :]).reshape(-1, 4)
        return Forecast(float(mean[0]), float(mean[1]), float(var[0]), float(var[1]), float(var[3]))

    def expected_c(self, power_w: float, after_s: float) -> tuple[float, float]:
        """Temperature after so long at constant power: mean and standard deviation. Raises ValueError before any
        reading."""
        forecast = self.forecast(after_s)
        return forecast.mean_c(power_w), forecast.spread_c(power_w)

    def ambient_c(self) -> float | None:
        """The believed ambient temperature."""
        return None if self.mean is None else float(self.weights() @ self.mean[:, 1])

    def resistance_k_per_w(self) -> float | None:
        """The believed resistance from chip to ambient, both parts."""
        return None if self.mean is None else float(self.weights() @ (self.mean[:, 2] + self.mean[:, 3]))


@lru_cache(maxsize=32)
def _rows(after_s: float) -> tuple[Floats, Floats]:
    """T = (first row + power * second row) @ state for each tau, state = (case, ambient, R, Rf); and transposed."""
    rows = np.zeros((len(TAUS_S), 2, 4))
    rows[:, 0, 0] = np.exp(-after_s / TAUS_S)
    rows[:, 0, 1] = rows[:, 1, 2] = 1 - rows[:, 0, 0]
    rows[:, 1, 3] = 1.0
    return rows, np.ascontiguousarray(rows.transpose(0, 2, 1))


def _forward(mean: Floats, cov: Floats, step_s: float, power_w: float) -> tuple[Floats, Floats]:
    decay = np.exp(-step_s / TAUS_S)
    transition = np.tile(np.eye(4), (len(TAUS_S), 1, 1))
    transition[:, 0, 0] = decay
    transition[:, 0, 1] = 1 - decay
    transition[:, 0, 2] = (1 - decay) * power_w
    moved = np.einsum("nij,nj->ni", transition, mean)
    spread = transition @ cov @ transition.transpose(0, 2, 1) + np.diag(_WALK_VAR * step_s)
    return moved, spread


def _corrected(
    mean: Floats, cov: Floats, log_weight: Floats, temperature_c: float, power_w: float, sensor_var: float
) -> tuple[Floats, Floats, Floats, float, float]:
    """Mean, covariance and weights after a reading; the bank's innovation, and its variance but for the sensor's."""
    row = np.array([1.0, 0.0, 0.0, power_w])
    innovation = temperature_c - mean @ row
    towards = cov @ row
    believed = towards @ row
    variance = believed + sensor_var
    # One that is far off is believed as little as its size says (Huber): sensors glitch, cases do not jump.
    variance = variance * np.maximum(1.0, np.abs(innovation) / (_OUTLIER * np.sqrt(variance)))
    likelihood = -0.5 * (np.minimum(innovation**2 / variance, 25.0) + np.log(variance))
    mean, cov = _moved(mean, cov, towards, variance, innovation, np.zeros(len(TAUS_S)))
    best = int(log_weight.argmax())
    weights = _FORGET * (log_weight - log_weight.max()) + likelihood
    return mean, cov, weights, float(innovation[best]), float(believed[best])


def _bounded(
    mean: Floats,
    cov: Floats,
    log_weight: Floats,
    temperature_c: float,
    power_w: float,
    sensor_var: float,
    half_c: float,
    again: bool,
) -> tuple[Floats, Floats, Floats, float, float]:
    """The same after a reading that says no more than that the temperature is within `half_c` of it; `again`: as the
    reading before did."""
    row = np.array([1.0, 0.0, 0.0, power_w])
    off = temperature_c - mean @ row
    towards = cov @ row
    believed = towards @ row
    variance = believed + sensor_var
    outside = np.maximum(0.0, np.abs(off) - half_c)
    variance = variance * np.maximum(1.0, outside / (_OUTLIER * np.sqrt(variance)))
    spread = np.sqrt(variance)
    cut = np.array([_cut((o - half_c) / s, (o + half_c) / s) for o, s in zip(off, spread, strict=True)])
    if again:
        cut[outside == 0] = (0.0, 1.0, 0.0)
        # Anywhere between the bounds, as far as the reading says.
        share = variance / (variance + half_c**2)
        cut[outside > 0, :2] = np.stack([off / spread * share, 1 - share], axis=1)[outside > 0]
    innovation = cut[:, 0] * spread
    mean, cov = _moved(mean, cov, towards, variance, innovation, cut[:, 1])
    best = int(log_weight.argmax())
    weights = log_weight - log_weight.max() + cut[:, 2]
    return mean, cov, weights, float(innovation[best]), float(believed[best])


def _cut(low: float, high: float) -> tuple[float, float, float]:
    """Mean and variance of the standard normal distribution between two bounds, and the logarithm of its mass there."""
    mass = 0.5 * (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2)))
    if mass < 1e-9:  # so far out that nearly all of it lies at the nearer bound
        edge = low if low > 0 else high
        return edge + 1 / edge, 1 / edge**2, -12.5
    at_low, at_high = (math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) for x in (low, high))
    mean = (at_low - at_high) / mass
    var = 1 + (low * at_low - high * at_high) / mass - mean**2
    return mean, min(1.0, max(0.0, var)), max(-12.5, math.log(mass))


def _moved(
    mean: Floats, cov: Floats, towards: Floats, variance: Floats, innovation: Floats, left: Floats
) -> tuple[Floats, Floats]:
    """Mean and covariance after the reading's belief moved by `innovation`, the share `left` of its variance left."""
    gain = towards / variance[:, None]
    mean = mean + gain * innovation[:, None]
    # No resistance is negative: a filter that strays is brought back.
    mean[:, 2:] = np.maximum(mean[:, 2:], _LEAST_RESISTANCE / 10)
    cov = cov - (1 - left)[:, None, None] * gain[:, :, None] * towards[:, None, :]
    return mean, (cov + cov.transpose(0, 2, 1)) / 2
