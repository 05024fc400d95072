from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.journal import sketch

values = st.lists(st.integers(min_value=-5, max_value=10**13), min_size=1, max_size=200)


@given(values, st.floats(0, 1))
def test_a_percentile_is_within_the_stated_error(numbers: list[int], q: float) -> None:
    exact = sorted(numbers)[max(1, math.ceil(q * len(numbers))) - 1]
    estimate = sketch.quantile(sketch.count(np.array(numbers)), q)
    assert estimate is not None
    if exact < 1:
        assert estimate == 0.0
    else:
        assert abs(estimate - exact) <= exact * sketch.RELATIVE_ERROR * (1 + 1e-9)


@given(values, values)
def test_histograms_add_up_and_survive_packing(one: list[int], other: list[int]) -> None:
    together = sketch.count(np.array(one + other))
    added = sketch.count(np.array(one)) + sketch.count(np.array(other))
    assert (together == added).all()
    assert (sketch.unpack(sketch.pack(together)) == together).all()


def test_every_edge_belongs_to_the_bin_above_it() -> None:
    edges = np.ceil(sketch.GROWTH ** np.arange(sketch.BINS - 1)).astype(np.int64)
    for value in edges.tolist():
        place = int(np.flatnonzero(sketch.count(np.array([value])))[0])
        assert sketch.GROWTH ** (place - 1) <= value * (1 + 1e-12)
        assert place == sketch.BINS - 1 or value < sketch.GROWTH**place * (1 + 1e-12)


def test_nothing_counted_has_no_percentile() -> None:
    assert sketch.quantile(np.zeros(sketch.BINS, dtype=np.int64), 0.5) is None


@pytest.mark.parametrize("damaged", [b"\x80", b"\x01", b"\xff\xff\x7f\x01"])
def test_damaged_histograms_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="histogram"):
        sketch.unpack(damaged)


def test_a_usual_histogram_is_small() -> None:
    rng = np.random.default_rng(1)
    packed = sketch.pack(sketch.count(rng.normal(90_000, 9_000, 1_000_000).astype(np.int64)))
    assert len(packed) < 400
