"""Players: how a reel's frames are handed over, every one of them or by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.cameras.device import Device
from edge.cameras.frame import Image, Mask
from edge.cameras.reels import Reel

NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Captured:
    """A frame before it has a slot; the fields mean what they mean in `edge.cameras.frame.Frame`."""

    image: Image
    truth: Mask | None
    sequence: int
    monotonic_ns: int


class Player(Protocol):
    """Gives the next frame, or None at the end."""

    def read(self) -> Captured | None: ...


class EveryFrame:
    """All frames of a reel from number `first`, as fast as they are asked for."""

    def __init__(self, reel: Reel, first: int, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._reel, self._next, self._clock = reel, first, clock

    def read(self) -> Captured | None:
        picture = self._reel.frame(self._next)
        if picture is None:
            return None
        self._next += 1
        return Captured(*picture, self._next - 1, self._clock())


class Paced:
    """A reel as a live camera: frame n is captured at `epoch_ns` + n / fps. A frame that is overdue is left out.

    The next frame is made ready before it is due, so that, as with a real camera, it is handed over when captured.
    """

    def __init__(
        self,
        reel: Reel,
        fps: float,
        first: int,
        epoch_ns: int,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reel, self._fps, self._epoch_ns = reel, fps, epoch_ns
        self._next, self._clock, self._sleep = first, clock, sleep

    def read(self) -> Captured | None:
        # The frame on show now is the oldest that may still be handed over.
        showing = int((self._clock() - self._epoch_ns) * self._fps / NS_PER_S)
        index = max(self._next, showing)
        picture = self._reel.frame(index)
        if picture is None:
            return None
        due_ns = self._epoch_ns + round(index * NS_PER_S / self._fps)
        while (now := self._clock()) < due_ns:
            self._sleep((due_ns - now) / NS_PER_S)
        self._next = index + 1
        return Captured(*picture, index, now)


class FromDevice:
    """A device's frames as they come, numbered from `first`."""

    def __init__(self, device: Device, first: int) -> None:
        self._device, self._next = device, first

    def read(self) -> Captured:
        image, captured_ns = self._device.read()
        self._next += 1
        return Captured(image, None, self._next - 1, captured_ns)
