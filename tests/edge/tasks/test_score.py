from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.tasks.score import IncrementalConfusion, miou

TRUTH = np.array([[0, 0, 1, 1], [2, 2, 255, 255]], np.uint8)


def by_definition(mask: np.ndarray, truth: np.ndarray, classes: int) -> float | None:
    known = truth != 255
    shares = []
    for k in range(classes):
        given, right = (mask == k) & known, truth == k
        if right.any():
            shares.append((given & right).sum() / (given | right).sum())
    return float(np.mean(shares)) if shares else None


def test_hand_worked_example() -> None:
    mask = np.array([[0, 1, 1, 1], [2, 0, 0, 1]], np.uint8)
    confusion = IncrementalConfusion(4)
    confusion.add(mask, TRUTH)
    # 0: one of (two true, one more given); 1: two of three; 2: one of two; 3 does not occur.
    np.testing.assert_allclose(confusion.iou(), [1 / 3, 2 / 3, 1 / 2, np.nan])
    assert confusion.miou() == pytest.approx(0.5)
    assert confusion.pixel_accuracy() == pytest.approx(4 / 6)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 30), void=st.booleans())
def test_any_masks(seed: int, classes: int, void: bool) -> None:
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, (6, 7)).astype(np.uint8)
    mask = random.integers(0, classes, (6, 7)).astype(np.uint8)
    if void:
        truth[random.random((6, 7)) < 0.3] = 255
    expected = by_definition(mask, truth, classes)
    assert miou(mask, truth, classes) == (None if expected is None else pytest.approx(expected))


def test_frames_add_up() -> None:
    random = np.random.default_rng(0)
    frames = [
        (random.integers(0, 5, (4, 9)).astype(np.uint8), random.integers(0, 5, (4, 9)).astype(np.uint8))
        for _ in range(3)
    ]
    one = IncrementalConfusion(5)
    for mask, truth in frames:
        one.add(mask, truth)
    whole = IncrementalConfusion(5)
    whole.add(np.hstack([m for m, _ in frames]), np.hstack([t for _, t in frames]))
    np.testing.assert_array_equal(one.matrix, whole.matrix)


def test_an_id_without_a_class_is_wrong_and_charged_to_nobody_else() -> None:
    mask = np.where(TRUTH == 0, 255, TRUTH).astype(np.uint8)
    confusion = IncrementalConfusion(3)
    confusion.add(mask, TRUTH)
    np.testing.assert_array_equal(confusion.iou(), [0.0, 1.0, 1.0])


def test_all_void_is_unknown_not_zero() -> None:
    void = np.full((2, 2), 255, np.uint8)
    assert miou(np.zeros((2, 2), np.uint8), void, 3) is None
    assert IncrementalConfusion(3).pixel_accuracy() is None


def test_what_is_refused() -> None:
    confusion = IncrementalConfusion(2)
    with pytest.raises(ValueError, match=r"mask is \(3, 3\), truth is \(2, 4\)"):
        confusion.add(np.zeros((3, 3), np.uint8), TRUTH)
    with pytest.raises(ValueError, match=r"truth holds class 2, there are classes 0\.\.1"):
        confusion.add(np.zeros((2, 4), np.uint8), TRUTH)
