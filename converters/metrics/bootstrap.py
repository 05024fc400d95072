"""Paired bootstrap: which images each resample draws, the same for all contestants, so that differences are of pairs.

Neighbouring frames of a drive resemble each other, so whole blocks of neighbours are drawn (circular block bootstrap,
Politis and Romano, 1992), of about the cube root of the number of images. Sets of separate photographs have no
neighbours, and their files lie in order of their classes; there a block is one image (Efron, 1979).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from converters.metrics.contract import Interval

RESAMPLES = 1000
SEED = 0
Floats = npt.NDArray[np.float64]


def block_picks(images: int, length: int | None = None) -> npt.NDArray[np.intp]:
    """RESAMPLES x images indices: blocks of `length` neighbours, wrapped around the end; None is the cube root."""
    rng = np.random.default_rng(SEED)
    length = length or max(1, round(images ** (1 / 3)))
    blocks = -(-images // length)
    starts = rng.integers(images, size=(RESAMPLES, blocks, 1))
    return ((starts + np.arange(length)) % images).reshape(RESAMPLES, -1)[:, :images]


def interval(values: Floats) -> Interval:
    """The middle 95 % of the resamples."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def best_of(whole: Mapping[str, float]) -> str:
    """The name of the highest value; of equals the first."""
    return max(whole, key=lambda name: whole[name])
