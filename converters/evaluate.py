"""Accuracy of a bundle's variants on a labelled set, through the same engine and task that serve on a board."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.datasets import IGNORE, DatasetError, Mask, SegmentationDataset, open_dataset
from converters.errors import ConvertError
from edge.bundle import Accuracy, Bundle
from edge.errors import UsageError
from edge.tasks import open_task
from edge.tasks.score import IncrementalConfusion
from edge.variants import Pool

RESAMPLES = 1000
SEED = 0
# One confusion matrix an image: images x classes x (classes + 1); the last column counts ids without a class.
Confusions = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]


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

    def as_accuracy(self) -> Accuracy:
        """What a manifest keeps."""
        return Accuracy(
            metric="mIoU",
            value=self.miou,
            dataset=self.dataset,
            images=self.images,
            confidence_interval=self.confidence_interval,
            per_class=self.per_class,
            pixel_accuracy=self.pixel_accuracy,
        )


@contextmanager
def readable(spec: str) -> Iterator[SegmentationDataset]:
    """The dataset of a spec, its errors made the converters' own."""
    try:
        yield open_dataset(spec)
    except DatasetError as error:
        raise ConvertError(str(error)) from error


def evaluate(
    bundle: Bundle,
    spec: str,
    *,
    only: Sequence[str] = (),
    limit: int | None = None,
    threads: int | None = None,
    library: str = "auto",
    say: Callable[[str], None] = lambda _: None,
) -> list[Score]:
    """Score variants (`only` these, or all) on the dataset `spec`, best first as the manifest lists them.

    Masks are compared at their own resolution, void ignored; mIoU is the mean over classes that occur in the truth of
    all images together. `limit` takes that many images evenly spread over the set. Raises ConvertError and UsageError.
    """
    if bundle.manifest.task != "segment":
        raise UsageError(f"{bundle.root}: task {bundle.manifest.task!r} cannot be scored against masks; segment can")
    wanted = _chosen(bundle, only)
    with readable(spec) as dataset:
        to_label = _label_table(dataset, bundle.manifest.labels)
        indices = spread(len(dataset), limit)
        counts = {name: np.zeros((len(indices), *_shape(bundle)), np.int64) for name in wanted}
        task = open_task(bundle.manifest)
        with Pool(bundle, threads=threads or os.cpu_count() or 1, library=library, max_resident_files=99) as pool:
            for name in wanted:
                pool.wait(name)
            for number, index in enumerate(indices):
                image, raw = dataset.read(index)
                truth: Mask = to_label[raw]
                for name in wanted:
                    output = pool.infer(name, image).output
                    mask = task.finish(output, bundle.manifest.variant(name), (truth.shape[0], truth.shape[1]))
                    confusion = IncrementalConfusion(len(bundle.manifest.labels))
                    confusion.add(mask, truth)
                    counts[name][number] = confusion.matrix
                if (number + 1) % 20 == 0 or number + 1 == len(indices):
                    say(f"scored {number + 1} of {len(indices)} images of {spec} with {len(wanted)} variants")
    return summarise(counts, bundle.manifest.labels, spec)


def summarise(counts: dict[str, Confusions], labels: Sequence[str], dataset: str) -> list[Score]:
    """Scores from one confusion matrix an image and variant; every variant must have seen the same images.

    Intervals are 95 % percentiles of a circular block bootstrap (Politis and Romano, 1992): neighbouring frames of a
    drive resemble each other, so whole blocks of about the cube root of the number of images are drawn, the same
    blocks for every variant, which makes the intervals of differences those of paired comparisons.
    """
    picks = _block_picks(next(iter(counts.values())).shape[0])
    drawn = {name: _miou(count[picks].sum(axis=1)) for name, count in counts.items()}
    whole = {name: float(_miou(count.sum(axis=0)[None])[0]) for name, count in counts.items()}
    best = max(whole, key=lambda name: whole[name])
    scores = []
    for name, count in counts.items():
        total = count.sum(axis=0)
        iou = _iou(total[None])[0]
        scores.append(
            Score(
                variant_id=name,
                miou=whole[name],
                confidence_interval=_interval(drawn[name]),
                difference=whole[name] - whole[best],
                difference_interval=_interval(drawn[name] - drawn[best]),
                pixel_accuracy=float(np.trace(total) / total.sum()),
                per_class={
                    label: None if np.isnan(value) else float(value) for label, value in zip(labels, iou, strict=True)
                },
                dataset=dataset,
                images=len(count),
            )
        )
    return scores


def spread(count: int, limit: int | None) -> list[int]:
    """Indices of `limit` items evenly spread over `count`, all when there are no more."""
    if limit is None or limit >= count:
        return list(range(count))
    return [int(i) for i in (np.arange(limit) + 0.5) * count / limit]


def _chosen(bundle: Bundle, only: Sequence[str]) -> list[str]:
    known = [variant.id for variant in bundle.manifest.variants]
    for name in only:
        if name not in known:
            raise UsageError(f"{bundle.root}: has no variant {name!r}; it has: {', '.join(known)}")
    return [name for name in known if name in only] if only else known


def _shape(bundle: Bundle) -> tuple[int, int]:
    return len(bundle.manifest.labels), len(bundle.manifest.labels) + 1


def _label_table(dataset: SegmentationDataset, labels: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Dataset id to the bundle's id, by name; by position when the two have equally many names, but others."""
    ids = {label.lower(): number for number, label in enumerate(labels)}
    missing = [name for name in dataset.classes if name.lower() not in ids]
    table = np.full(256, IGNORE, np.uint8)
    if missing and len(dataset.classes) != len(labels):
        raise UsageError(
            f"{dataset.spec}: its classes {', '.join(missing[:4])} are no labels of the bundle, which has "
            f"{len(labels)} labels for {len(dataset.classes)} classes; score it on a set with its own classes"
        )
    for number, name in enumerate(dataset.classes):
        table[number] = number if missing else ids[name.lower()]
    return table


def _block_picks(images: int) -> npt.NDArray[np.intp]:
    """RESAMPLES x images indices: blocks of neighbours, wrapped around the end."""
    rng = np.random.default_rng(SEED)
    length = max(1, round(images ** (1 / 3)))
    blocks = -(-images // length)
    starts = rng.integers(images, size=(RESAMPLES, blocks, 1))
    return ((starts + np.arange(length)) % images).reshape(RESAMPLES, -1)[:, :images]


def _iou(matrices: npt.NDArray[np.int64]) -> _Floats:
    """Intersection over union by class, for each of N matrices; NaN for a class without truth."""
    classes = matrices.shape[1]
    right = np.diagonal(matrices, axis1=1, axis2=2).astype(np.float64)
    present = matrices.sum(axis=2)
    union = present + matrices.sum(axis=1)[:, :classes] - right
    iou: _Floats = np.divide(right, union, out=np.full(right.shape, np.nan), where=present > 0)
    return iou


def _miou(matrices: npt.NDArray[np.int64]) -> _Floats:
    iou = _iou(matrices)
    occurs = ~np.isnan(iou)
    if not occurs.any():
        raise ConvertError("every pixel of the truth is void; there is nothing to score")
    means: _Floats = np.where(occurs, iou, 0).sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)
    return means


def _interval(values: _Floats) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
