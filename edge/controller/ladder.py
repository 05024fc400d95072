"""The ladder: keep the most accurate variant that meets deadline, temperature, power and battery limits.

Variants that are both slower and less accurate than another are left out; the rest form a ladder from the most
accurate (rung 0) to the cheapest. Each limit asks for a lowest permitted rung; the strictest one wins. Heat and power
walk down one rung at a time and come back only when the value has fallen by the hysteresis; the battery maps straight
to a rung. Nothing moves within the dwell time, except in an emergency, which goes to the cheapest rung at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edge.controller.contract import Candidate, Decision, Observation

NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """What the ladder must respect; None means that there is no such limit."""

    deadline_ms: float | None = None
    max_temperature_c: float | None = 75.0
    temperature_hysteresis_c: float = 5.0
    emergency_temperature_c: float | None = 85.0
    max_power_w: float | None = None
    power_hysteresis_w: float = 0.5
    battery_saving_from: float = 0.5  # ratio: below it the battery asks for cheaper variants
    battery_critical: float = 0.05  # ratio: below it only the cheapest
    battery_hysteresis: float = 0.02  # ratio
    dwell_s: float = 5.0


@dataclass(frozen=True)
class LadderState:
    """What the ladder remembers between two decisions."""

    variant: str | None = None
    since_ns: int = 0
    heat_rung: int = 0
    heat_moved_ns: int = 0
    power_rung: int = 0
    power_moved_ns: int = 0
    battery_rung: int = 0
    deadline_rung: int = 0


@dataclass(frozen=True)
class Demand:
    """One limit's word: the lowest permitted rung and its reason."""

    rung: int
    reason: str
    emergency: bool = False


