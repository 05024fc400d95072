"""Percentiles from a histogram with logarithmic bins, which can be added up and kept in a few hundred bytes.

Bin 0 holds every value below 1; bin i >= 1 holds [GROWTH**(i-1), GROWTH**i). A bin answers with the harmonic mean of
its edges a and b, 2ab/(a+b), whose relative error within the bin is at most (b-a)/(b+a) = (GROWTH-1)/(GROWTH+1): the
construction of DDSketch (Masson, Rim and Lee, 2019). The rank is exact, so this is the error of a percentile too.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

GROWTH = 1.01
RELATIVE_ERROR = (GROWTH - 1) / (GROWTH + 1)  # 0.4975 %
LARGEST = 1e13  # us: 115 days; uJ: 10 MJ. Larger values share the last bin.
_EDGES = GROWTH ** np.arange(math.ceil(math.log(LARGEST) / math.log(GROWTH)) + 1)
BINS = len(_EDGES) + 1


def count(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many of `values` (any shape) fall into each bin: int64 of shape (BINS,)."""
    # A logarithm finds the bin fast; the edges decide where rounding put a value on the wrong side of one.
    safe = np.maximum(values, 1).astype(np.float64)
    bins = np.minimum((np.log(safe) * (1 / math.log(GROWTH))).astype(np.int64) + 1, BINS - 1)
    bins -= safe < _EDGES[bins - 1]
    bins += (bins < BINS - 1) & (safe >= _EDGES[np.minimum(bins, BINS - 2)])
    bins[values < 1] = 0
    return np.bincount(bins, minlength=BINS)


def quantile(counts: npt.NDArray[np.int64], q: float) -> float | None:
    """The value of rank ceil(q * n), q in 0..1, within RELATIVE_ERROR; None when nothing was counted."""
    total = int(counts.sum())
    if total == 0:
        return None
    rank = max(1, math.ceil(q * total))
    place = int(np.searchsorted(np.cumsum(counts), rank))
    if place == 0:
        return 0.0
    low = _EDGES[place - 1]
    high = low * GROWTH
    return float(2 * low * high / (low + high))


def pack(counts: npt.NDArray[np.int64]) -> bytes:
    """The filled bins as pairs of variable-length integers: gap to the last filled bin, count."""
    packed = bytearray()
    last = 0
    for place in np.flatnonzero(counts).tolist():
        for number in (place - last, int(counts[place])):
            while number > 127:
                packed.append(number & 127 | 128)
                number >>= 7
            packed.append(number)
        last = place
    return bytes(packed)


def unpack(packed: bytes) -> npt.NDArray[np.int64]:
    """The counts that `pack` packed. Raises ValueError on bytes that it cannot have written."""
    numbers: list[int] = []
    value = shift = 0
    for byte in packed:
        value |= (byte & 127) << shift
        if byte & 128:
            shift += 7
        else:
            numbers.append(value)
            value = shift = 0
    if shift or len(numbers) % 2:
        raise ValueError("a histogram ends in the middle of a number")
    counts = np.zeros(BINS, dtype=np.int64)
    places = np.cumsum(numbers[0::2], dtype=np.int64)
    if places.size and places[-1] >= BINS:
        raise ValueError("a histogram has more bins than there are")
    counts[places] = numbers[1::2]
    return counts
