"""Each exact rewrite against the plain arithmetic that it replaces, in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from converters import fold
from converters.layers import BatchNorm, Conv, LayerNorm, Linear

Wide = npt.NDArray[np.float64]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def draw(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    return rng.normal(0, 1, shape).astype(np.float32)


def linear(layer: Linear, x: Wide) -> Wide:
    y = x @ layer.weight.astype(np.float64)
    return y if layer.bias is None else y + layer.bias


def convolve(layer: Conv, x: Wide) -> Wide:
    """A convolution by its definition; x is (height, width, channels)."""
    p, s = layer.padding, layer.stride
    x = np.pad(x, ((p, p), (p, p), (0, 0)))
    kernel_h, kernel_w, _, outputs = layer.weight.shape
    height, width = (x.shape[0] - kernel_h) // s + 1, (x.shape[1] - kernel_w) // s + 1
    y = np.zeros((height, width, outputs))
    for i in range(height):
        for j in range(width):
            window = x[i * s : i * s + kernel_h, j * s : j * s + kernel_w]
            y[i, j] = np.einsum("hwc,hwco->o", window, layer.weight.astype(np.float64))
    return y if layer.bias is None else y + layer.bias


def normalise(norm: LayerNorm, x: Wide) -> Wide:
    if not norm.centred:
        x = x - x.mean(-1, keepdims=True)
    y = x / np.sqrt((x * x).mean(-1, keepdims=True) + norm.eps)
    y = y if norm.scale is None else y * norm.scale
    return y if norm.shift is None else y + norm.shift


def attend(query: Wide, key: Wide, value: Wide, heads: int, scale: float) -> Wide:
    mixed = []
    for q, k, v in zip(*(np.split(x, heads, axis=-1) for x in (query, key, value)), strict=True):
        scores = np.exp((q @ k.T) * scale)
        mixed.append(scores / scores.sum(-1, keepdims=True) @ v)
    return np.concatenate(mixed, axis=-1)


def assert_equal(actual: Wide, expected: Wide) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_input_normalisation_reaches_the_border_too(rng: np.random.Generator) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    conv = Conv(draw(rng, 7, 7, 3, 5), draw(rng, 5), stride=4, padding=3)
    bgr = rng.integers(0, 256, (21, 18, 3)).astype(np.float64)
    expected = convolve(conv, (bgr[..., ::-1] / 255 - np.array(mean)) / np.array(std))
    shift, folded = fold.input_normalisation_into(conv, mean, std)
    assert_equal(convolve(folded, bgr + shift), expected)


@pytest.mark.parametrize("biased", [True, False])
def test_batch_norm_into_linear_and_convolution(rng: np.random.Generator, biased: bool) -> None:
    norm = BatchNorm(draw(rng, 5), draw(rng, 5), draw(rng, 5), draw(rng, 5) ** 2, 1e-5)
    bias = draw(rng, 5) if biased else None

    def apply(y: Wide) -> Wide:
        return (y - norm.mean) / np.sqrt(norm.variance.astype(np.float64) + norm.eps) * norm.scale + norm.shift

    x = rng.normal(0, 1, (6, 7, 4))
    layer, conv = Linear(draw(rng, 4, 5), bias), Conv(draw(rng, 3, 3, 4, 5), bias, stride=2, padding=1)
    assert_equal(linear(fold.batch_norm_into(layer, norm), x), apply(linear(layer, x)))
    assert_equal(convolve(fold.batch_norm_into(conv, norm), x), apply(convolve(conv, x)))


def test_batch_norm_as_scale_and_shift(rng: np.random.Generator) -> None:
    norm = BatchNorm(draw(rng, 5), draw(rng, 5), draw(rng, 5), draw(rng, 5) ** 2, 1e-5)
    scale, shift = norm.affine()
    x = rng.normal(0, 1, (9, 5))
    expected = (x - norm.mean) / np.sqrt(norm.variance.astype(np.float64) + norm.eps) * norm.scale + norm.shift
    assert_equal(x * scale + shift, expected)


def test_decoder_with_real_upsampling_and_stages_last_to_first(rng: np.random.Generator) -> None:
    cv2 = pytest.importorskip("cv2")
    sizes, channels, width = ((8, 12), (4, 6), (2, 3)), (3, 4, 6), 5
    features = [rng.normal(0, 1, (*size, count)) for size, count in zip(sizes, channels, strict=True)]
    projections = [Linear(draw(rng, count, width), draw(rng, width)) for count in channels]
    fuse = Linear(draw(rng, width * 3, width), draw(rng, width))

    def up(x: Wide) -> Wide:
        return np.asarray(cv2.resize(x, sizes[0][::-1], interpolation=cv2.INTER_LINEAR), np.float64)

    stacked = [up(linear(layer, x)) for layer, x in zip(projections, features, strict=True)][::-1]
    expected = linear(fuse, np.concatenate(stacked, axis=-1))
    maps = fold.decoder(projections, fuse)
    assert_equal(sum(up(linear(layer, x)) for layer, x in zip(maps, features, strict=True)), expected)  # type: ignore[arg-type]


def test_attention_scale_key_bias_and_value_bias(rng: np.random.Generator) -> None:
    x, y = rng.normal(0, 1, (10, 6)), rng.normal(0, 1, (7, 6))
    query, key, value, out = (Linear(draw(rng, 6, 6), draw(rng, 6)) for _ in range(4))
    scale, heads = 3**-0.5, 2
    expected = linear(out, attend(linear(query, x), linear(key, y), linear(value, y), heads, scale))
    quick_value, quick_out = fold.value_bias_into(value, out)
    assert quick_value.bias is None
    mixed = attend(
        linear(fold.scaled(query, scale), x), linear(fold.without_bias(key), y), linear(quick_value, y), heads, 1.0
    )
    assert_equal(linear(quick_out, mixed), expected)


def test_one_head_needs_no_output_projection(rng: np.random.Generator) -> None:
    x, y = rng.normal(0, 1, (10, 6)), rng.normal(0, 1, (7, 6))
    value, out = Linear(draw(rng, 6, 6), draw(rng, 6)), Linear(draw(rng, 6, 6), draw(rng, 6))
    expected = linear(out, attend(x, y, linear(value, y), 1, 1.0))
    assert_equal(attend(x, y, linear(fold.one_head_value(value, out), y), 1, 1.0), expected)


def test_norm_into_linear_and_unpadded_convolution(rng: np.random.Generator) -> None:
    norm = LayerNorm(draw(rng, 4), draw(rng, 4), 1e-5)
    x = rng.normal(0, 1, (9, 8, 4))
    layer = Linear(draw(rng, 4, 5), draw(rng, 5))
    conv = Conv(draw(rng, 4, 4, 4, 5), draw(rng, 5), stride=4)
    bare = fold.bare(norm)
    assert_equal(linear(fold.norm_into(norm, layer), normalise(bare, x)), linear(layer, normalise(norm, x)))
    assert_equal(convolve(fold.norm_into_conv(norm, conv), normalise(bare, x)), convolve(conv, normalise(norm, x)))


def test_a_shift_does_not_move_through_padding(rng: np.random.Generator) -> None:
    norm = LayerNorm(draw(rng, 4), draw(rng, 4), 1e-5)
    with pytest.raises(ValueError, match="zero padding"):
        fold.norm_into_conv(norm, Conv(draw(rng, 3, 3, 4, 5), draw(rng, 5), padding=1))


def test_centred_maps_let_a_norm_skip_the_mean(rng: np.random.Generator) -> None:
    norm = LayerNorm(draw(rng, 5), draw(rng, 5), 1e-5)
    x = rng.normal(0, 1, (8, 8, 4))
    for layer in (Linear(draw(rng, 4, 5), draw(rng, 5)), Linear(draw(rng, 4, 5))):
        quick, quick_norm = fold.centred_before(layer, norm)
        assert (quick_norm.centred, quick_norm.eps) == (True, norm.eps)
        assert np.array_equal(quick_norm.scale, norm.scale)
        assert np.array_equal(quick_norm.shift, norm.shift)
        assert np.abs(linear(quick, x).mean(-1)).max() < 1e-6
        assert_equal(normalise(quick_norm, linear(quick, x)), normalise(norm, linear(layer, x)))
    conv = Conv(draw(rng, 3, 3, 4, 5), draw(rng, 5), stride=2, padding=1)
    quick_conv, quick_norm = fold.centred_before(conv, norm)
    assert_equal(normalise(quick_norm, convolve(quick_conv, x)), normalise(norm, convolve(conv, x)))


def test_a_sum_of_centred_writes_is_the_centred_sum(rng: np.random.Generator) -> None:
    norm = LayerNorm(draw(rng, 5), draw(rng, 5), 1e-5)
    x = rng.normal(0, 1, (9, 4))
    writers = [Linear(draw(rng, 4, 5), draw(rng, 5)) for _ in range(3)]
    stream = sum(linear(layer, x) for layer in writers)
    quick = sum(linear(fold.centred(layer), x) for layer in writers)
    assert_equal(normalise(replace(norm, centred=True), quick), normalise(norm, stream))  # type: ignore[arg-type]
