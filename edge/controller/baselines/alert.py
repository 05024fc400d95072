"""ALERT, re-implemented from its paper (Wan et al., USENIX ATC 2020), for variants alone (no power caps are set here).

One global slow-down factor xi, the ratio of measured to profiled latency, is filtered by a Kalman filter whose process
noise adapts to the innovations; its mean and variance give each variant's chance to meet the deadline. Idle power is
filtered as a ratio in the same way. Each period, the variant with the highest expected accuracy is taken among those
whose expected energy keeps the budget. The budget is what is left of the battery over the time that is left; heat is
not part of ALERT, so it gets the usual guard of a governor: the next cheaper variant above the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edge.controller.contract import Candidate, Decision, Observation
from edge.controller.goals import Goals

_NS = 1e-9
_Q0, _ALPHA, _R = 0.1, 0.3, 0.001  # as published: initial process noise, forgetting factor, measurement noise
_IDLE_W, _BUSY_W = 3.0, 5.8


@dataclass(frozen=True)
class AlertState:
    """The filters of the paper's section on estimation, and the board's bookkeeping."""

    xi: float = 1.0
    variance: float = 0.1
    gain: float = 0.5
    noise: float = _Q0
    power_ratio: float = 1.0
    base_ms: dict[str, float] = field(default_factory=dict)
    start_ns: int | None = None
    variant: str | None = None
    since_ns: int = 0
    barred: int = 0
    barred_ns: int = 0


class AlertController:
    """See the module's text."""

    def __init__(self, goals: Goals) -> None:
        self.goals = goals

    def initial(self) -> AlertState:
        return AlertState()

    def decide(self, state: AlertState, seen: Observation) -> tuple[AlertState, Decision]:
        """The next state and decision. Raises ValueError when no candidate is usable."""
        usable = [c for c in seen.candidates if c.usable]
        if not usable:
            raise ValueError("no usable variant is left")
        base_ms = state.base_ms or {c.id: c.latency_ms or 100.0 for c in seen.candidates}
        xi, variance, gain, noise = state.xi, state.variance, state.gain, state.noise
        for frame in seen.frames:
            innovation = frame.infer_ms / base_ms[frame.variant] - xi
            noise = max(_Q0 * 1e-2, _ALPHA * noise + (1 - _ALPHA) * (gain * innovation) ** 2)
            predicted = (1 - gain) * variance + noise
            gain = predicted / (predicted + _R)
            xi, variance = xi + gain * innovation, predicted
        ratio = self._power_ratio(state, usable, seen)
        barred, barred_ns = self._heat(state, seen, len(usable))
        start_ns = seen.monotonic_ns if state.start_ns is None else state.start_ns
        ranked = sorted(usable, key=lambda c: -base_ms[c.id])[min(barred, len(usable) - 1) :]
        budget_w = self._budget_w(seen, start_ns)
        best = self._best(ranked, base_ms, xi, math.sqrt(variance), ratio, budget_w, seen)
        variant, since_ns = state.variant, state.since_ns
        if variant is None or (best.id != variant and (seen.monotonic_ns - since_ns) * _NS >= self.goals.dwell_s):
            variant, since_ns = best.id, seen.monotonic_ns
        state = AlertState(
            xi, variance, gain, noise, ratio, base_ms, start_ns, variant, since_ns, barred, barred_ns
        )  # fmt: skip
        return state, Decision(variant, f"ALERT: slow-down {xi:.2f}")

    def _power_ratio(self, state: AlertState, usable: list[Candidate], seen: Observation) -> float:
        if seen.power_w is None or seen.running is None:
            return state.power_ratio
        running = next((c for c in usable if c.id == seen.running), None)
        if running is None:
            return state.power_ratio
        expected = _watts(running, state.base_ms.get(running.id, 100.0) * state.xi, seen)
        return state.power_ratio + 0.1 * (seen.power_w / expected - state.power_ratio)

    def _heat(self, state: AlertState, seen: Observation, count: int) -> tuple[int, int]:
        limit = self.goals.max_temperature_c
        if limit is None or seen.temperature_c is None:
            return state.barred, state.barred_ns
        waited = (seen.monotonic_ns - state.barred_ns) * _NS >= self.goals.dwell_s
        if seen.temperature_c > limit - 2.0 and waited and state.barred < count - 1:
            return state.barred + 1, seen.monotonic_ns
        if seen.temperature_c < limit - 7.0 and waited and state.barred:
            return state.barred - 1, seen.monotonic_ns
        return state.barred, state.barred_ns

    def _budget_w(self, seen: Observation, start_ns: int) -> float:
        cap = self.goals.max_power_w if self.goals.max_power_w is not None else math.inf
        if self.goals.battery_hours is None or seen.on_mains:
            return cap
        left_s = self.goals.battery_hours * 3600 - (seen.monotonic_ns - start_ns) * _NS
        left_j = seen.battery_energy_j
        if left_j is None and seen.battery is not None and self.goals.battery_capacity_wh is not None:
            left_j = seen.battery * self.goals.battery_capacity_wh * 3600
        return cap if left_j is None or left_s <= 0 else min(cap, left_j / left_s)

    def _best(
        self,
        ranked: list[Candidate],
        base_ms: dict[str, float],
        xi: float,
        spread: float,
        ratio: float,
        budget_w: float,
        seen: Observation,
    ) -> Candidate:
        limit = self.goals.longest_ms
        scored = []
        for c in ranked:
            mean_ms = base_ms[c.id] * xi
            chance = 1.0
            if limit is not None:
                chance = 0.5 * math.erfc((mean_ms - limit) / max(1e-9, base_ms[c.id] * spread) / math.sqrt(2))
            watts = ratio * _watts(c, mean_ms, seen)
            scored.append((watts <= budget_w, (c.accuracy or 0.0) * chance, -watts, c))
        affordable = [s for s in scored if s[0]]
        if affordable:
            return max(affordable, key=lambda s: s[1])[3]
        return max(scored, key=lambda s: s[2])[3]


def _watts(candidate: Candidate, latency_ms: float, seen: Observation) -> float:
    busy = 1.0 if seen.camera_fps is None else min(1.0, latency_ms * seen.camera_fps / 1000)
    return _IDLE_W + ((candidate.power_w or _BUSY_W) - _IDLE_W) * busy
