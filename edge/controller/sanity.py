"""Readings that cannot be true are refused before anything is learnt from them or decided by them."""

from __future__ import annotations

import math
from dataclasses import replace

from edge.controller.contract import FrameSeen, Observation

# What a board can possibly say; outside of it a reading is a fault of the sensor.
_BOUNDS = {
    "battery": (0.0, 1.0),
    "temperature_c": (-40.0, 150.0),
    "power_w": (0.0, 5000.0),
    "fps": (0.0, 100_000.0),
    "camera_fps": (1e-6, 100_000.0),
    "battery_energy_j": (0.0, 1e12),
    "utc_s": (1e9, 1e11),
}


def believable(seen: Observation) -> tuple[Observation, dict[str, str]]:
    """The observation with impossible readings set to None, and what was refused by name."""
    refused: dict[str, str] = {}
    changes: dict[str, float | None] = {}
    for name, (low, high) in _BOUNDS.items():
        value = getattr(seen, name)
        if value is None or (math.isfinite(value) and low <= value <= high):
            continue
        refused[name] = f"{name} of {value} refused: believed are {low:g} to {high:g}"
        changes[name] = None
    frames = tuple(frame for frame in seen.frames if _possible(frame))
    if len(frames) != len(seen.frames):
        refused["frames"] = f"{len(seen.frames) - len(frames)} frames with impossible figures refused"
    if not refused:
        return seen, refused
    return replace(seen, frames=frames, **changes), refused  # type: ignore[arg-type]


def _possible(frame: FrameSeen) -> bool:
    times = 0 < frame.infer_ms < 1e7 and 0 < frame.window_ms < 1e8
    energy = frame.energy_mj is None or (math.isfinite(frame.energy_mj) and frame.energy_mj >= 0)
    return times and energy
