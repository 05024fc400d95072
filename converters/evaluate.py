"""Accuracy of a bundle's variants on a labelled set, through the same engine and task that serve on a board."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.datasets import (
    IGNORE,
    ClassificationDataset,
    LabelledSet,
    Mask,
    SegmentationDataset,
    open_any,
    open_dataset,
)
from converters.datasets.coco import open_coco, read_predictions
from converters.datasets.labels import match_classes
from converters.datasets.registry import place_of
from converters.metrics.classification import Ranks, TopScore, rank_of, summarise_ranks
from converters.metrics.contract import Scored
from converters.metrics.detection import DetectionScore, score_predictions
from converters.metrics.segmentation import Confusions, Score, summarise
from edge.bundle import Bundle
from edge.errors import UsageError
from edge.tasks import ClassifyTask, open_task
from edge.tasks.score import IncrementalConfusion
from edge.variants import Pool

__all__ = [
    "Confusions",
    "Score",
    "confusions",
    "evaluate",
    "evaluate_any",
    "evaluate_predictions",
    "readable",
    "spread",
    "summarise",
]

Say = Callable[[str], None]


def _silent(_: str) -> None:
    """Progress that nobody asked for."""


@contextmanager
def readable(spec: str) -> Iterator[SegmentationDataset]:
    """The set of images and masks that a spec names. Raises DatasetError."""
    yield open_dataset(spec)


def evaluate_any(
    bundle: Bundle,
    spec: str,
    *,
    only: Sequence[str] = (),
    limit: int | None = None,
    threads: int | None = None,
    library: str = "auto",
    say: Say = _silent,
) -> Sequence[Scored]:
    """Score a bundle of any task that can be scored on a set that suits it; see `evaluate`."""
    task = bundle.manifest.task
    if task == "classify":
        return evaluate_classifier(bundle, spec, only=only, limit=limit, threads=threads, library=library, say=say)
    return evaluate(bundle, spec, only=only, limit=limit, threads=threads, library=library, say=say)


def evaluate(
    bundle: Bundle,
    spec: str,
    *,
    only: Sequence[str] = (),
    limit: int | None = None,
    threads: int | None = None,
    library: str = "auto",
    say: Say = _silent,
) -> list[Score]:
    """Score variants (`only` these, or all) of a segmentation bundle on the dataset `spec`, in the manifest's order.

    Masks are compared at their own resolution, void ignored; mIoU is the mean over classes that occur in the truth of
    all images together. `limit` takes that many images evenly spread over the set. Raises ConvertError and UsageError.
    """
    counts = confusions(bundle, spec, only=only, limit=limit, threads=threads, library=library, say=say)
    return summarise(counts, bundle.manifest.labels, spec)


def confusions(
    bundle: Bundle,
    spec: str,
    *,
    only: Sequence[str] = (),
    limit: int | None = None,
    threads: int | None = None,
    library: str = "auto",
    say: Say = _silent,
) -> dict[str, Confusions]:
    """What `evaluate` makes its scores of: a confusion matrix an image, for each variant.

    Variants of several bundles on the same images can so be summarised together, as pairs.
    """
    dataset = open_any(spec)
    if bundle.manifest.task != "segment" or not isinstance(dataset, SegmentationDataset):
        raise _unsuited(bundle, dataset)
    labels = bundle.manifest.labels
    to_label = _label_table(dataset, labels)
    wanted, indices = _chosen(bundle, only), spread(len(dataset), limit)
    counts = {name: np.zeros((len(indices), len(labels), len(labels) + 1), np.int64) for name in wanted}
    task = open_task(bundle.manifest)
    with _loaded(bundle, wanted, threads, library) as pool:
        for number, index in enumerate(indices):
            image, raw = dataset.read(index)
            truth: Mask = to_label[raw]
            for name in wanted:
                output = pool.infer(name, image).output
                mask = task.finish(output, bundle.manifest.variant(name), (truth.shape[0], truth.shape[1]))
                confusion = IncrementalConfusion(len(labels))
                confusion.add(mask, truth)
                counts[name][number] = confusion.matrix
            _report(number + 1, len(indices), spec, wanted, say)
    return counts


def evaluate_classifier(
    bundle: Bundle,
    spec: str,
    *,
    only: Sequence[str] = (),
    limit: int | None = None,
    threads: int | None = None,
    library: str = "auto",
    say: Say = _silent,
) -> list[TopScore]:
    """Top-1 and top-5 of a classification bundle's variants on an ImageNet-style set, in the manifest's order.

    Images are stretched whole to the input, as the daemon does with a frame; published figures mostly take a crop of
    the centre. Raises ConvertError and UsageError.
    """
    dataset, task = open_any(spec), open_task(bundle.manifest)
    if not isinstance(task, ClassifyTask) or not isinstance(dataset, ClassificationDataset):
        raise _unsuited(bundle, dataset)
    labels = match_classes(dataset.classes, bundle.manifest.labels, spec)
    wanted, indices = _chosen(bundle, only), spread(len(dataset), limit)
    ranks: dict[str, Ranks] = {name: np.zeros(len(indices), np.int64) for name in wanted}
    with _loaded(bundle, wanted, threads, library) as pool:
        for number, index in enumerate(indices):
            image, truth = dataset.read(index)
            for name in wanted:
                output = pool.infer(name, image).output
                scores = task.finish(output, bundle.manifest.variant(name), (image.shape[0], image.shape[1]))
                ranks[name][number] = rank_of(scores, labels[truth])
            _report(number + 1, len(indices), spec, wanted, say)
    return summarise_ranks(ranks, spec)


def evaluate_predictions(files: Sequence[Path], spec: str) -> list[DetectionScore]:
    """COCO's average precision of result files on ``coco:DIR``; images are not needed. Raises UsageError."""
    kind, where = place_of(spec)
    if kind != "coco":
        raise UsageError(f"predictions are scored on a COCO detection set, as in coco:coco/val2017; not on {spec!r}")
    names = [str(file) for file in files]
    if len(set(names)) != len(names):
        raise UsageError(f"the same predictions are given twice: {', '.join(names)}")
    dataset = open_coco(spec, where, need_images=False)
    return score_predictions(dataset, {str(file): read_predictions(file, dataset) for file in files})


