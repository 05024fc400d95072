"""What a camera hands over, and what can go wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.errors import JoulepathError, UsageError

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]
VOID = 255


class CameraError(JoulepathError):
    """A camera that cannot be used; the message says which, why, and what to do."""


class SourceSyntaxError(CameraError, UsageError):
    """A `--camera` text that names no source."""


class EndOfStream(Exception):
    """The source has no more frames; the message says how many there were when that is worth a word."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture. `image` and `truth` are read-only views of shared memory, valid until the frame is released."""

    image: Image  # HxWx3 uint8, BGR
    monotonic_ns: int  # when it was captured, CLOCK_MONOTONIC
    sequence: int  # the source's own frame number, from 0
    skipped: int  # frames that the source made since the one handed over before, and nobody saw
    truth: Mask | None = None  # HxW uint8 class ids, VOID (255) where nothing is known
    token: object = field(default=None, repr=False)  # the slot that `release` gives back


class Camera(Protocol):
    """A stream of frames. A live one hands over the newest and counts what it skipped; a file loses none."""

    @property
    def live(self) -> bool:
        """Whether frames that nobody fetches are skipped."""
        ...

    def next(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when none came within `timeout_s`; raises EndOfStream, CameraError."""
        ...

    def release(self, frame: Frame) -> None:
        """Give the frame's memory back. Its arrays must not be used any more."""
        ...


def each_frame(camera: Camera, timeout_s: float = 0.5) -> Iterator[Frame]:
    """The frames of `camera` to its end; each is released when the next one is asked for."""
    while True:
        try:
            frame = camera.next(timeout_s)
        except EndOfStream:
            return
        if frame is not None:
            try:
                yield frame
            finally:
                camera.release(frame)
