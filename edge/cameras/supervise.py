"""A camera that is started again when its process dies or freezes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from edge.cameras.frame import CameraError, EndOfStream, Frame
from edge.cameras.process import DEFAULT_SLOTS, CameraLost, CameraProcess
from edge.cameras.source import SourceSpec, parse_source

NS_PER_S = 1_000_000_000
UNPLUGGED_LOOK_S = 1.0
OnEvent = Callable[[str, str, str], None]


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds. `tries` bounds restarts of a file that give no further frame."""

    freeze_timeout_s: float = 3.0
    open_timeout_s: float = 20.0
    first_backoff_s: float = 0.2
    longest_backoff_s: float = 10.0
    stable_s: float = 10.0
    tries: int = 3


def lost_while_away(last: Frame, frame: Frame, fps: float | None) -> int:
    """Frames that a device of rate `fps` made between the last frame before an outage and the first after it.

    An estimate, and never less than the frames that its new process is known to have skipped.
    """
    away_s = (frame.monotonic_ns - last.monotonic_ns) / NS_PER_S
    return max(frame.skipped, round(away_s * (fps or 0.0)) - 1)


class SupervisedCamera:
    """A source in a capture process, watched. `next` and `close` belong to one thread, `release` to any.

    `on_event` gets (level, kind, message): `camera_lost` and `camera_frozen` (error) when an outage begins,
    `camera_back` (info) when it ended, `camera_short` (warning) when a file ended before its stated length.
    """

    def __init__(
        self,
        source: SourceSpec | str,
        *,
        on_event: OnEvent = lambda level, kind, message: None,
        patience: Patience | None = None,
        slots: int = DEFAULT_SLOTS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises SourceSyntaxError when `source` is a text that names no source."""
        self.spec = parse_source(source) if isinstance(source, str) else source
        self.restarts = 0  # capture processes started beyond the first
        self.frames_lost = 0  # frames that the source made while it was out (a device's number is an estimate)
        self._on_event, self._patience, self._slots = on_event, patience or Patience(), slots
        self._clock, self._sleep = clock, sleep
        self._process: CameraProcess | None = None
        self._epoch_ns: int | None = None
        self._fps: float | None = None
        self._last: Frame | None = None  # sequence and time of the last frame handed over; its arrays are not used
        self._offset = 0  # what a restarted device's own numbers lack
        self._out_since_s: float | None = None
        self._back_s = 0.0
        self._due_s = 0.0
        self._backoff_s = self._patience.first_backoff_s
        self._fruitless = 0
        self._alive_s = 0.0
        self._seen_open = False
        self._ended: str | None = None

    @property
    def live(self) -> bool:
        """Whether frames that nobody fetches are skipped."""
        return self.spec.live

    @property
    def fps(self) -> float | None:
        """The rate that the source states, None when it states none."""
        return self._fps

    @property
    def pid(self) -> int | None:
        """The present capture process's id."""
        return self._process.pid if self._process is not None else None

    @property
    def out(self) -> bool:
        """Whether an outage is under way; `on_event` was told of it."""
        return self._out_since_s is not None

    @property
    def overdue_s(self) -> float:
        """Seconds by which the source has been silent for longer than `next` lets pass without calling it an outage.

        Below zero it may yet be silent for so long.
        """
        return -self._left_s()

    def open(self, *, wait: bool = False) -> None:
        """Open the source. Raises CameraError when it cannot be used: the first opening is not tried again.

        With `wait` a device that cannot be used yet is in an outage like any other, and `next` goes on trying.
        """
        if wait and self._unplugged():  # no process is needed to find that out, which takes long on a slow board
            self._outage("camera_lost", f"camera {self.spec.path}: no such device")
            return
        process = CameraProcess(self.spec, slots=self._slots)
        try:
            process.open(self._patience.open_timeout_s)
        except CameraError as error:
            if not wait or self.spec.kind != "v4l2":
                raise
            self._outage("camera_lost", str(error))
            return
        self._process, self._fps, self._seen_open = process, process.fps, True

    def next(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when none came; waits at most `timeout_s`, less when there is something to mend.

        Raises EndOfStream after a file's last frame, CameraError for a file that cannot be read on.
        """
        if self._ended is not None:
            raise EndOfStream(self._ended)
        process = self._process or self._restart(timeout_s)
        if process is None:
            return None
        if self._epoch_ns is None:
            self._epoch_ns = time.monotonic_ns()
            self._alive_s = self._clock()
        process.play(self._epoch_ns)
        try:
            frame = process.next(max(0.0, min(timeout_s, self._left_s())))
        except EndOfStream as end:
            self._end(end)
            raise
        except CameraLost as error:
            self._outage("camera_lost", str(error))
            return None
        except CameraError as error:
            if self.spec.kind != "v4l2":
                raise  # a file reads no better the second time
            self._outage("camera_lost", str(error))
            return None
        if frame is None:
            self._check_frozen(process)
            return None
        return self._came(frame)

    def release(self, frame: Frame) -> None:
        """Give a frame's slot back."""
        self._alive_s = max(self._alive_s, self._clock())  # a source without a free slot was not frozen
        token = frame.token
        owner = getattr(token, "owner", None)
        if not isinstance(owner, CameraProcess):
            raise ValueError(f"frame {frame.sequence} is not a camera process's")
        owner.release(frame)

    def close(self) -> None:
        """Stop the capture process. Frames still held stay readable."""
        if self._process is not None:
            self._process.close()
            self._process = None
        self._ended = self._ended or "the camera was closed"

    def __enter__(self) -> SupervisedCamera:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- frames -------------------------------------------------------------------------------------------------

    def _came(self, frame: Frame) -> Frame:
        now = self._clock()
        self._alive_s, self._fruitless = now, 0
        if self._fps is None and self._process is not None:
            self._fps = self._process.fps
        if self._out_since_s is not None:
            frame = self._back(frame, now)
        elif self._offset:
            frame = replace(frame, sequence=frame.sequence + self._offset)
        if now - self._back_s >= self._patience.stable_s:
            self._backoff_s = self._patience.first_backoff_s
        self._last = replace(frame, token=None)
        return frame

    def _back(self, frame: Frame, now: float) -> Frame:
        assert self._out_since_s is not None
        if self.spec.kind == "v4l2":
            frame = self._renumber(frame)
        out_s, self._out_since_s, self._back_s = now - self._out_since_s, None, now
        self.frames_lost += frame.skipped
        message = f"camera {self.spec.text!r} is back after {out_s:.1f} s, {frame.skipped} frames lost"
        self._on_event("info", "camera_back", message)
        return frame

    def _renumber(self, frame: Frame) -> Frame:
        """A restarted device counts from 0: go on from the last number, with the outage's frames estimated."""
        if self._last is None:
            return frame
        lost = lost_while_away(self._last, frame, self._fps)
        self._offset = self._last.sequence + 1 + lost - frame.sequence
        return replace(frame, sequence=frame.sequence + self._offset, skipped=lost)

    def _end(self, end: EndOfStream) -> None:
        self._ended = str(end)
        if str(end):
            self._on_event("warning", "camera_short", str(end))

    # -- outages ------------------------------------------------------------------------------------------------

    def _left_s(self) -> float:
        """Seconds until silence counts as a freeze."""
        slowest = 3.0 / self._fps if self._fps else 0.0
        limit = max(self._patience.freeze_timeout_s, slowest)
        if not self._seen_open:
            limit = max(limit, self._patience.open_timeout_s)
        return self._alive_s + limit - self._clock()

    def _check_frozen(self, process: CameraProcess) -> None:
        if not self._seen_open and process.opened:
            self._seen_open, self._alive_s = True, self._clock()
        if self._left_s() <= 0:
            silent_s = self._clock() - self._alive_s
            self._outage("camera_frozen", f"camera {self.spec.text!r}: no frame for {silent_s:.1f} s")

    def _outage(self, kind: str, message: str) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None
        now = self._clock()
        self._fruitless += 1
        if self.spec.kind in ("video", "folder") and self._fruitless > self._patience.tries:
            raise CameraError(f"{message}; it failed {self._fruitless} times at the same frame, see to the file")
        if self._out_since_s is None:
            self._out_since_s = now
            self._on_event("error", kind, f"{message}; starting it again")
        self._due_s = now + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, self._patience.longest_backoff_s)

    def _unplugged(self) -> bool:
        return self.spec.kind == "v4l2" and not os.path.exists(self.spec.path)

    def _restart(self, timeout_s: float) -> CameraProcess | None:
        """Start the process again when it is time; wait for that time at most `timeout_s`."""
        wait_s = self._due_s - self._clock()
        if wait_s > 0:
            self._sleep(min(wait_s, timeout_s))
            if self._clock() < self._due_s:
                return None
        if self._unplugged():
            # Nothing is plugged in: a look at the folder each second costs nothing, a process that finds out does.
            self._due_s = self._clock() + UNPLUGGED_LOOK_S
            return None
        first = 0
        if self.spec.kind != "v4l2" and self._last is not None:
            first = self._last.sequence + 1
        self._process = CameraProcess(self.spec, slots=self._slots, first=first)
        self._process.start()
        self.restarts += 1
        self._alive_s, self._seen_open = self._clock(), False
        return self._process
