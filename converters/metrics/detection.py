"""COCO's average precision by pycocotools (extra `[metrics]`), with paired bootstrap intervals over images.

The figures are pycocotools' own. For the intervals its matches of boxes are kept and only its last step, precision
over recall, is done again for each resample, with the number of times that an image was drawn as its weight.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.datasets.coco import Prediction
from converters.datasets.contract import DetectionDataset
from converters.metrics.bootstrap import Floats, best_of, block_picks, interval
from converters.metrics.contract import Interval
from edge.bundle import Accuracy
from edge.errors import UsageError

_CHUNK = 2_000_000  # numbers held at once
# Where COCOeval.summarize keeps what: see its _summarizeDets.
_STATS = {"AP50": 1, "AP75": 2, "small": 3, "medium": 4, "large": 5, "AR100": 8}
_Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DetectionScore:
    """How predictions did; ratios 0..1. `ap` is the mean over IoU thresholds 0.5 to 0.95 and categories.

    `others` holds AP50, AP75, AP of small, medium and large objects and AR100; what no object is there for is left out.
    """

    variant_id: str
    ap: float
    confidence_interval: Interval
    difference: float
    difference_interval: Interval
    others: dict[str, float]
    per_class: dict[str, float | None]
    dataset: str
    images: int

    @property
    def metric(self) -> str:
        return "AP"

    @property
    def value(self) -> float:
        return self.ap

    def beside(self) -> Mapping[str, float]:
        """Further metrics by name."""
        return {name: self.others[name] for name in ("AP50", "AP75") if name in self.others}

    def as_accuracy(self) -> Accuracy:
        """What a manifest keeps."""
        return Accuracy(
            metric="COCO AP",
            value=self.ap,
            dataset=self.dataset,
            images=self.images,
            confidence_interval=self.confidence_interval,
            per_class=self.per_class,
        )


@dataclass(frozen=True)
class _Matches:
    """One category: what is to be found in each image, and what was found, surest first."""

    wanted: Floats  # objects by image
    image: npt.NDArray[np.intp]  # of each of N found boxes
    right: npt.NDArray[np.bool_]  # thresholds x N
    wrong: npt.NDArray[np.bool_]


def score_predictions(dataset: DetectionDataset, found: Mapping[str, Sequence[Prediction]]) -> list[DetectionScore]:
    """Scores of one or more detectors' boxes on `dataset`, in the order given.

    Raises UsageError when pycocotools is missing, or the truth holds no box that counts.
    """
    if all(box.crowd for box in dataset.boxes):
        raise UsageError(f"{dataset.spec}: its annotations hold no box that counts; there is nothing to find")
    evaluated = {name: _evaluated(dataset, predictions) for name, predictions in found.items()}
    picks = block_picks(len(dataset), length=1)
    weights = np.stack([np.bincount(pick, minlength=len(dataset)) for pick in picks]).astype(np.float64)
    drawn = {name: _average_precision(done, weights) for name, done in evaluated.items()}
    whole = {name: float(done.stats[0]) for name, done in evaluated.items()}
    best = best_of(whole)
    return [
        DetectionScore(
            variant_id=name,
            ap=whole[name],
            confidence_interval=interval(drawn[name]),
            difference=whole[name] - whole[best],
            difference_interval=interval(drawn[name] - drawn[best]),
            others={key: float(done.stats[at]) for key, at in _STATS.items() if done.stats[at] >= 0},
            per_class=_per_class(done, dataset),
            dataset=dataset.spec,
            images=len(dataset),
        )
        for name, done in evaluated.items()
    ]


def _evaluated(dataset: DetectionDataset, predictions: Sequence[Prediction]) -> Any:
    """pycocotools' evaluation, done and summarised."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise UsageError("average precision needs pycocotools: pip install 'joulepath[metrics]'") from error
    shared = {
        "images": [{"id": image.id, "width": image.width, "height": image.height} for image in dataset.images],
        "categories": [{"id": key, "name": name} for key, name in dataset.categories.items()],
    }
    truth = [
        _entry(b.image_id, b.category_id, (b.x, b.y, b.width, b.height), area=b.area, iscrowd=int(b.crowd))
        for b in dataset.boxes
    ]
    given = [
        _entry(p.image_id, p.category_id, (p.x, p.y, p.width, p.height), area=p.width * p.height, score=p.score)
        for p in predictions
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # it reports to the terminal
        sides = []
        for entries in (truth, given):
            side = COCO()
            numbered = [{"id": number, **entry} for number, entry in enumerate(entries, start=1)]
            side.dataset = {**shared, "annotations": numbered}
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _entry(image_id: int, category_id: int, bbox: tuple[float, ...], **more: float) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), "iscrowd": 0, **more}


