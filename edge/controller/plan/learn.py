"""From an observation to updated models."""

from __future__ import annotations

from dataclasses import replace

from edge.controller.contract import Candidate, FrameSeen, Observation
from edge.controller.goals import Goals
from edge.controller.learn.battery import BatteryModel
from edge.controller.learn.latency import LatencyModel, bases
from edge.controller.learn.power import PowerModel
from edge.controller.learn.thermal import ThermalModel
from edge.controller.plan.state import Learnt, Standstill, busy_share

_NS = 1e-9
_IDLE_GUESS_W = 3.0
_BUSY_GUESS_W = 2.8  # over idle, of the dearest variant
_FROZEN_S = 60.0
_FROZEN_C = 4.0
_FROZEN_STEPS = 2.0  # of the sensor itself
_FROZEN_SPREADS = 1.0  # of the model's own doubt: what is hardly known cannot convict a sensor
_LONGEST_STEP_S = 60.0
_OVERHEAD_WEIGHT = 0.1
_SETTLED_WINDOWS = 20


def first_beliefs(candidates: tuple[Candidate, ...], goals: Goals) -> Learnt:
    """What the profile says before anything was seen, and guesses where it says nothing."""
    base_ms, guessed = bases({c.id: c.latency_ms for c in candidates}, {c.id: c.macs for c in candidates})
    dearest = max((c.macs or 0 for c in candidates), default=0) or 1
    idle_w = next((c.idle_w for c in candidates if c.idle_w), _IDLE_GUESS_W)
    dynamic_w, guessed_w = {}, set()
    for c in candidates:
        if c.power_w is not None and c.power_w > idle_w:
            dynamic_w[c.id] = c.power_w - idle_w
        else:
            # A processor at work draws most of its dynamic power whatever it computes.
            guessed_w.add(c.id)
            dynamic_w[c.id] = _BUSY_GUESS_W * (0.6 + 0.4 * (c.macs or dearest) / dearest)
    capacity_j = None if goals.battery_capacity_wh is None else goals.battery_capacity_wh * 3600
    return Learnt(
        LatencyModel.prior(base_ms, guessed),
        PowerModel.prior(dynamic_w, idle_w, frozenset(guessed_w)),
        battery=BatteryModel.stated(capacity_j),
    )


def updated(learnt: Learnt, seen: Observation, elapsed_s: float) -> Learnt:
    """`learnt` after one more believable observation, `elapsed_s` after the one before."""
    latency, power = learnt.latency, learnt.power
    for frame in seen.frames:
        latency = latency.seen(frame.variant, frame.infer_ms)
    for variant, energy_j, window_s, infer_s in _windows(seen.frames):
        power = power.seen(variant, energy_j, window_s, infer_s)
    if seen.running is None and seen.power_w is not None:
        power = power.idling(seen.power_w)
    draw = learnt.draw.seen(seen.power_w, _model_w(learnt, seen), elapsed_s)
    # The rest is learnt against a power model that has seen something, or its first errors would pass for jumps.
    rest_w = draw.jump_w if learnt.power.windows >= _SETTLED_WINDOWS else 0.0
    surprise = learnt.surprise.seen(_slower(learnt.latency, seen.frames), rest_w, elapsed_s)
    thermal, standstill = _heat(learnt, seen, draw.power_w, min(elapsed_s, _LONGEST_STEP_S))
    drawn_w = draw.power_w if seen.power_w is None else seen.power_w
    battery = learnt.battery.seen(seen.battery, seen.battery_energy_j, drawn_w, elapsed_s, bool(seen.on_mains))
    return Learnt(latency, power, thermal, battery, standstill, _overhead_ms(learnt, seen), draw, surprise)


def _slower(latency: LatencyModel, frames: tuple[FrameSeen, ...]) -> float:
    """By what share these frames took longer than was foretold; 0 while a variant's own latency is not known yet."""
    known = [(f.infer_ms, latency.expected_ms(f.variant)) for f in frames if f.variant in latency.own]
    foretold = sum(expected for _, expected in known if expected is not None)
    return sum(took for took, _ in known) / foretold - 1 if foretold > 0 else 0.0


def _windows(frames: tuple[FrameSeen, ...]) -> list[tuple[str, float, float, float]]:
    """Frames of one variant taken together, so that one slow update does the work of many: variant, J, s, s."""
    sums: dict[str, tuple[float, float, float]] = {}
    for frame in frames:
        if frame.energy_mj is not None:
            energy, window, infer = sums.get(frame.variant, (0.0, 0.0, 0.0))
            sums[frame.variant] = (energy + frame.energy_mj, window + frame.window_ms, infer + frame.infer_ms)
    return [(variant, energy / 1e3, window / 1e3, infer / 1e3) for variant, (energy, window, infer) in sums.items()]


def _model_w(learnt: Learnt, seen: Observation) -> float | None:
    """What the power model makes of the time since the last decision."""
    if seen.running is None:
        return None
    window = sum(frame.window_ms for frame in seen.frames)
    if window > 0:
        return learnt.power.power_w(seen.running, sum(frame.infer_ms for frame in seen.frames) / window)
    expected_ms = learnt.latency.expected_ms(seen.running)
    return None if expected_ms is None else learnt.power.power_w(seen.running, busy_share(expected_ms, learnt, seen))


def _heat(learnt: Learnt, seen: Observation, drawn_w: float | None, step_s: float) -> tuple[ThermalModel, Standstill]:
    """The thermal model, and whether the sensor stands still although the model says that it must have moved."""
    before, value = learnt.standstill, seen.temperature_c
    thermal = learnt.thermal.seen(value, drawn_w, step_s)
    if value is None or value != before.temperature_c:
        return thermal, Standstill(value, seen.monotonic_ns, thermal)
    free = before.free.seen(None, drawn_w, step_s)
    stood_s = (seen.monotonic_ns - before.since_ns) * _NS
    gone_c = max(_FROZEN_C, _FROZEN_STEPS * (thermal.step_c or 0.0))
    is_frozen = before.frozen or (stood_s >= _FROZEN_S and free.known and _gone_c(free, value) > gone_c)
    return (free if is_frozen else thermal), replace(before, free=free, frozen=is_frozen)


def _gone_c(free: ThermalModel, value: float) -> float:
    """How far the temperature must at least be from `value` by now."""
    expected_c, spread_c = free.expected_c(free.power_w, 0.0)
    return abs(expected_c - value) - _FROZEN_SPREADS * spread_c


def _overhead_ms(learnt: Learnt, seen: Observation) -> float:
    if seen.camera_fps is not None or not seen.frames:
        return learnt.overhead_ms
    rest = sum(max(0.0, frame.window_ms - frame.infer_ms) for frame in seen.frames) / len(seen.frames)
    return learnt.overhead_ms + _OVERHEAD_WEIGHT * (rest - learnt.overhead_ms)
