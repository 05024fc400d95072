"""Threshold tiers: resident variants in three tiers, chosen by fixed thresholds with hysteresis.

The rule of RAMS (resident model tiers on small boards, 2026) as published: the worst of battery, temperature and
latency names the tier; a tier is left again only when its value has recovered by the hysteresis. It knows no horizon
and foretells nothing. The thresholds are parameters; the bench tunes them on seeds of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.controller.contract import Candidate, Decision, Observation
from edge.controller.goals import Goals
from edge.controller.ladder import ladder_of

_NS = 1e-9


@dataclass(frozen=True)
class Tiers:
    """Where each tier begins: charge below which, and share of the temperature limit above which, tiers 1 and 2 run."""

    charge: tuple[float, float] = (0.5, 0.2)
    heat_below_limit_c: tuple[float, float] = (8.0, 3.0)  # degrees under the limit
    hysteresis_charge: float = 0.03
    hysteresis_c: float = 3.0
    late_share: float = 0.1  # of frames over the deadline: one tier down


@dataclass(frozen=True)
class TierState:
    """The tier by each input, and since when."""

    charge_tier: int = 0
    heat_tier: int = 0
    late_tier: int = 0
    variant: str | None = None
    since_ns: int = 0
    late_since_ns: int = 0


class TierController:
    """See the module's text."""

    def __init__(self, goals: Goals, tiers: Tiers | None = None) -> None:
        self.goals, self.tiers = goals, tiers or Tiers()

    def initial(self) -> TierState:
        return TierState()

    def decide(self, state: TierState, seen: Observation) -> tuple[TierState, Decision]:
        """The next state and decision. Raises ValueError when no candidate is usable."""
        rungs = ladder_of(seen.candidates)
        if not rungs:
            raise ValueError("no usable variant is left")
        charge_tier = self._charge(state, seen)
        heat_tier = self._heat(state, seen)
        late_tier, late_since_ns = self._late(state, seen)
        tier = max(charge_tier, heat_tier, late_tier, self._power(seen))
        wanted = _of_tier(rungs, tier)
        dwelt_s = (seen.monotonic_ns - state.since_ns) * _NS
        variant, since_ns = state.variant, state.since_ns
        if variant is None or (wanted.id != variant and dwelt_s >= self.goals.dwell_s):
            variant, since_ns = wanted.id, seen.monotonic_ns
        state = TierState(charge_tier, heat_tier, late_tier, variant, since_ns, late_since_ns)
        return state, Decision(variant, f"tier {tier}")

    def _charge(self, state: TierState, seen: Observation) -> int:
        if seen.battery is None or seen.on_mains:
            return state.charge_tier if not seen.on_mains else 0
        first, second = self.tiers.charge
        return _tier(-seen.battery, -first, -second, state.charge_tier, self.tiers.hysteresis_charge)

    def _heat(self, state: TierState, seen: Observation) -> int:
        limit = self.goals.max_temperature_c
        if seen.temperature_c is None or limit is None:
            return state.heat_tier
        first, second = (limit - below for below in self.tiers.heat_below_limit_c)
        return _tier(seen.temperature_c, first, second, state.heat_tier, self.tiers.hysteresis_c)

    def _late(self, state: TierState, seen: Observation) -> tuple[int, int]:
        limit = self.goals.longest_ms
        if limit is None or not seen.frames:
            return state.late_tier, state.late_since_ns
        late = sum(frame.infer_ms > limit for frame in seen.frames) / len(seen.frames)
        if late > self.tiers.late_share and state.late_tier < 2:
            return state.late_tier + 1, seen.monotonic_ns
        if state.late_tier and (seen.monotonic_ns - state.late_since_ns) * _NS > 6 * self.goals.dwell_s:
            return state.late_tier - 1, seen.monotonic_ns
        return state.late_tier, state.late_since_ns

    def _power(self, seen: Observation) -> int:
        limit = self.goals.max_power_w
        return 2 if limit is not None and seen.power_w is not None and seen.power_w > limit else 0


def _tier(value: float, first: float, second: float, tier: int, hysteresis: float) -> int:
    """Rising values raise the tier at once; it falls when the value is back under the threshold by the hysteresis."""
    up = 2 if value >= second else 1 if value >= first else 0
    down = 2 if value >= second - hysteresis else 1 if value >= first - hysteresis else 0
    return max(up, min(tier, down))


def _of_tier(rungs: list[Candidate], tier: int) -> Candidate:
    return (rungs[0], rungs[len(rungs) // 2], rungs[-1])[tier]
