from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.tasks.upsample import upsampled_argmax


def all_planes(logits: Any, size: tuple[int, int]) -> Any:
    """Every class upsampled bilinearly by OpenCV: HxWxK."""
    planes = [
        cv2.resize(np.ascontiguousarray(logits[..., k], dtype=np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
        for k in range(logits.shape[2])
    ]
    return np.stack(planes, axis=-1)


def by_definition(logits: Any, size: tuple[int, int]) -> Any:
    """Every class upsampled in float64: half-pixel centres, edges repeated."""

    def weights(pixels: int, cells: int) -> Any:
        centre = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
        low = np.floor(centre).astype(int)
        matrix = np.zeros((pixels, cells))
        for pixel, (start, share) in enumerate(zip(low, centre - low, strict=True)):
            matrix[pixel, min(max(start, 0), cells - 1)] += 1 - share
            matrix[pixel, min(max(start + 1, 0), cells - 1)] += share
        return matrix

    rows, columns = weights(size[0], logits.shape[0]), weights(size[1], logits.shape[1])
    return np.einsum("yh,xw,hwk->yxk", rows, columns, logits.astype(np.float64))


logits_shapes = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 9))


@settings(max_examples=200, deadline=None)
@given(
    shape=logits_shapes,
    down=st.sampled_from([1, 2, 4, 8]),
    across=st.sampled_from([1, 2, 4, 8]),
    levels=st.integers(2, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_identical_to_all_planes_ties_included(
    shape: tuple[int, int, int], down: int, across: int, levels: int, seed: int
) -> None:
    # Small integers and powers of two: every product and sum is exact, so ties are ties in any order of adding.
    logits = np.random.default_rng(seed).integers(0, levels, shape).astype(np.float32)
    size = (shape[0] * down, shape[1] * across)
    np.testing.assert_array_equal(upsampled_argmax(logits, size), by_definition(logits, size).argmax(-1))


@settings(max_examples=200, deadline=None)
@given(shape=logits_shapes, height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_any_size_gives_a_class_as_good_as_the_best(
    shape: tuple[int, int, int], height: int, width: int, seed: int
) -> None:
    logits = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    values = by_definition(logits, (height, width))
    mask = upsampled_argmax(logits, (height, width))
    assert mask.shape == (height, width)
    assert mask.dtype == np.uint8
    chosen = np.take_along_axis(values, mask[..., None].astype(int), axis=2)[..., 0]
    # Where two classes are equal to the last bits of float32, either is right.
    np.testing.assert_allclose(chosen, values.max(-1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(96, 128), (72, 96), (90, 160), (33, 17), (24, 32)])
def test_agrees_with_opencv_on_fields_like_a_network_s(size: tuple[int, int]) -> None:
    coarse = np.random.default_rng(2).normal(size=(5, 6, 150)).astype(np.float32)
    logits = all_planes(coarse, (24, 32))
    differs = upsampled_argmax(logits, size) != all_planes(logits, size).argmax(-1)
    assert differs.mean() < 1e-3  # OpenCV's own weights are rounded to float32


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("size", [(20, 24), (23, 31)])
def test_quantized_logits_need_no_dequantization(dtype: str, size: tuple[int, int]) -> None:
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(4).integers(limits.min, limits.max, (5, 6, 7), endpoint=True).astype(dtype)
    real = (stored.astype(np.float32) - 3) * 0.125
    np.testing.assert_array_equal(upsampled_argmax(stored, size), upsampled_argmax(real, size))


def test_a_class_that_wins_at_no_corner_may_win_between_them() -> None:
    # Class 2 is second at both ends: in the middle it is the best.
    logits = np.array([[[10.0, 0.0, 8.0], [0.0, 10.0, 8.0]]], np.float32)
    mask = upsampled_argmax(logits, (1, 16))
    np.testing.assert_array_equal(mask, by_definition(logits, (1, 16)).argmax(-1))
    assert 2 in mask


def test_one_class_everywhere() -> None:
    logits = np.zeros((3, 4, 5), np.float32)
    logits[..., 3] = 1
    assert (upsampled_argmax(logits, (30, 41)) == 3).all()


def test_more_classes_than_a_byte_holds() -> None:
    with pytest.raises(ValueError, match="256 classes do not fit"):
        upsampled_argmax(np.zeros((2, 2, 256), np.float32), (4, 4))
