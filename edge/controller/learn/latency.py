"""How long each variant takes here and now: a slow-down common to all, and what each variant has of its own.

ln(latency) = ln(base) + slowdown + own[variant] + noise. The slow-down is a random walk (contention, frequency
scaling, throttling slow everything that runs), as in ALERT (Wan et al., USENIX ATC 2020), which filters one global
slow-down factor; ours is filtered in the logarithm, so that twice as slow and half as slow are alike, and each variant
keeps a correction of its own, since a base is rarely right to the percent.

A jump (another process takes the processor) shows as innovations of one sign far outside what the filter expects.
After `_JUMP_FRAMES` of them the slow-down is taken to be unknown again and follows at once; a single one is an
outlier and hardly moves it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

_WALK_VAR = 2e-5  # variance that the slow-down gains with each frame: 0.45 % a frame
_OWN_WALK_VAR = 1e-7
_OWN_PRIOR_VAR = 0.03**2  # a profile is right to 5 % or so at the worst
_UNKNOWN_OWN_VAR = 0.35**2  # a base that was guessed from multiply-accumulates
_SLOW_PRIOR_VAR = 0.3**2
_UNKNOWN_PACE_VAR = 2.0**2  # no base was measured at all: the board's pace itself is a guess, by a factor of e**2
_NOISE_PRIOR_VAR = 0.03**2
_NOISE_LOWEST_VAR = 0.004**2
_NOISE_WEIGHT = 0.02
_OUTLIER = 3.5  # standard deviations
_JUMP_FRAMES = 2
_LEAST_MS, _MOST_MS = 1e-3, 1e7


@dataclass(frozen=True)
class LatencyModel:
    """Gaussian beliefs in the logarithm: mean and variance of the slow-down, and of each variant's own part."""

    base_ms: Mapping[str, float]
    guessed: frozenset[str] = frozenset()  # variants whose base nobody measured
    slow: float = 0.0
    slow_var: float = _SLOW_PRIOR_VAR
    own: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    noise_var: float = _NOISE_PRIOR_VAR
    streak: int = 0  # outliers of one sign in a row, with that sign
    jumps: int = 0  # how often the slow-down jumped so far

    @classmethod
    def prior(cls, base_ms: Mapping[str, float], guessed: frozenset[str] = frozenset()) -> LatencyModel:
        """Before anything ran. Where every base is a guess, the first frames must teach the pace of the board, which
        all variants share, and not what the one that runs has of its own: else it alone would look fast."""
        return cls(base_ms, guessed, slow_var=_UNKNOWN_PACE_VAR if guessed >= base_ms.keys() else _SLOW_PRIOR_VAR)

    def seen(self, variant: str, latency_ms: float) -> LatencyModel:
        """After one inference. A latency that is not a positive number, or of an unknown variant, changes nothing."""
        base = self.base_ms.get(variant)
        if base is None or not _LEAST_MS < latency_ms < _MOST_MS:
            return self
        own, own_var = self._own(variant)
        slow_var, own_var = self.slow_var + _WALK_VAR, own_var + _OWN_WALK_VAR
        innovation = math.log(latency_ms / base) - self.slow - own
        spread_var = slow_var + own_var + self.noise_var
        streak = self._streak(innovation, math.sqrt(spread_var))
        if abs(streak) >= _JUMP_FRAMES:
            slow_var, spread_var = slow_var + innovation**2, spread_var + innovation**2
        elif streak:
            # One of its kind: believed as little as its size says (Huber), and the noise learns nothing from it.
            spread_var *= abs(innovation) / (_OUTLIER * math.sqrt(spread_var)) * 4
        slow_gain, own_gain = slow_var / spread_var, own_var / spread_var
        noise_var = self.noise_var
        if not streak:
            # What is left after the update scatters by the noise alone, but for the part that the gains took away.
            rest = innovation * (1 - slow_gain - own_gain)
            scatter = rest**2 / max(0.25, 1 - slow_gain - own_gain)
            noise_var += _NOISE_WEIGHT * (min(scatter, _OUTLIER**2 * noise_var) - noise_var)
        jumped = abs(streak) >= _JUMP_FRAMES
        return replace(
            self,
            slow=self.slow + slow_gain * innovation,
            slow_var=slow_var * (1 - slow_gain),
            own={**self.own, variant: (own + own_gain * innovation, own_var * (1 - own_gain))},
            noise_var=max(_NOISE_LOWEST_VAR, noise_var),
            streak=0 if jumped else streak,
            jumps=self.jumps + jumped,
        )

    def expected_ms(self, variant: str, spreads: float = 0.0) -> float | None:
        """The median, or the value that many standard deviations above it; None for an unknown variant.

        The doubt about what a variant has of its own is not in the spread: a few frames of it teach that, which is
        cheaper than never trying it.
        """
        base = self.base_ms.get(variant)
        if base is None:
            return None
        own, _ = self._own(variant)
        # With guessed bases the slow-down and what each has of its own cannot be told apart before it ran.
        slow_var = 0.0 if variant in self.guessed and variant not in self.own else self.slow_var
        spread = math.sqrt(slow_var + self.noise_var) if spreads else 0.0
        return base * math.exp(min(50.0, self.slow + own + spreads * spread))

    @property
    def slowdown(self) -> float:
        """How many times slower than the bases everything runs now."""
        return math.exp(self.slow)

    def own_spread(self, variant: str) -> float:
        """One standard deviation of what `variant` has of its own, as a share of its latency."""
        return math.sqrt(self._own(variant)[1])

    def _own(self, variant: str) -> tuple[float, float]:
        if variant in self.own:
            return self.own[variant]
        if variant not in self.guessed:
            return 0.0, _OWN_PRIOR_VAR
        return shared([own for name, (own, _) in self.own.items() if name in self.guessed]), _UNKNOWN_OWN_VAR

    def _streak(self, innovation: float, spread: float) -> int:
        if abs(innovation) <= _OUTLIER * spread:
            return 0
        sign = 1 if innovation > 0 else -1
        return self.streak + sign if self.streak * sign >= 0 else sign


def shared(owns: list[float]) -> float:
    """What guesses that were tried had wrong on the mean: the best that is known of those that were not tried yet.

    Without it the one that ran alone would take for its own what the guesses have in common, and look cheaper, or
    dearer, than all that never ran.
    """
    return sum(owns) / len(owns) if owns else 0.0


def bases(
    latency_ms: Mapping[str, float | None], macs: Mapping[str, int | None]
) -> tuple[dict[str, float], frozenset[str]]:
    """A base for each variant: measured, else by multiply-accumulates at the pace of those measured, else 10 GMAC/s."""
    paces = sorted(
        known / count
        for name, known in latency_ms.items()
        if known is not None and known > 0 and (count := macs.get(name))
    )
    pace = paces[len(paces) // 2] if paces else 1e-7
    found, guessed = {}, set()
    for name, known in latency_ms.items():
        if known is not None and known > 0:
            found[name] = known
        else:
            found[name] = max(0.1, (macs.get(name) or 100_000_000) * pace)
            guessed.add(name)
    return found, frozenset(guessed)
