from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle import InputSpec
from edge.prepare import Preparer, Preparers, prepare

RNG = np.random.default_rng(11)
FRAME = RNG.integers(0, 256, (48, 64, 3)).astype(np.uint8)


def prepared(frame: Any, **spec: Any) -> Any:
    described = InputSpec(**spec)
    out = np.full((1, described.height, described.width, 3), 77, described.dtype)
    prepare(frame, described, out)
    return out[0]


def test_folded_network_takes_raw_pixels() -> None:
    result = prepared(FRAME, height=48, width=64)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, FRAME)


def test_colour_order() -> None:
    np.testing.assert_array_equal(prepared(FRAME, height=48, width=64, colour="RGB"), FRAME[..., ::-1])
    np.testing.assert_array_equal(prepared(FRAME, height=48, width=64, dtype="uint8", colour="RGB"), FRAME[..., ::-1])
    np.testing.assert_array_equal(prepared(FRAME, height=48, width=64, dtype="uint8"), FRAME)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("colour", ["BGR", "RGB"])
def test_bilinear_unless_both_sides_halve(dtype: str, colour: str) -> None:
    linear = cv2.resize(FRAME, (40, 30), interpolation=cv2.INTER_LINEAR)
    area = cv2.resize(FRAME, (32, 24), interpolation=cv2.INTER_AREA)
    order = slice(None, None, -1) if colour == "RGB" else slice(None)
    spec = {"dtype": dtype, "colour": colour}
    np.testing.assert_array_equal(prepared(FRAME, height=30, width=40, **spec), linear[..., order])
    np.testing.assert_array_equal(prepared(FRAME, height=24, width=32, **spec), area[..., order])
    # One side alone is no reason.
    one = cv2.resize(FRAME, (32, 40), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(prepared(FRAME, height=40, width=32, **spec), one[..., order])


def test_int8_twin_of_raw_pixels() -> None:
    result = prepared(FRAME, height=48, width=64, dtype="int8", offset=(128.0,) * 3)
    np.testing.assert_array_equal(result, FRAME.astype(int) - 128)


def test_quantized_input_saturates() -> None:
    white = np.full((4, 4, 3), 255, np.uint8)
    result = prepared(white, height=4, width=4, dtype="int8", scale=(1.0,) * 3, quantum=0.5, zero_point=-128)
    assert (result == 127).all()


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(["float32", "uint8", "int8"]),
    colour=st.sampled_from(["BGR", "RGB"]),
    scale=st.tuples(*[st.floats(0.001, 3)] * 3),
    offset=st.tuples(*[st.floats(-50, 300)] * 3),
    quantum=st.floats(0.01, 2),
    zero_point=st.integers(-128, 127),
    quantized=st.booleans(),
)
def test_every_rule_of_the_manifest(
    dtype: str,
    colour: str,
    scale: tuple[float, ...],
    offset: tuple[float, ...],
    quantum: float,
    zero_point: int,
    quantized: bool,
) -> None:
    spec = {"dtype": dtype, "colour": colour, "scale": scale, "offset": offset}
    if quantized and dtype != "float32":
        spec |= {"quantum": quantum, "zero_point": zero_point}
    result = prepared(FRAME, height=48, width=64, **spec)
    pixel = (FRAME[..., ::-1] if colour == "RGB" else FRAME).astype(np.float64)
    value = (pixel - np.array(offset)) * np.array(scale)
    if dtype == "float32":
        np.testing.assert_allclose(result, value, rtol=1e-6, atol=1e-4)
        return
    stored = value / quantum + zero_point if quantized else value
    limits = np.iinfo(dtype)
    # Both roundings of an exact half are right.
    assert np.abs(result - np.clip(stored, limits.min, limits.max)).max() <= 0.5 + 1e-6


def test_the_caller_s_memory_is_written_and_the_frame_is_not() -> None:
    before = FRAME.copy()
    for spec in (InputSpec(height=48, width=64, dtype="uint8"), InputSpec(height=20, width=20, colour="RGB")):
        memory = np.zeros(spec.height * spec.width * 3, spec.dtype)
        prepare(FRAME, spec, memory.reshape(1, spec.height, spec.width, 3))
        assert memory.any()
    np.testing.assert_array_equal(FRAME, before)


def test_a_preparer_can_be_used_again_for_frames_of_other_sizes() -> None:
    preparer = Preparer(InputSpec(height=24, width=32))
    out = np.empty((24, 32, 3), np.float32)
    for height, width in ((48, 64), (24, 32), (100, 20), (48, 64)):
        frame = RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)
        preparer(frame, out)
        np.testing.assert_array_equal(out, prepared(frame, height=24, width=32))


def test_preparers_keep_one_for_each_input() -> None:
    prepare_any = Preparers()
    for _ in range(2):
        for spec in (InputSpec(height=24, width=32), InputSpec(height=24, width=32, colour="RGB")):
            out = np.empty((1, 24, 32, 3), np.float32)
            prepare_any(FRAME, spec, out)
            np.testing.assert_array_equal(out[0], prepared(FRAME, **spec.model_dump()))


@pytest.mark.parametrize(
    ("frame", "out", "words"),
    [
        (FRAME[..., 0], np.empty((1, 8, 8, 3), np.float32), "a frame is HxWx3 uint8 BGR"),
        (FRAME.astype(np.float32), np.empty((1, 8, 8, 3), np.float32), "a frame is HxWx3 uint8 BGR"),
        (FRAME[:0], np.empty((1, 8, 8, 3), np.float32), "a frame is HxWx3 uint8 BGR"),
        (FRAME, np.empty((1, 8, 9, 3), np.float32), r"the input is \(8, 8, 3\) float32, not \(1, 8, 9, 3\) float32"),
        (FRAME, np.empty((1, 8, 8, 3), np.uint8), r"the input is \(8, 8, 3\) float32, not \(1, 8, 8, 3\) uint8"),
    ],
)
def test_what_is_refused(frame: Any, out: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        prepare(frame, InputSpec(height=8, width=8), out)
