"""The fast score agrees with the one that is reported."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.evaluate import summarise
from converters.search.finals import _difference
from converters.search.scoring import confusion, grid_of, mask_of, mean_iou, truth_at
from edge.tasks.score import IncrementalConfusion
from edge.tasks.upsample import upsampled_argmax


@given(st.integers(0, 2**31))
def test_it_counts_as_the_reported_score_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), (6, 8))
    truth[0, 0] = 1
    mask = rng.integers(0, 3, (6, 8), dtype=np.uint8)
    reported = IncrementalConfusion(3)
    reported.add(mask, truth)
    assert np.array_equal(confusion(mask, truth, 3), reported.matrix[:, :3])
    (score,) = summarise({"it": reported.matrix[None]}, ("a", "b", "c"), "set")
    assert mean_iou(confusion(mask, truth, 3)) == pytest.approx(score.miou, abs=1e-12)


def test_a_mask_at_the_grid_is_the_reported_mask_there() -> None:
    logits = np.random.default_rng(1).normal(size=(9, 12, 5)).astype(np.float32)
    assert grid_of((288, 384)) == (144, 192)
    assert (mask_of(logits, (18, 24)) == upsampled_argmax(logits, (18, 24))).mean() == 1.0
    assert np.array_equal(mask_of(logits, (9, 12)), logits.argmax(-1))


def test_truth_is_that_of_the_nearest_pixel() -> None:
    mask = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert truth_at(mask, (2, 2)).tolist() == [[5, 7], [13, 15]]


def test_nothing_but_void_cannot_be_scored() -> None:
    void = np.full((2, 2), 255, np.uint8)
    with pytest.raises(ValueError, match="void"):
        mean_iou(confusion(np.zeros((2, 2), np.uint8), void, 3))


def test_a_difference_to_the_full_path_has_one_sign_whichever_is_better() -> None:
    rng = np.random.default_rng(2)
    good, bad = np.zeros((12, 2, 3), np.int64), np.zeros((12, 2, 3), np.int64)
    for image in range(12):
        right = rng.integers(80, 100, 2)
        good[image, :, :2] = [[right[0], 100 - right[0]], [100 - right[1], right[1]]]
        worse = right - rng.integers(5, 20, 2)
        bad[image, :, :2] = [[worse[0], 100 - worse[0]], [100 - worse[1], worse[1]]]
    down = _difference({"full": good, "p1": bad}, "full", "p1", ("a", "b"))
    up = _difference({"full": bad, "p1": good}, "full", "p1", ("a", "b"))
    assert down.miou == -up.miou < 0
    assert down.interval == (-up.interval[1], -up.interval[0])
    assert down.interval[0] <= down.miou <= down.interval[1] < 0
