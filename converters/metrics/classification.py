"""Top-1 and top-5 of classifiers, from one rank an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.metrics.bootstrap import best_of, block_picks, interval
from converters.metrics.contract import Interval
from edge.bundle import Accuracy

# The place of the true class among an image's scores, 0 the highest.
Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TopScore:
    """How a variant did; ratios 0..1. `difference` is its top-1 less that of the best variant, on the same images."""

    variant_id: str
    top1: float
    top5: float
    confidence_interval: Interval
    difference: float
    difference_interval: Interval
    dataset: str
    images: int

    @property
    def metric(self) -> str:
        return "top-1"

    @property
    def value(self) -> float:
        return self.top1

    def beside(self) -> Mapping[str, float]:
        """Further metrics by name."""
        return {"top-5": self.top5}

    def as_accuracy(self) -> Accuracy:
        """What a manifest keeps."""
        return Accuracy(
            metric=self.metric,
            value=self.top1,
            dataset=self.dataset,
            images=self.images,
            confidence_interval=self.confidence_interval,
        )


def rank_of(scores: npt.NDArray[np.float32], truth: int) -> int:
    """The place of class `truth` among K scores; of equal scores the lower class comes first, as in an argmax."""
    mine = scores[truth]
    return int((scores > mine).sum() + (scores[:truth] == mine).sum())


def summarise_ranks(ranks: Mapping[str, Ranks], dataset: str) -> list[TopScore]:
    """Scores from one rank an image and variant; every variant must have seen the same images."""
    picks = block_picks(len(next(iter(ranks.values()))), length=1)
    right = {name: (rank == 0).astype(np.float64) for name, rank in ranks.items()}
    drawn = {name: hits[picks].mean(axis=1) for name, hits in right.items()}
    whole = {name: float(hits.mean()) for name, hits in right.items()}
    best = best_of(whole)
    return [
        TopScore(
            variant_id=name,
            top1=whole[name],
            top5=float((rank < 5).mean()),
            confidence_interval=interval(drawn[name]),
            difference=whole[name] - whole[best],
            difference_interval=interval(drawn[name] - drawn[best]),
            dataset=dataset,
            images=len(rank),
        )
        for name, rank in ranks.items()
    ]
