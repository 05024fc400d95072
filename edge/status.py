"""One snapshot of a running daemon, for the terminal view, the overlay, and `joulepath status`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class BatteryLeft:
    """Hours until the battery is empty: likely, and the ends of a range that holds with about 90 %."""

    low_h: float
    likely_h: float
    high_h: float
    method: str

    def __str__(self) -> str:
        return f"{self.likely_h:.1f} h left (90 %: {self.low_h:.1f} to {self.high_h:.1f} h, {self.method})"


@dataclass(frozen=True)
class Status:
    """What is known now; None is unknown, never zero."""

    variant: str | None
    reason: str
    pinned: str | None
    frames: int
    skipped: int
    fps: float | None
    infer_ms: float | None
    age_ms: float | None
    power_w: float | None
    power_method: str
    energy_per_frame_j: float | None
    energy_j: float | None
    temperature_c: float | None
    battery: float | None
    throttled: bool | None
    load: float | None
    miou: float | None  # mean over the last frames with known truth
    camera: str  # "streaming" or what is wrong
    journal: str  # "writing" or what is wrong
    elapsed_s: float
    switches: int
    battery_left: BatteryLeft | None = None  # how long it lasts; None while that is not known
    max_fps: float | None = None  # frames a second that the controller lets through; None: every one
    reused: int = 0  # of the frames: answered with an earlier answer, as they showed nothing new
    goals: tuple[str, ...] = ()  # how each stated goal stands, in words

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def joules(value: float | None, method: str) -> str:
    """An energy for people, with its method: ``281 mJ (modelled)``; ``unknown`` when there is none."""
    if value is None:
        return "energy unavailable"
    amount = f"{value:.2f} J" if value >= 1 else f"{1000 * value:.0f} mJ"
    return f"{amount} ({method})"


def number(value: float | None, pattern: str) -> str:
    """`pattern` filled with the value, or a dash where it is unknown."""
    return "–" if value is None else pattern.format(value)
