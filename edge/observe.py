"""What there is to see at one instant: sensors, rates, and the frames that went through since somebody looked last."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, Protocol

from boards.board import Board, Quantity
from boards.sensor import Reading
from edge.cameras.source import SourceSpec
from edge.controller.contract import FrameSeen, Observation
from edge.journal.clock import kernel_synchronised
from edge.journal.rows import FrameRow
from edge.meter import Meter

NS_PER_S = 1_000_000_000
_RECENT = 30  # frames that rates and means are taken over
_UNSEEN = 256
_KEPT = (
    "battery", "on_mains", "temperature_c", "power_w", "throttled", "undervoltage", "fps", "running",
    "battery_energy_j", "camera_fps",
)  # fmt: skip


class Sensed(Protocol):
    """What the observer asks of the sampler: the latest reading of a channel, None where it is lost or stale."""

    def latest(self, name: str) -> Reading | None: ...


class Filmed(Protocol):
    """What it asks of the camera."""

    @property
    def spec(self) -> SourceSpec: ...


class Observer:
    """Gathers an observation for the controller, and the same values for the status. Safe from any thread, but for
    `look`, which belongs to the thread that decides: each call takes the frames that came since the one before."""

    def __init__(
        self,
        board: Board,
        sampler: Sensed,
        meter: Meter | None,
        camera: Filmed,
        variant_of: Mapping[int, str],
        done_ns: Callable[[], Sequence[int]],
        *,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`variant_of` names variants by their numbers in the journal; `done_ns` tells when the last frames were
        done."""
        self._sampler, self._meter, self._camera = sampler, meter, camera
        self._variant_of, self._done_ns, self._clock = variant_of, done_ns, clock
        self._thermometer = next((c.name for c in board.channels if c.quantity is Quantity.TEMPERATURE), None)
        self._recent: deque[FrameRow] = deque(maxlen=_RECENT)
        self._unseen: deque[FrameRow] = deque(maxlen=_UNSEEN)
        self._lock = Lock()

    def row(self, row: FrameRow) -> None:
        """A frame's row was written."""
        with self._lock:
            self._recent.append(row)
            self._unseen.append(row)

    def look(self) -> Mapping[str, Any]:
        """The fields of an `Observation` that the world decides."""
        return {
            "battery": self.value("battery"),
            "on_mains": self.flag("mains"),
            "temperature_c": self.temperature_c(),
            "power_w": self.power_w(),
            "throttled": self.flag("throttled"),
            "undervoltage": self.flag("undervoltage"),
            "fps": self.fps(),
            "battery_energy_j": self.value("battery_energy_j"),
            "camera_fps": self.camera_fps(),
            "frames": self._frames_since(),
        } | _wall_clock()

    def value(self, name: str) -> float | None:
        """A channel's latest value, None while it is unknown."""
        reading = self._sampler.latest(name)
        return None if reading is None else reading.value

    def flag(self, name: str) -> bool | None:
        """The same of a channel that says yes or no."""
        value = self.value(name)
        return None if value is None else value >= 0.5

    def temperature_c(self) -> float | None:
        """Of the board's first thermometer."""
        return None if self._thermometer is None else self.value(self._thermometer)

    def power_w(self) -> float | None:
        """Mean power of the last second."""
        return None if self._meter is None else self._meter.power_w(self._clock(), window_ns=NS_PER_S)

    def fps(self) -> float | None:
        """Frames a second of late."""
        done = self._done_ns()
        if len(done) < 2:
            return None
        # While no frame comes the rate falls, instead of standing still at its last value.
        span = max(done[-1], self._clock() - NS_PER_S) - done[0]
        return (len(done) - 1) * NS_PER_S / span if span > 0 else None

    def energy_per_frame_j(self) -> float | None:
        """Mean over the last frames whose energy is known."""
        with self._lock:
            known = [row.energy_uj for row in self._recent if row.energy_uj is not None]
        return sum(known) / len(known) / 1e6 if known else None

    def camera_fps(self) -> float | None:
        """What a live source gives the engine to do, from the frames taken, those skipped, and without those that
        showed nothing new; None for a source that waits."""
        if not self._camera.spec.live:
            return None
        with self._lock:
            rows = list(self._recent)
        if len(rows) < 2 or rows[-1].start_ns <= rows[0].start_ns:
            return self._camera.spec.fps
        delivered = sum(1 + row.skipped for row in rows[1:])
        # A scene that has stood still all along may move again: one frame of those seen is taken to be new.
        new = max(1, sum(not row.reused for row in rows[1:])) / (len(rows) - 1)
        return new * delivered * NS_PER_S / (rows[-1].start_ns - rows[0].start_ns)

    def _frames_since(self) -> tuple[FrameSeen, ...]:
        """Frames whose rows were written since this was asked last. One that was answered with an earlier answer is
        no inference to learn from: its time and energy go to the frame that was inferred before it."""
        with self._lock:
            rows = list(self._unseen)
            self._unseen.clear()
        frames: list[FrameSeen] = []
        for row in rows:
            window_ms = (row.end_ns - row.start_ns) / 1e6
            energy_mj = None if row.energy_uj is None else row.energy_uj / 1000
            if not row.reused:
                frames.append(FrameSeen(self._variant_of[row.variant_id], row.infer_us / 1000, window_ms, energy_mj))
            elif frames:
                frames[-1] = _longer(frames[-1], window_ms, energy_mj)
        return tuple(frames)


def _longer(frame: FrameSeen, window_ms: float, energy_mj: float | None) -> FrameSeen:
    known = frame.energy_mj is not None and energy_mj is not None
    return replace(
        frame,
        window_ms=frame.window_ms + window_ms,
        energy_mj=(frame.energy_mj or 0.0) + (energy_mj or 0.0) if known else None,
    )


def worth_keeping(seen: Observation) -> dict[str, Any]:
    """What the controller saw, without what was unknown, and to the digits that mean something: it is written often."""
    values = {name: getattr(seen, name) for name in _KEPT}
    kept = {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items() if v is not None}
    latencies = {c.id: round(c.latency_ms, 2) for c in seen.candidates if c.latency_ms is not None}
    return kept | {"latency_ms": latencies}


def _wall_clock() -> dict[str, float]:
    """Wall time, where it can be trusted."""
    if not kernel_synchronised():
        return {}
    now_s = time.time()
    return {"utc_s": now_s, "utc_offset_s": float(time.localtime(now_s).tm_gmtoff)}
