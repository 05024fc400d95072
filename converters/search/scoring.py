"""How right logits are, fast: masks at half the input's resolution, counted into one confusion matrix.

For comparing paths with each other. What is reported is scored on masks at their own resolution (`finals`).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from converters.datasets import IGNORE
from edge.engines.contract import Array

Mask = npt.NDArray[np.uint8]
Confusion = npt.NDArray[np.int64]
_SHARE = 2  # of the input's sides; logits have a quarter or less


def grid_of(size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) that masks are compared at, for the uncut input size."""
    return size[0] // _SHARE, size[1] // _SHARE


def mask_of(logits: Array, grid: tuple[int, int]) -> Mask:
    """The winners (uint8) of hxwxK logits, interpolated bilinearly to `grid`."""
    planes = np.asarray(logits, np.float32)
    if planes.shape[:2] != grid:
        planes = np.asarray(cv2.resize(planes, (grid[1], grid[0]), interpolation=cv2.INTER_LINEAR), np.float32)
    winners: Mask = planes.argmax(-1).astype(np.uint8)
    return winners


def truth_at(mask: Mask, grid: tuple[int, int]) -> Mask:
    """A labelled mask at `grid`: the label of the pixel nearest to each centre."""
    return np.asarray(cv2.resize(mask, (grid[1], grid[0]), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def confusion(mask: Mask, truth: Mask, classes: int) -> Confusion:
    """classes x classes counts, truth by row; void is left out."""
    known = truth != IGNORE
    pairs = truth[known].astype(np.int64) * classes + mask[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def mean_iou(matrix: Confusion) -> float:
    """Mean intersection over union of the classes that occur in the truth, 0..1; raises ValueError when none does."""
    right = np.diag(matrix).astype(np.float64)
    present = matrix.sum(axis=1)
    union = present + matrix.sum(axis=0) - right
    occurs = present > 0
    if not occurs.any():
        raise ValueError("every pixel of the truth is void")
    return float((right[occurs] / union[occurs]).mean())
