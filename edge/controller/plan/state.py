"""All that the planning controller remembers between two decisions."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.controller.contract import Observation
from edge.controller.learn.battery import BatteryModel
from edge.controller.learn.draw import Draw
from edge.controller.learn.latency import LatencyModel
from edge.controller.learn.power import PowerModel
from edge.controller.learn.surprise import Surprise
from edge.controller.learn.thermal import ThermalModel


@dataclass(frozen=True)
class Standstill:
    """A temperature that has not changed since `since_ns`, and the thermal model run on without it."""

    temperature_c: float | None = None
    since_ns: int = 0
    free: ThermalModel = field(default_factory=ThermalModel)
    frozen: bool = False


@dataclass(frozen=True)
class Learnt:
    """What the board has taught so far. `overhead_ms` is what a frame takes beside its inference, where the source
    waits."""

    latency: LatencyModel
    power: PowerModel
    thermal: ThermalModel = field(default_factory=ThermalModel)
    battery: BatteryModel = field(default_factory=BatteryModel)
    standstill: Standstill = field(default_factory=Standstill)
    overhead_ms: float = 0.0
    draw: Draw = field(default_factory=Draw)
    surprise: Surprise = field(default_factory=Surprise)


def busy_share(latency_ms: float, learnt: Learnt, seen: Observation) -> float:
    """Share of time that a variant of this latency spends inferring at the source's pace."""
    if latency_ms <= 0:
        return 0.0
    if seen.camera_fps is None:
        return latency_ms / (latency_ms + learnt.overhead_ms)
    return min(1.0, latency_ms * seen.camera_fps / 1000.0)


@dataclass(frozen=True)
class PlanState:
    """`owed_s` is how many seconds of the dearer variant the time-sharing still owes (negative: it had too many)."""

    learnt: Learnt | None = None
    start_ns: int = 0
    last_ns: int = 0
    variant: str | None = None
    since_ns: int = 0
    owed_s: float = 0.0
    held_rung: int = 0  # undervoltage: so many of the dearest options are barred
    held_since_ns: int = 0
    refused: frozenset[str] = frozenset()
    until_utc_s: float | None = None  # the instant that `last_until` names, once the clock was known
    max_fps: float | None = None  # the rate in force; None: all that the source gives
    rate_ns: int | None = None  # since when
    late: tuple[str, ...] = ()  # variants barred by the deadline at the last decision, for hysteresis
