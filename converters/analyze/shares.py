"""Does the share of multiply-accumulates tell the share of time? The paper's question, asked of one breakdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.analyze.layers import Breakdown

# When more than this share of the time stands at other layers than multiply-accumulates say, they tell it poorly.
POOR = 0.2


@dataclass(frozen=True)
class Finding:
    """How the two shares go together over all layers.

    `misplaced` is half the sum of their absolute differences: the share of time that multiply-accumulates put at the
    wrong layers. `without_macs` is the share of time of layers that multiply nothing. `holds` says whether the
    paper's finding, that multiply-accumulates tell time poorly, holds here.
    """

    layers: int
    linear: float
    rank: float
    misplaced: float
    without_macs: float
    largest: str
    largest_macs: float
    largest_time: float

    @property
    def holds(self) -> bool:
        """Whether more than `POOR` is misplaced."""
        return self.misplaced > POOR

    def sentence(self, title: str) -> str:
        """In words, with the figures."""
        return (
            f"{title}: over {self.layers} layers the share of multiply-accumulates and the share of time have a linear "
            f"correlation of {self.linear:.2f} and a rank correlation of {self.rank:.2f}; "
            f"{100 * self.misplaced:.0f} % of the time is not where multiply-accumulates put it, "
            f"{100 * self.without_macs:.0f} % is in layers that have none. {self.largest} has "
            f"{100 * self.largest_macs:.1f} % of the multiply-accumulates and {100 * self.largest_time:.1f} % of the "
            f"time. "
            "That multiply-accumulates are a poor estimate of time "
            f"{'holds' if self.holds else 'does not hold'} here (the line is at {100 * POOR:.0f} % misplaced)."
        )


def finding(found: Breakdown) -> Finding | None:
    """None where a layer's time is missing, or nothing is multiplied."""
    times = [layer.median_ms for layer in found.layers]
    if None in times or found.macs == 0:
        return None
    macs, time = _shares([layer.macs for layer in found.layers]), _shares([t for t in times if t is not None])
    largest = int(np.argmax(macs))
    return Finding(
        layers=len(times),
        linear=_correlation(macs, time),
        rank=_correlation(_ranks(macs), _ranks(time)),
        misplaced=float(np.abs(macs - time).sum() / 2),
        without_macs=float(time[macs == 0].sum()),
        largest=found.layers[largest].name,
        largest_macs=float(macs[largest]),
        largest_time=float(time[largest]),
    )


def _shares(values: Sequence[float]) -> npt.NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return np.asarray(array / array.sum(), np.float64)


def _correlation(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 1 and x.std() and y.std() else float("nan")


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Places from 0, equal values sharing the mean of theirs."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[where], np.float64)
