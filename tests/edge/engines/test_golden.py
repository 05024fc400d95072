from __future__ import annotations

import math

import numpy as np
import pytest

from edge.engines.golden import golden_difference


def test_values_are_compared_with_the_largest() -> None:
    expected = np.array([-4.0, 1.0, 0.0], np.float32)
    actual = np.array([-4.0, 1.5, 0.0], np.float32)
    assert golden_difference(actual, expected, ids=False) == pytest.approx(0.125)


def test_bytes_do_not_wrap_around() -> None:
    assert golden_difference(np.array([1], np.uint8), np.array([200], np.uint8), ids=False) == pytest.approx(199 / 200)


def test_ids_count_differing_elements() -> None:
    assert golden_difference(np.array([1, 2, 3, 4]), np.array([1, 9, 3, 4]), ids=True) == 0.25


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (np.zeros(3), np.zeros(4)),
        (np.array([math.nan, 1.0]), np.array([1.0, 1.0])),
        (np.array([math.inf, 1.0]), np.array([1.0, 1.0])),
        (np.array([1.0]), np.array([0.0])),
    ],
)
def test_what_can_never_be_within_tolerance(actual: np.ndarray, expected: np.ndarray) -> None:
    assert golden_difference(actual, expected, ids=False) == math.inf


def test_all_zero_is_reproduced_by_all_zero() -> None:
    assert golden_difference(np.zeros(3), np.zeros(3), ids=False) == 0.0
