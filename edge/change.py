"""Whether a frame shows what an earlier one showed: for a still scene the earlier answer is as good as a new one.

A frame becomes a grid of 32x18 means. Two grids are compared after the light's change between them, one gain for the
whole picture, is taken out; the largest difference of any cell, in grey levels of 255, is held against a threshold.
Noise of the sensor raises it: in a still scene every cell scatters alike, while movement leaves some cells as they
were, so the scatter is read off the quietest fifth of the cells, and never believed beyond `_MOST_NOISE`.

What it cannot see: a thing so small or so alike its background that it changes no cell's mean by the threshold (a cell
is a thirtieth of the picture wide; a thing of a quarter of its area must differ by four times the threshold), and light
that changes by one gain everywhere, which it is meant not to see. Hence every answer is renewed after a while.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

GRID = (18, 32)  # rows, columns
THRESHOLD = 6.0  # grey levels of 255
_SAMPLED = (144, 256)  # pixels of the picture that go into the grid, at the most: all of them cost four times as much
_MOST_NOISE = 1.5  # grey levels that a cell's mean may scatter by; more is movement
_SPREADS = 5.0
_QUIET = 0.2  # share of the cells whose scatter is taken for noise
_QUIET_SPREADS = 0.2533  # of |x| of a standard normal: the quantile of that share
_NOISE_WEIGHT = 0.1
_LEAST_GAIN, _MOST_GAIN = 0.9, 1.1
_DARK = 16.0  # cells below tell no gain

Cells = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """The largest difference of a cell and what the quietest cells scatter by, in grey levels; the light's gain."""

    largest: float
    noise: float
    gain: float


def thumbnail(image: npt.NDArray[np.uint8]) -> Cells:
    """The means of the grid's cells (18x32x3 float32) of an HxWx3 uint8 picture."""
    height, width = image.shape[:2]
    step = max(1, height // _SAMPLED[0], width // _SAMPLED[1])
    if step > 1:
        image = cv2.resize(image, (width // step, height // step), interpolation=cv2.INTER_NEAREST)
    cells: Cells = cv2.resize(image, GRID[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    return cells


def compare(now: Cells, before: Cells) -> Comparison:
    """How two thumbnails differ, once the light is taken out."""
    bright = before > _DARK
    gain = float(np.median(now[bright] / before[bright])) if bright.any() else 1.0
    rest = np.abs(now - gain * before).ravel()
    place = int(_QUIET * rest.size)
    return Comparison(float(rest.max()), float(np.partition(rest, place)[place]) / _QUIET_SPREADS, gain)


class ChangeDetector:
    """Compares each frame with the last one whose answer was computed. For one thread."""

    def __init__(self, threshold: float = THRESHOLD, longest_s: float = 1.0) -> None:
        """`threshold` in grey levels; after `longest_s` an answer is renewed whatever the picture shows."""
        self.threshold, self._longest_ns = threshold, round(longest_s * 1e9)
        self.noise = 0.0
        self._kept: Cells | None = None
        self._kept_ns = 0
        self._shape: tuple[int, ...] = ()

    def unchanged(self, image: npt.NDArray[np.uint8], at_ns: int) -> bool:
        """Whether this frame (HxWx3 uint8, captured at `at_ns`) shows what the one shows that was last found changed;
        if not, this one takes its place."""
        shape = image.shape[:2]
        now, before = thumbnail(image), self._kept if shape == self._shape else None
        if before is not None and 0 <= at_ns - self._kept_ns < self._longest_ns and self._alike(now, before):
            return True
        self._kept, self._kept_ns, self._shape = now, at_ns, shape
        return False

    def forget(self) -> None:
        """The next frame counts as changed."""
        self._kept = None

    def _alike(self, now: Cells, before: Cells) -> bool:
        found = compare(now, before)
        self.noise += _NOISE_WEIGHT * (min(found.noise, _MOST_NOISE) - self.noise)
        allowed = max(self.threshold, _SPREADS * self.noise)
        return found.largest <= allowed and _LEAST_GAIN <= found.gain <= _MOST_GAIN
