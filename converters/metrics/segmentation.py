"""mIoU and pixel accuracy of masks, from one confusion matrix an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.errors import ConvertError
from converters.metrics.bootstrap import Floats, best_of, block_picks, interval
from converters.metrics.contract import Interval
from edge.bundle import Accuracy

# images x classes x (classes + 1); the last column counts ids without a class.
Confusions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """How a variant did; ratios 0..1. `difference` is its mIoU less that of the best variant, on the same images."""

    variant_id: str
    miou: float
    confidence_interval: Interval
    difference: float
    difference_interval: Interval
    pixel_accuracy: float
    per_class: dict[str, float | None]
    dataset: str
    images: int

    @property
    def metric(self) -> str:
        return "mIoU"

    @property
    def value(self) -> float:
        return self.miou

    def beside(self) -> Mapping[str, float]:
        """Further metrics by name."""
        return {"pixels": self.pixel_accuracy}

    def as_accuracy(self) -> Accuracy:
        """What a manifest keeps."""
        return Accuracy(
            metric=self.metric,
            value=self.miou,
            dataset=self.dataset,
            images=self.images,
            confidence_interval=self.confidence_interval,
            per_class=self.per_class,
            pixel_accuracy=self.pixel_accuracy,
        )


def summarise(counts: Mapping[str, Confusions], labels: Sequence[str], dataset: str) -> list[Score]:
    """Scores from one confusion matrix an image and variant; every variant must have seen the same images.

    Intervals are 95 %, by blocks of neighbouring images (`converters.metrics.bootstrap`). Raises ConvertError when the
    truth is void everywhere.
    """
    picks = block_picks(next(iter(counts.values())).shape[0])
    drawn = {name: _miou(count[picks].sum(axis=1)) for name, count in counts.items()}
    whole = {name: float(_miou(count.sum(axis=0)[None])[0]) for name, count in counts.items()}
    best = best_of(whole)
    scores = []
    for name, count in counts.items():
        total = count.sum(axis=0)
        iou = _iou(total[None])[0]
        scores.append(
            Score(
                variant_id=name,
                miou=whole[name],
                confidence_interval=interval(drawn[name]),
                difference=whole[name] - whole[best],
                difference_interval=interval(drawn[name] - drawn[best]),
                pixel_accuracy=float(np.trace(total) / total.sum()),
                per_class={
                    label: None if np.isnan(value) else float(value) for label, value in zip(labels, iou, strict=True)
                },
                dataset=dataset,
                images=len(count),
            )
        )
    return scores


def _iou(matrices: npt.NDArray[np.int64]) -> Floats:
    """Intersection over union by class, for each of N matrices; NaN for a class without truth."""
    classes = matrices.shape[1]
    right = np.diagonal(matrices, axis1=1, axis2=2).astype(np.float64)
    present = matrices.sum(axis=2)
    union = present + matrices.sum(axis=1)[:, :classes] - right
    iou: Floats = np.divide(right, union, out=np.full(right.shape, np.nan), where=present > 0)
    return iou


def _miou(matrices: npt.NDArray[np.int64]) -> Floats:
    iou = _iou(matrices)
    occurs = ~np.isnan(iou)
    if not occurs.any():
        raise ConvertError("every pixel of the truth is void; there is nothing to score")
    means: Floats = np.where(occurs, iou, 0).sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)
    return means
