"""A V4L2 camera through OpenCV, with its pixel format set explicitly."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import cv2
import numpy as np

from edge.cameras.frame import CameraError, Image
from edge.cameras.source import SourceSpec

_ATTEMPTS = 5


class Device:
    """An open camera. Only a frame of the right shape proves that it works: `isOpened` does not."""

    def __init__(self, spec: SourceSpec, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._spec, self._clock = spec, clock
        _check_node(spec.path)
        self._capture = cv2.VideoCapture(spec.path, cv2.CAP_V4L2)
        # The order matters: many drivers take the size only once the pixel format is known.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*spec.fourcc))  # type: ignore[attr-defined]
        if spec.height is not None and spec.width is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, spec.width)
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, spec.height)
        if spec.fps is not None:
            self._capture.set(cv2.CAP_PROP_FPS, spec.fps)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)
        self._check_format()
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps: float | None = rate if 0.01 <= rate <= 1000 else spec.fps
        self._shape = self._first_shape()

    def read(self) -> tuple[Image, int]:
        """A frame (HxWx3 uint8 BGR) and its capture time by CLOCK_MONOTONIC; raises CameraError for a fault."""
        read, image = self._capture.read()
        now = self._clock()
        if not read or image is None:
            raise CameraError(f"camera {self._spec.path}: a read gave no frame; unplugged, or another program took it")
        if image.shape != self._shape or image.dtype != np.uint8:
            raise CameraError(f"camera {self._spec.path}: a frame of shape {image.shape} came, expected {self._shape}")
        return np.asarray(image, np.uint8), self._captured_ns(now)

    def close(self) -> None:
        """Let go of the device."""
        self._capture.release()

    def _captured_ns(self, now: int) -> int:
        # OpenCV gives the driver's buffer time here, by CLOCK_MONOTONIC with nearly all drivers.
        stamp = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamp if now - 1_000_000_000 <= stamp <= now else now

    def _check_format(self) -> None:
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC))
        got = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24))
        if self._capture.isOpened() and code > 0 and got != self._spec.fourcc:
            self.close()
            raise CameraError(
                f"camera {self._spec.path}: asked for {self._spec.fourcc}, the driver gives {got!r}; "
                f"name a format that it has (v4l2-ctl -d {self._spec.path} --list-formats-ext)"
            )

    def _first_shape(self) -> tuple[int, ...]:
        # The first reads of a healthy camera may fail while it starts.
        for _ in range(_ATTEMPTS if self._capture.isOpened() else 0):
            read, image = self._capture.read()
            if read and image is not None and image.ndim == 3 and image.shape[2] == 3:
                return self._wanted(image.shape)
        self.close()
        raise CameraError(
            f"camera {self._spec.path}: it gives no frames in format {self._spec.fourcc}; is it in use by another "
            f"program? Which formats it has: v4l2-ctl -d {self._spec.path} --list-formats-ext"
        )

    def _wanted(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        asked = (self._spec.height, self._spec.width)
        if None not in asked and shape[:2] != asked:
            self.close()
            raise CameraError(
                f"camera {self._spec.path}: asked for {asked[0]}x{asked[1]}, the driver gives {shape[0]}x{shape[1]} "
                f"(height x width); name a size that it has (v4l2-ctl -d {self._spec.path} --list-formats-ext)"
            )
        return shape


def _check_node(path: str) -> None:
    if not os.path.exists(path):
        raise CameraError(
            f"camera {path}: no such device; is it plugged in, and its driver loaded? List cameras with: ls /dev/video*"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise CameraError(
            f"camera {path}: no permission; add this user to the group video: sudo usermod -aG video USER; log in anew"
        )