class LadderController:
    """See the module's text. Pure; `decide` never raises for lost sensors, it ignores the limit they belong to."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def initial(self) -> LadderState:
        return LadderState()

    def decide(self, state: LadderState, seen: Observation) -> tuple[LadderState, Decision]:
        """The next state and decision. Raises ValueError when no candidate is usable."""
        rungs = ladder_of(seen.candidates)
        if not rungs:
            raise ValueError("no usable variant is left")
        last = len(rungs) - 1
        state, heat = self._heat(state, seen, last)
        state, power = self._power(state, seen, last)
        state, battery = self._battery(state, seen, last)
        state, deadline = self._deadline(state, seen, rungs)
        demands = [heat, power, battery, deadline]
        strictest = max(demands, key=lambda d: (d.rung, d.emergency))
        wanted = rungs[strictest.rung]
        numbers = _numbers(seen, wanted)
        emergency = any(d.emergency for d in demands)
        # A variant that fell off the ladder (another is now better in every way) still keeps its dwell time.
        present = next((c for c in seen.candidates if c.usable and c.id == state.variant), None)
        dwelt_s = (seen.monotonic_ns - state.since_ns) / NS_PER_S
        if present is not None and wanted.id != present.id and dwelt_s < self.limits.dwell_s and not emergency:
            waiting = f"stays for the dwell time ({dwelt_s:.1f} of {self.limits.dwell_s:g} s)"
            return state, Decision(present.id, waiting, numbers)
        if wanted.id != state.variant:
            state = replace(state, variant=wanted.id, since_ns=seen.monotonic_ns)
        reason = strictest.reason if strictest.rung else "the most accurate variant: every limit is met"
        return state, Decision(wanted.id, reason, numbers, emergency)

    def _heat(self, state: LadderState, seen: Observation, last: int) -> tuple[LadderState, Demand]:
        limits, value = self.limits, seen.temperature_c
        rung = min(state.heat_rung, last)
        if value is None or not math.isfinite(value) or limits.max_temperature_c is None:
            return replace(state, heat_rung=rung), Demand(rung, "temperature unknown: keeps the last careful choice")
        if limits.emergency_temperature_c is not None and value >= limits.emergency_temperature_c:
            state = replace(state, heat_rung=last, heat_moved_ns=seen.monotonic_ns)
            return state, Demand(last, f"emergency: {value:.1f} °C is over {limits.emergency_temperature_c:g} °C", True)
        rung, moved = _walk(
            rung, state.heat_moved_ns, seen.monotonic_ns, last, limits.dwell_s,
            over=value > limits.max_temperature_c or bool(seen.throttled),
            under=value < limits.max_temperature_c - limits.temperature_hysteresis_c and not seen.throttled,
        )  # fmt: skip
        state = replace(state, heat_rung=rung, heat_moved_ns=moved)
        why = "the board throttles" if seen.throttled else f"limit {limits.max_temperature_c:g} °C"
        return state, Demand(rung, f"temperature {value:.1f} °C ({why})")

    def _power(self, state: LadderState, seen: Observation, last: int) -> tuple[LadderState, Demand]:
        limits, value = self.limits, seen.power_w
        rung = min(state.power_rung, last)
        known = value is not None and math.isfinite(value)
        if limits.max_power_w is not None and not known and not seen.undervoltage:
            return replace(state, power_rung=rung), Demand(rung, "power unknown: keeps the last careful choice")
        limit_w = math.inf if limits.max_power_w is None else limits.max_power_w
        watts = value if known and value is not None else 0.0
        rung, moved = _walk(
            rung, state.power_moved_ns, seen.monotonic_ns, last, limits.dwell_s,
            over=bool(seen.undervoltage) or watts > limit_w,
            under=not seen.undervoltage and watts < limit_w - limits.power_hysteresis_w,
        )  # fmt: skip
        state = replace(state, power_rung=rung, power_moved_ns=moved)
        if seen.undervoltage or limits.max_power_w is None:
            return state, Demand(rung, "the supply's voltage sagged: a stronger supply or a thicker cable is wanted")
        return state, Demand(rung, f"power {watts:.2f} W (limit {limits.max_power_w:g} W)")

    def _battery(self, state: LadderState, seen: Observation, last: int) -> tuple[LadderState, Demand]:
        limits, value = self.limits, seen.battery
        rung = min(state.battery_rung, last)
        if seen.on_mains:
            return replace(state, battery_rung=0), Demand(0, "on mains")
        if value is None or not math.isfinite(value):
            return replace(state, battery_rung=rung), Demand(rung, "battery unknown: keeps the last careful choice")
        if value <= limits.battery_critical:
            state = replace(state, battery_rung=last)
            return state, Demand(last, f"battery {100 * value:.0f} %: critical", True)
        asked = _battery_rung(value, limits, last)
        if asked < rung:  # rises only when the charge is clear of the step that sent it down
            asked = max(asked, min(rung, _battery_rung(value - limits.battery_hysteresis, limits, last)))
        state = replace(state, battery_rung=asked)
        return state, Demand(
            asked, f"battery {100 * value:.0f} %, saving from {100 * limits.battery_saving_from:.0f} %"
        )

    def _deadline(self, state: LadderState, seen: Observation, rungs: list[Candidate]) -> tuple[LadderState, Demand]:
        limit = self.limits.deadline_ms
        if limit is None:
            return replace(state, deadline_rung=0), Demand(0, "")
        last = len(rungs) - 1
        held = min(state.deadline_rung, last)
        for rung, candidate in enumerate(rungs):
            # Coming back to a slower variant needs a tenth of margin, so that noise does not swing it.
            bound = limit if rung >= held else 0.9 * limit
            if candidate.latency_ms is None or candidate.latency_ms <= bound:
                break
        else:
            rung = last
        slower = rungs[rung - 1] if rung else None
        reason = ""
        if slower is not None and slower.latency_ms is not None:
            reason = f"deadline {limit:g} ms: {slower.id} takes {slower.latency_ms:.0f} ms"
        return replace(state, deadline_rung=rung), Demand(rung, reason)


def ladder_of(candidates: tuple[Candidate, ...]) -> list[Candidate]:
    """The usable, undominated candidates, most accurate first.

    A candidate is dominated when another one is at least as accurate and no slower. Where accuracies are unknown,
    multiply-accumulates stand in for the order (more is better); an unknown latency is taken from them at the pace of
    the candidates that have one.
    """
    usable = [c for c in candidates if c.usable]
    paces = sorted(c.latency_ms / c.macs for c in usable if c.macs and c.latency_ms is not None)
    pace = paces[len(paces) // 2] if paces else 1.0

    def cost(c: Candidate) -> float:
        if c.latency_ms is not None and math.isfinite(c.latency_ms):
            return c.latency_ms
        return float(c.macs or 0) * pace

    kept = []
    for c in usable:
        beaten = any(
            o is not c
            and _merit(o) >= _merit(c)
            and cost(o) <= cost(c)
            and (_merit(o), -cost(o)) != (_merit(c), -cost(c))
            for o in usable
        )
        if not beaten:
            kept.append(c)
    return sorted(kept, key=lambda c: (-_merit(c), cost(c), c.id))


def _merit(c: Candidate) -> float:
    if c.accuracy is not None and math.isfinite(c.accuracy):
        return c.accuracy
    return -1.0 / (1.0 + (c.macs or 0))  # below every known accuracy, and rising with size


def _walk(
    rung: int, moved_ns: int, now_ns: int, last: int, dwell_s: float, *, over: bool, under: bool
) -> tuple[int, int]:
    if now_ns - moved_ns < dwell_s * NS_PER_S and moved_ns:
        return rung, moved_ns
    if over and rung < last:
        return rung + 1, now_ns
    if under and rung > 0:
        return rung - 1, now_ns
    return rung, moved_ns


def _battery_rung(charge: float, limits: Limits, last: int) -> int:
    span = limits.battery_saving_from - limits.battery_critical
    if charge >= limits.battery_saving_from or span <= 0:
        return 0
    share = (limits.battery_saving_from - charge) / span
    return min(last, 1 + int(share * last))


def _numbers(seen: Observation, wanted: Candidate) -> dict[str, float | str]:
    numbers: dict[str, float | str] = {}
    for name in ("temperature_c", "battery", "power_w", "fps"):
        value = getattr(seen, name)
        if value is not None:
            numbers[name] = round(float(value), 4)
    if wanted.latency_ms is not None:
        numbers["expected_latency_ms"] = round(wanted.latency_ms, 3)
    if wanted.accuracy is not None:
        numbers["accuracy"] = round(wanted.accuracy, 4)
    return numbers
