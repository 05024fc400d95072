"""Does an engine give what the bundle's maker got? One number decides, the same for every caller."""

from __future__ import annotations

import numpy as np

from edge.engines.contract import Array


def golden_difference(actual: Array, expected: Array, *, ids: bool) -> float:
    """How far `actual` is from `expected` (same shape).

    For `ids` the share of elements that differ; otherwise max |difference| / max |expected|. Infinite when shapes
    differ or anything is not finite.
    """
    if actual.shape != expected.shape:
        return float("inf")
    if ids:
        return float(np.mean(actual != expected))
    wide = np.float64 if actual.dtype.kind != "f" or actual.dtype.itemsize > 4 else np.float32
    difference = np.abs(actual.astype(wide) - expected.astype(wide)).max(initial=0)
    largest = np.abs(expected.astype(wide)).max(initial=0)
    if not (np.isfinite(difference) and np.isfinite(largest)):
        return float("inf")
    if largest == 0:
        return 0.0 if difference == 0 else float("inf")
    return float(difference / largest)