def spread(count: int, limit: int | None) -> list[int]:
    """Indices of `limit` items evenly spread over `count`, all when there are no more."""
    if limit is None or limit >= count:
        return list(range(count))
    return [int(i) for i in (np.arange(limit) + 0.5) * count / limit]


def _unsuited(bundle: Bundle, dataset: LabelledSet) -> UsageError:
    task = bundle.manifest.task
    scored = {
        "segment": "task 'segment' is scored against masks, as in camvid:DIR",
        "classify": "task 'classify' is scored on classes of images, as in imagenet:DIR",
    }.get(task, f"task {task!r} runs elsewhere; score its results with --predictions FILE --dataset coco:DIR")
    return UsageError(f"{bundle.root}: {scored}; {dataset.spec!r} does not suit")


@contextmanager
def _loaded(bundle: Bundle, wanted: Sequence[str], threads: int | None, library: str) -> Iterator[Pool]:
    with Pool(bundle, threads=threads or os.cpu_count() or 1, library=library, max_resident_files=99) as pool:
        for name in wanted:
            pool.wait(name)
        yield pool


def _report(done: int, of: int, spec: str, wanted: Sequence[str], say: Say) -> None:
    if done % 20 == 0 or done == of:
        say(f"scored {done} of {of} images of {spec} with {len(wanted)} variants")


def _chosen(bundle: Bundle, only: Sequence[str]) -> list[str]:
    known = [variant.id for variant in bundle.manifest.variants]
    for name in only:
        if name not in known:
            raise UsageError(f"{bundle.root}: has no variant {name!r}; it has: {', '.join(known)}")
    return [name for name in known if name in only] if only else known


def _label_table(dataset: SegmentationDataset, labels: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Dataset id to the bundle's id; void stays void, and so becomes what a bundle with fewer classes does not know."""
    names = {label.strip().lower() for label in labels}
    numbers = [number for number, name in enumerate(dataset.classes) if name.strip().lower() in names]
    if len(numbers) != len(labels):
        numbers = list(range(len(dataset.classes)))
    table = np.full(256, IGNORE, np.uint8)
    table[numbers] = match_classes([dataset.classes[number] for number in numbers], labels, dataset.spec)
    return table
