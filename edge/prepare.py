"""From a camera frame to a variant's input tensor: resize, colour order, scale, quantization.

Resizing stretches the frame to the input's size, bilinearly, or by area averages when both sides shrink to a half or
less (bilinear sampling would skip pixels there). It happens on bytes, so every rule that the manifest can state about a
pixel is a table of 256 values for each colour; a folded network, which takes raw pixels, skips the table.
"""

from __future__ import annotations

import threading

import cv2
import numpy as np
import numpy.typing as npt

from edge.bundle.manifest import InputSpec
from edge.engines.contract import Array

Frame = npt.NDArray[np.uint8]


class Preparer:
    """Prepares frames for one input; keeps its scratch memory. Not for several threads at once."""

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self._size = (spec.width, spec.height)
        self._scratch = np.empty((spec.height, spec.width, 3), np.uint8)
        self._swapped = np.empty_like(self._scratch)
        self._table = _table(spec)

    def __call__(self, frame: Frame, out: Array) -> None:
        """Write `frame` (HxWx3 uint8 BGR) to `out` (1xHxWx3 or HxWx3 of the spec's size and dtype).

        Raises ValueError for another shape or dtype.
        """
        target = self._target(out)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise ValueError(f"a frame is HxWx3 uint8 BGR, this one is {frame.shape} {frame.dtype}")
        direct = self._table is None and target.dtype == np.uint8
        swaps = self.spec.colour == "RGB"
        pixels: Frame = self._resize(frame, target if direct and not swaps else self._scratch)
        if swaps:
            pixels = _into(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=target if direct else self._swapped))
        if self._table is not None:
            looked_up = cv2.LUT(pixels, self._table, dst=target)
            if looked_up is not target:
                np.copyto(target, looked_up)
        elif not np.shares_memory(pixels, target):
            np.copyto(target, pixels)

    def _target(self, out: Array) -> Array:
        target = out[0] if out.ndim == 4 and out.shape[0] == 1 else out
        expected = (self.spec.height, self.spec.width, 3)
        if target.shape != expected or out.dtype.name != self.spec.dtype:
            raise ValueError(f"the input is {expected} {self.spec.dtype}, not {out.shape} {out.dtype.name}")
        return target

    def _resize(self, frame: Frame, into: Array) -> Frame:
        height, width = frame.shape[:2]
        if (width, height) == self._size:
            return frame
        shrinks = width >= 2 * self._size[0] and height >= 2 * self._size[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return _into(cv2.resize(frame, self._size, dst=into, interpolation=how))


class Preparers:
    """`prepare` for a stream: keeps a `Preparer` for each input and thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    def __call__(self, frame: Frame, spec: InputSpec, out: Array) -> None:
        """Write `frame` (HxWx3 uint8 BGR) to `out`. Raises ValueError."""
        if not hasattr(self._local, "kept"):
            self._local.kept = {}
        kept: dict[InputSpec, Preparer] = self._local.kept
        preparer = kept.get(spec)
        if preparer is None:
            preparer = kept[spec] = Preparer(spec)
        preparer(frame, out)


def prepare(frame: Frame, spec: InputSpec, out: Array) -> None:
    """Prepare one frame (HxWx3 uint8 BGR) into `out`; for a stream keep a `Preparers`. Raises ValueError."""
    Preparer(spec)(frame, out)


def _into(pixels: Array) -> Frame:
    return pixels.astype(np.uint8, copy=False)


def _table(spec: InputSpec) -> Array | None:
    """256x1x3: what each byte of each colour becomes; None when it stays what it is."""
    pixel = np.arange(256, dtype=np.float64)[:, None]
    value = (pixel - np.array(spec.offset)) * np.array(spec.scale)
    if spec.dtype == "float32":
        return None if np.array_equal(value, np.repeat(pixel, 3, 1)) else value.astype(np.float32)[:, None, :]
    if spec.zero_point is not None:
        value = value / (spec.quantum or 1.0) + spec.zero_point
    limits = np.iinfo(spec.dtype)
    stored = np.clip(np.rint(value), limits.min, limits.max).astype(spec.dtype)
    unchanged = spec.dtype == "uint8" and np.array_equal(stored, np.repeat(pixel, 3, 1))
    return None if unchanged else stored[:, None, :]
