"""What each variant draws: the board's idle power, and the dynamic power of each variant while it infers.

A frame's window of W seconds with L seconds of inference costs E = idle W + dynamic(v) L, with
dynamic(v) = base(v) exp(common + own(v)). An extended Kalman filter holds idle and the common factor with their
covariance (one variant at a constant pace teaches only their sum), and each variant's own factor beside them.
A profile states idle + dynamic together: it is known better than its parts, and the prior says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edge.controller.learn.latency import shared

_IDLE_WALK_VAR = 2e-5  # W**2 a second: fans, radios and regulators come and go
_COMMON_WALK_VAR = 1e-5  # a second
_OWN_WALK_VAR = 1e-7
_OWN_PRIOR_VAR = 0.03**2  # a profile is right to 5 % or so at the worst
_UNKNOWN_OWN_VAR = 0.15**2  # dynamic power that was guessed from multiply-accumulates
_COMMON_PRIOR_VAR = 1.5**2  # where the dynamic power itself is a guess: far wider than what differs between variants
_PROFILE_VAR = 0.12**2  # of what a profile says of all variants at once: another day, another supply
_IDLE_PRIOR_SHARE = 0.3  # one standard deviation of the idle power's prior
_IDLE_READING_VAR = 0.1**2  # W**2
_NOISE_SHARE = 0.03  # of a window's energy, before the scatter itself is known
_NOISE_WEIGHT = 0.02
_LARGEST_STEP = 1.0  # of a logarithm in one update


@dataclass(frozen=True)
class PowerModel:
    """Watts: mean and variance of the idle power; logarithms for the factors. `base_w` is dynamic power by variant."""

    base_w: Mapping[str, float]
    idle_w: float
    idle_var: float
    guessed: frozenset[str] = frozenset()
    common: float = 0.0
    common_var: float = _COMMON_PRIOR_VAR
    cross_var: float = 0.0  # of idle and common
    own: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    noise_var: float = _NOISE_SHARE**2  # of relative errors
    windows: int = 0

    @classmethod
    def prior(cls, base_w: Mapping[str, float], idle_w: float, guessed: frozenset[str] = frozenset()) -> PowerModel:
        """Before anything was seen: the profile's figures to some 12 %; guesses to a factor of four."""
        idle_var = (_IDLE_PRIOR_SHARE * idle_w) ** 2
        stated = [watts for name, watts in base_w.items() if name not in guessed]
        if not stated:
            return cls(base_w, idle_w, idle_var, guessed)
        # idle + dynamic was stated: what idle has too much, dynamic has too little.
        mean_w = max(0.1, sum(stated) / len(stated))
        return cls(
            base_w, idle_w, idle_var, guessed,
            common_var=_PROFILE_VAR + idle_var / mean_w**2, cross_var=-idle_var / mean_w,
        )  # fmt: skip

    def seen(self, variant: str, energy_j: float, window_s: float, infer_s: float) -> PowerModel:
        """After one window, or several of one variant taken together. What cannot be true changes nothing."""
        possible = variant in self.base_w and 0 < infer_s <= window_s < 3600 and 0 < energy_j < 1e6 * window_s
        if not possible:
            return self
        own, own_var = self._own(variant)
        idle_var = self.idle_var + _IDLE_WALK_VAR * window_s
        common_var = self.common_var + _COMMON_WALK_VAR * window_s
        own_var += _OWN_WALK_VAR * window_s
        dynamic_j = self.base_w[variant] * math.exp(self.common + own) * infer_s
        expected_j = self.idle_w * window_s + dynamic_j
        innovation = energy_j - expected_j
        towards_idle = window_s * idle_var + dynamic_j * self.cross_var
        towards_common = window_s * self.cross_var + dynamic_j * common_var
        spread = window_s * towards_idle + dynamic_j * (towards_common + dynamic_j * own_var)
        spread += self.noise_var * expected_j**2 + 1e-12
        idle_gain, common_gain = towards_idle / spread, towards_common / spread
        own_gain = dynamic_j * own_var / spread
        rest = innovation / expected_j
        return replace(
            self,
            idle_w=max(0.0, self.idle_w + idle_gain * innovation),
            idle_var=idle_var - idle_gain * towards_idle,
            common=self.common + _bounded(common_gain * innovation),
            common_var=common_var - common_gain * towards_common,
            cross_var=self.cross_var - idle_gain * towards_common,
            own={
                **self.own,
                variant: (own + _bounded(own_gain * innovation), own_var * (1 - own_gain * dynamic_j)),
            },
            noise_var=self._noise(rest),
            windows=self.windows + 1,
        )

    def idling(self, power_w: float) -> PowerModel:
        """After a reading while nothing ran: of the idle power alone. What cannot be true changes nothing."""
        if not 0 <= power_w < 1e6:
            return self
        gain, cross_gain = (var / (self.idle_var + _IDLE_READING_VAR) for var in (self.idle_var, self.cross_var))
        innovation = power_w - self.idle_w
        return replace(
            self,
            idle_w=self.idle_w + gain * innovation,
            idle_var=self.idle_var * (1 - gain),
            common=self.common + _bounded(cross_gain * innovation),
            common_var=self.common_var - cross_gain * self.cross_var,
            cross_var=self.cross_var * (1 - gain),
        )

    def _own(self, variant: str) -> tuple[float, float]:
        if variant in self.own:
            return self.own[variant]
        if variant not in self.guessed:
            return 0.0, _OWN_PRIOR_VAR
        return shared([own for name, (own, _) in self.own.items() if name in self.guessed]), _UNKNOWN_OWN_VAR

    def _noise(self, rest: float) -> float:
        if self.windows < 5:
            return self.noise_var
        bounded = min(rest * rest, 16 * self.noise_var)
        return max(1e-6, self.noise_var + _NOISE_WEIGHT * (bounded - self.noise_var))

    def dynamic_w(self, variant: str) -> float | None:
        """Watts over idle while `variant` infers; None for an unknown variant."""
        base = self.base_w.get(variant)
        if base is None:
            return None
        own, _ = self._own(variant)
        return base * math.exp(self.common + own)

    def energy_j(self, variant: str, window_s: float, infer_s: float) -> float | None:
        """Expected energy of one window."""
        dynamic = self.dynamic_w(variant)
        return None if dynamic is None else self.idle_w * window_s + dynamic * infer_s

    def power_w(self, variant: str, busy: float) -> float | None:
        """Mean power with the share `busy` (0..1) of time spent inferring."""
        dynamic = self.dynamic_w(variant)
        return None if dynamic is None else self.idle_w + dynamic * min(1.0, max(0.0, busy))

    def spread_w(self, variant: str, busy: float, busy_spread: float = 0.0) -> float:
        """One standard deviation of `power_w`; `busy_spread` is that of the busy share, as a share of it."""
        dynamic = self.dynamic_w(variant) or 0.0
        _, own_var = self._own(variant)
        busy_w = dynamic * busy
        var = self.idle_var + 2 * busy_w * self.cross_var + busy_w**2 * (self.common_var + own_var + busy_spread**2)
        return math.sqrt(max(0.0, var))


def _bounded(step: float) -> float:
    return min(_LARGEST_STEP, max(-_LARGEST_STEP, step))