def _per_class(evaluation: Any, dataset: DetectionDataset) -> dict[str, float | None]:
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # thresholds x recalls x categories; -1 without objects
    means = precision.mean(axis=(0, 1))
    return {
        dataset.categories[key]: float(mean) if mean >= 0 else None
        for key, mean in zip(evaluation.params.catIds, means, strict=True)
    }


def _average_precision(evaluation: Any, weights: _Weights) -> Floats:
    """AP of each of R resamples; `weights` is R x images."""
    recalls = np.asarray(evaluation.params.recThrs)
    total, counted = np.zeros(len(weights)), np.zeros(len(weights))
    for matches in _matches(evaluation):
        wanted = weights @ matches.wanted
        step = max(1, _CHUNK // max(1, matches.right.size))
        for start in range(0, len(weights), step):
            part = slice(start, start + step)
            total[part] += _precision(matches, weights[part], wanted[part], recalls)
        counted += wanted > 0
    # A resample that happens to hold no object at all says nothing: it repeats the mean of the others.
    some = counted > 0
    values = np.divide(total, counted, out=np.zeros_like(total), where=some)
    values[~some] = values[some].mean() if some.any() else 0.0
    return values


def _precision(matches: _Matches, weights: _Weights, wanted: Floats, recalls: Floats) -> Floats:
    """Mean precision of one category over thresholds and recalls, zero where a resample holds none of it."""
    times = weights[:, None, matches.image]
    right = (times * matches.right).cumsum(axis=2)
    wrong = (times * matches.wrong).cumsum(axis=2)
    recall = right / np.maximum(wanted, 1)[:, None, None]
    precision = right / (right + wrong + np.spacing(1))
    precision = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    # Each recall asked for is answered by the first place that reaches it: count how many each place answers.
    reached = np.searchsorted(recalls, recall.ravel(), side="right").reshape(recall.shape)
    answers = np.diff(reached, axis=2, prepend=0)
    mean: Floats = (answers * precision).sum(axis=2).mean(axis=1) / len(recalls)
    return np.where(wanted > 0, mean, 0.0)


def _matches(evaluation: Any) -> Iterator[_Matches]:
    """Each category that has objects: pycocotools' matches for objects of every size, at most 100 boxes an image."""
    parameters = evaluation.params
    images, sizes = len(parameters.imgIds), len(parameters.areaRng)
    for category in range(len(parameters.catIds)):
        first = category * sizes * images  # the first range of sizes is "all"
        entries = [(at, e) for at, e in enumerate(evaluation.evalImgs[first : first + images]) if e is not None]
        wanted = np.zeros(images)
        for at, entry in entries:
            wanted[at] = np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)
        if not wanted.any():
            continue
        scores = np.concatenate([np.asarray(e["dtScores"], np.float64) for _, e in entries])
        order = np.argsort(-scores, kind="mergesort")
        image = np.concatenate([np.full(len(e["dtScores"]), at, np.intp) for at, e in entries])
        matched = np.concatenate([e["dtMatches"] for _, e in entries], axis=1)[:, order] > 0
        counts = np.concatenate([e["dtIgnore"] for _, e in entries], axis=1)[:, order] == 0
        yield _Matches(wanted, image[order], matched & counts, ~matched & counts)
