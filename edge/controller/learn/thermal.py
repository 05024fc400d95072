"""How the board warms up: a case behind a thermal resistance, a chip that is a little hotter than its case.

    C dTs/dt = P - (Ts - A)/R        the case: time constant tau = R C, ambient A
    T = Ts + Rf P                    the chip's sensor, which follows power at once (within seconds)

For a known tau one step of dt seconds at mean power P is linear in the state (Ts, A, R, Rf):
Ts' = a Ts + (1 - a)(A + R P) with a = exp(-dt/tau), so a Kalman filter identifies ambient and both resistances while it
follows the temperature. tau itself is unknown: a bank of filters runs, one for each tau of a fixed grid, and each is
weighted by how well it foretold the readings (multiple-model estimation, Magill 1965). Ambient and resistance walk, so
that the sun on the case or a dead fan is learnt as it happens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TAUS_S: Floats = np.array([20.0, 45.0, 90.0, 180.0, 360.0, 720.0, 1440.0])
_STEP_S = 1.0  # readings closer together than this are one step
_SENSOR_VAR = 0.4**2  # °C**2: steps of 0.5 to 1 °C and scatter
# Standard deviations a square-root second: case (what the model leaves out), ambient, and both resistances.
_WALK_VAR: Floats = np.array([0.02, 0.01, 0.01, 0.002]) ** 2
_PRIOR: Floats = np.array([0.0, 25.0, 6.0, 1.0])
_PRIOR_VAR: Floats = np.array([1.0, 12.0, 4.0, 1.0]) ** 2
_FORGET = 0.995  # of the log-weights: old mistakes do not rule a tau out for ever
_LEAST_RESISTANCE = 0.05


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
        log_weight = self.log_weight
        if temperature_c is not None and math.isfinite(temperature_c):
            mean, cov, log_weight = _corrected(mean, cov, log_weight, temperature_c, watts)
        return ThermalModel(mean, cov, log_weight, watts, steps=self.steps + 1)

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

    def expected_c(self, power_w: float, after_s: float) -> tuple[float, float]:
        """Temperature after so long at constant power: mean and standard deviation. Raises ValueError before any
        reading."""
        if self.mean is None or self.cov is None:
            raise ValueError("no temperature was seen yet")
        row = self._row(power_w, after_s)
        means = np.einsum("ni,ni->n", row, self.mean)
        variances = np.einsum("ni,nij,nj->n", row, self.cov, row)
        weight = self.weights()
        mean = float(weight @ means)
        return mean, math.sqrt(max(0.0, float(weight @ (variances + (means - mean) ** 2))))

    def permitted_w(self, limit_c: float, within_s: float) -> float:
        """The constant power that brings the mean temperature to `limit_c` after `within_s`; may be negative.

        Raises ValueError before any reading.
        """
        if self.mean is None:
            raise ValueError("no temperature was seen yet")
        at_zero, at_one = self.expected_c(0.0, within_s)[0], self.expected_c(1.0, within_s)[0]
        return (limit_c - at_zero) / max(_LEAST_RESISTANCE, at_one - at_zero)

    def _row(self, power_w: float, after_s: float) -> Floats:
        decay = np.exp(-after_s / TAUS_S)
        return np.stack([decay, 1 - decay, (1 - decay) * power_w, np.full_like(decay, power_w)], axis=1)

    def ambient_c(self) -> float | None:
        """The believed ambient temperature."""
        return None if self.mean is None else float(self.weights() @ self.mean[:, 1])

    def resistance_k_per_w(self) -> float | None:
        """The believed resistance from chip to ambient, both parts."""
        return None if self.mean is None else float(self.weights() @ (self.mean[:, 2] + self.mean[:, 3]))


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
    mean: Floats, cov: Floats, log_weight: Floats, temperature_c: float, power_w: float
) -> tuple[Floats, Floats, Floats]:
    row = np.array([1.0, 0.0, 0.0, power_w])
    innovation = temperature_c - mean @ row
    towards = cov @ row
    variance = towards @ row + _SENSOR_VAR
    gain = towards / variance[:, None]
    mean = mean + gain * innovation[:, None]
    # No resistance is negative, and no ambient is hotter than an oven: a filter that strays is brought back.
    mean[:, 2:] = np.maximum(mean[:, 2:], _LEAST_RESISTANCE / 10)
    cov = cov - gain[:, :, None] * towards[:, None, :]
    cov = (cov + cov.transpose(0, 2, 1)) / 2
    likelihood = -0.5 * (np.minimum(innovation**2 / variance, 25.0) + np.log(variance))
    return mean, cov, _FORGET * (log_weight - log_weight.max()) + likelihood
