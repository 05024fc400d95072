"""How right a mask is: a confusion matrix that grows frame by frame, and the mean intersection over union."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.tasks.upsample import Mask

VOID = 255


class IncrementalConfusion:
    """Counts pixels by true class (rows) and given class (columns; the last one for ids without a class).

    Void pixels of the truth never count.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        # One more column than classes: given ids that have no class, such as 255.
        self.matrix: npt.NDArray[np.int64] = np.zeros((classes, classes + 1), np.int64)

    def add(self, mask: Mask, truth: Mask) -> None:
        """Count one frame: two HxW uint8 masks. A given id without a class is wrong wherever it stands.

        Raises ValueError when the two differ in size or the truth holds an id that has no class.
        """
        self.matrix += self._count(mask, truth)

    def _count(self, mask: Mask, truth: Mask) -> npt.NDArray[np.int64]:
        if mask.shape != truth.shape:
            raise ValueError(f"mask is {mask.shape}, truth is {truth.shape}; give the mask at the truth's size")
        # All 65,536 pairs of bytes are counted in one pass, whatever the number of classes.
        pairs = np.bincount(((truth.astype(np.uint16) << 8) | mask).ravel(), minlength=1 << 16).reshape(256, 256)
        known = pairs[:VOID]
        if known[self.classes :].any():
            highest = int(np.flatnonzero(known.any(axis=1)).max())
            raise ValueError(
                f"truth holds class {highest}, there are classes 0..{self.classes - 1} and {VOID} for void"
            )
        stray = known[: self.classes, self.classes :].sum(axis=1, keepdims=True)
        return np.hstack([known[: self.classes, : self.classes], stray]).astype(np.int64)

    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union of each class, 0..1; NaN for a class that does not occur in the truth."""
        right = np.diag(self.matrix).astype(np.float64)
        present = self.matrix.sum(axis=1)
        union = present + self.matrix.sum(axis=0)[: self.classes] - right
        iou: npt.NDArray[np.float64] = np.full(self.classes, np.nan)
        np.divide(right, union, out=iou, where=present > 0)
        return iou

    def miou(self) -> float | None:
        """The mean IoU over the classes that occur in the truth, 0..1; None while nothing was counted."""
        iou = self.iou()
        return None if np.isnan(iou).all() else float(np.nanmean(iou))

    def pixel_accuracy(self) -> float | None:
        """The share of pixels that are right, 0..1; None while nothing was counted."""
        total = int(self.matrix.sum())
        return None if total == 0 else float(np.trace(self.matrix) / total)


def miou(mask: Mask, truth: Mask, classes: int) -> float | None:
    """The mean IoU of one frame over the classes that occur in its truth (0..1), None when all of it is void."""
    confusion = IncrementalConfusion(classes)
    confusion.add(mask, truth)
    return confusion.miou()
