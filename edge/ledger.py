"""The ledger: frame windows tile time, and each becomes one row once its energy is known.

A window runs from the start of a frame's inference to the start of the next frame's. So a row can only be written when
the next inference has begun and the meter has a sample beyond that instant; until then the frame waits here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from boards.sensor import Method
from edge.journal.rows import FrameRow
from edge.meter import WindowEnergy


class EnergySource(Protocol):
    """What the ledger asks of a meter."""

    def ready(self, end_ns: int) -> bool: ...

    def energy(self, start_ns: int, end_ns: int) -> WindowEnergy: ...


@dataclass(frozen=True)
class Served:
    """One frame that went through: all times on the monotonic clock, in nanoseconds."""

    sequence: int
    variant_id: int
    skipped: int
    captured_ns: int
    start_ns: int
    infer_end_ns: int
    done_ns: int
    prepare_ns: int
    finish_ns: int
    miou_ppm: int | None = None
    reused: bool = False  # answered with an earlier answer: nothing was inferred


class Ledger:
    """Turns served frames and window starts into rows, in order, none missing."""

    def __init__(
        self, meter: EnergySource | None, emit: Callable[[FrameRow], None], patience_ns: int = 1_000_000_000
    ) -> None:
        self._meter, self._emit, self._patience_ns = meter, emit, patience_ns
        self._starts: deque[int] = deque()  # starts of windows after the oldest unwritten one
        self._served: deque[Served] = deque()
        self._lock, self._settling = Lock(), Lock()
        self._last_start_ns: int | None = None

    def window_started(self, start_ns: int) -> None:
        """An inference began: this closes the window before it."""
        with self._lock:
            if self._last_start_ns is not None:
                self._starts.append(start_ns)
            self._last_start_ns = start_ns

    def finished(self, served: Served) -> None:
        """A frame is done; frames must come in the order of their windows."""
        with self._lock:
            self._served.append(served)

    def settle(self, now_ns: int) -> None:
        """Write every row whose window is closed and whose energy is known, or was waited for long enough."""
        with self._settling:  # whoever settles, rows leave in order
            while (item := self._take(now_ns)) is not None:
                self._emit(self._row(*item))

    def close(self, end_ns: int) -> None:
        """End the last window at `end_ns` and write all that is left."""
        self.window_started(end_ns)
        with self._lock:
            left = list(zip(self._served, self._starts, strict=False))
            self._served.clear()
            self._starts.clear()
            self._last_start_ns = None
        for served, closed_ns in left:
            self._emit(self._row(served, closed_ns))

    def _take(self, now_ns: int) -> tuple[Served, int] | None:
        with self._lock:
            if not self._served or not self._starts:
                return None
            end_ns = self._starts[0]
            waited = now_ns - end_ns > self._patience_ns
            if self._meter is not None and not waited and not self._meter.ready(end_ns):
                return None
            return self._served.popleft(), self._starts.popleft()

    def _row(self, served: Served, end_ns: int) -> FrameRow:
        if self._meter is None:
            window = infer = WindowEnergy(None, None, 0, Method.UNAVAILABLE)
        else:
            window = self._meter.energy(served.start_ns, end_ns)
            infer = self._meter.energy(served.start_ns, min(served.infer_end_ns, end_ns))
        return FrameRow(
            sequence=served.sequence,
            start_ns=served.start_ns,
            end_ns=end_ns,
            variant_id=served.variant_id,
            skipped=served.skipped,
            age_us=(served.done_ns - served.captured_ns) // 1000,
            prepare_us=served.prepare_ns // 1000,
            infer_us=(served.infer_end_ns - served.start_ns) // 1000,
            finish_us=served.finish_ns // 1000,
            energy_uj=window.energy_uj,
            infer_energy_uj=infer.energy_uj,
            uncertainty_uj=window.uncertainty_uj,
            samples=window.samples,
            method=window.method,
            miou_ppm=served.miou_ppm,
            reused=int(served.reused),
        )
