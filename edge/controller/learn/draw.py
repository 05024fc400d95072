"""What the board draws: a noisy reading cleaned by what is known to have run.

reading = model(what ran) + rest + noise. The rest (other processes, a radio, a wrong model) is a random walk, filtered
with a gain that follows from how much the readings scatter. Who learns heat from raw readings of a noisy rail finds too
small a resistance, since noise in the cause dilutes every slope; the cleaned power has little noise left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_WALK_VAR = 0.05**2  # W**2 a second
_NOISE_PRIOR_VAR = 0.1**2
_NOISE_LEAST_VAR = 0.01**2
_NOISE_WEIGHT = 0.05
_OUTLIER = 4.0  # standard deviations: two in a row are a jump


@dataclass(frozen=True)
class Draw:
    """`rest_w` is what is drawn beside the model's expectation; `power_w` the cleaned power, None while nothing is
    known."""

    rest_w: float = 0.0
    rest_var: float = 1.0
    noise_var: float = _NOISE_PRIOR_VAR
    last_w: float | None = None  # the last difference of reading and model
    strange: int = 0
    power_w: float | None = None
    jump_w: float = 0.0  # how much the rest rose at this step, if it jumped

    def seen(self, reading_w: float | None, model_w: float | None, elapsed_s: float) -> Draw:
        """After one more reading; None is a lost sensor or nothing known of what ran."""
        rest_var = min(1.0, self.rest_var + _WALK_VAR * min(elapsed_s, 60.0))
        if reading_w is None:
            power_w = None if model_w is None else max(0.0, model_w + self.rest_w)
            return Draw(self.rest_w, rest_var, self.noise_var, self.last_w, 0, power_w)
        if model_w is None:
            return Draw(self.rest_w, rest_var, self.noise_var, self.last_w, 0, reading_w)
        off_w = reading_w - model_w
        strange = self.strange + 1 if abs(off_w - self.rest_w) > _OUTLIER * math.sqrt(rest_var + self.noise_var) else 0
        if strange >= 2:
            rest_var = 1.0
        gain = rest_var / (rest_var + self.noise_var)
        rest_w = self.rest_w + gain * (off_w - self.rest_w)
        return Draw(
            rest_w,
            rest_var * (1 - gain),
            self._noise(off_w),
            off_w,
            strange,
            max(0.0, model_w + rest_w),
            rest_w - self.rest_w if strange >= 2 else 0.0,
        )

    @property
    def surely_beside_w(self) -> float:
        """What is drawn beside the model's expectation beyond one standard deviation of it; 0 or more."""
        return max(0.0, self.rest_w - math.sqrt(self.rest_var))

    def _noise(self, off_w: float) -> float:
        """Half the mean square of what changes from one reading to the next is noise."""
        if self.last_w is None:
            return self.noise_var
        half = min((off_w - self.last_w) ** 2 / 2, 16 * self.noise_var)
        return max(_NOISE_LEAST_VAR, self.noise_var + _NOISE_WEIGHT * (half - self.noise_var))
