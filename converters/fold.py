"""Exact rewrites: functions from layers to cheaper layers that compute the same, with the reason why.

All sums are made in float64 and stored as float32, so that a rewritten network differs from the original by rounding
alone. Channels come last: a linear map is ``y = x W + b`` with W of shape (inputs, outputs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from converters.layers import Array, BatchNorm, Conv, LayerNorm, Linear

Map = TypeVar("Map", Linear, Conv)
_Wide = npt.NDArray[np.float64]


def input_normalisation_into(conv: Conv, mean: Sequence[float], std: Sequence[float]) -> tuple[Array, Conv]:
    """Let the first convolution take raw BGR pixels: returns what to add to them, and the convolution.

    Published networks take RGB ``n_c = (p_c / 255 - m_c) / s_c``, and pad n with zeros. Write
    ``n_c = (p_c - 255 m_c) * 1 / (255 s_c)``: the factor belongs to input channel c and moves into the weights, as
    does the order of channels. The subtraction must stay in front of the padding, for a zero in n is a pixel of
    255 m, not a black one; moved into the bias it would be wrong along the border. It is one addition on the input.
    """
    scale = 1.0 / (255.0 * np.asarray(std, np.float64))
    weight = (_wide(conv.weight) * scale[:, None])[:, :, ::-1]
    shift = -255.0 * np.asarray(mean, np.float64)[::-1]
    return shift.astype(np.float32), replace(conv, weight=_narrow(weight))


def batch_norm_into(layer: Map, norm: BatchNorm) -> Map:
    """Batch norm after a linear map or convolution, as that map alone.

    At inference batch norm is ``y * g + h`` for each output channel, with ``g = scale / sqrt(variance + eps)`` and
    ``h = shift - mean * g``. ``(x W + b) g + h = x (W g) + (b g + h)``. Zero padding is untouched: it enters before W.
    """
    gain = _wide(norm.scale) / np.sqrt(_wide(norm.variance) + norm.eps)
    shift = _wide(norm.shift) - _wide(norm.mean) * gain
    return _with(layer, _wide(layer.weight) * gain, _bias(layer) * gain + shift)


def decoder(projections: Sequence[Linear], fuse: Linear) -> tuple[Linear, ...]:
    """Per-stage projections and the convolution that fuses them, as one linear map a stage.

    The published decoder computes ``fuse(concat(up(x_4 W_4 + b_4), ..., up(x_1 W_1 + b_1)))``, stages concatenated
    last to first. Split the rows of the fuse weight into the parts F_i that meet stage i; then it is
    ``sum_i up(x_i W_i + b_i) F_i + f``. Bilinear upsampling mixes positions and never channels, with weights that sum
    to one, so it commutes with a map of channels and with a constant: ``sum_i up(x_i (W_i F_i) + b_i F_i) + f``. The
    map now runs at the resolution of its stage, and the widest convolution of the network is gone. The constant f
    goes to the first stage. A narrower decoder is the same with fewer columns of F, made from the original weights.
    """
    parts = np.split(_wide(fuse.weight), len(projections), axis=0)[::-1]
    constant = [_bias(fuse)] + [np.zeros(fuse.weight.shape[1])] * (len(projections) - 1)
    return tuple(
        _with(layer, _wide(layer.weight) @ part, _bias(layer) @ part + extra)
        for layer, part, extra in zip(projections, parts, constant, strict=True)
    )


def scaled(layer: Linear, factor: float) -> Linear:
    """A linear map times a constant: the scale of attention scores, ``(q s) . k = s (q . k)``, moves into q."""
    return _with(layer, _wide(layer.weight) * factor, _bias(layer) * factor)


def without_bias(key: Linear) -> Linear:
    """The key map without its bias.

    The score of query q and key ``k + c`` is ``q . k + q . c``: the second term is the same for every key that q
    meets, and softmax does not change when all its inputs move by one amount.
    """
    return Linear(key.weight)


def value_bias_into(value: Linear, out: Linear) -> tuple[Linear, Linear]:
    """The bias of the values, moved into the bias of the projection that follows attention.

    Attention weights of one query sum to one: ``P (V + 1 c) = P V + 1 c``. The constant c passes through and meets
    the output projection: ``(P V + 1 c) W + b = P V W + (c W + b)``. Channels of a head stay together, so this holds
    head by head.
    """
    return Linear(value.weight), _with(out, _wide(out.weight), _bias(value) @ _wide(out.weight) + _bias(out))


def one_head_value(value: Linear, out: Linear) -> Linear:
    """With one head, values that already carry the output projection: ``(P V) W + b = P (V W + 1 b)``.

    The product is associative and rows of P sum to one. The projection then runs over the few reduced positions
    instead of all of them.
    """
    weight = _wide(out.weight)
    return _with(value, _wide(value.weight) @ weight, _bias(value) @ weight + _bias(out))


def norm_into(norm: LayerNorm, layer: Linear) -> Linear:
    """Scale and shift of a layer norm, moved into a linear map that reads it.

    ``(n * g + h) W + b = n (diag(g) W) + (h W + b)``. Every reader of the norm takes its own copy; the norm that is
    left is `bare`.
    """
    scale, shift = _scale(norm, layer.weight.shape[0]), _shift(norm, layer.weight.shape[0])
    return _with(layer, _wide(layer.weight) * scale[:, None], shift @ _wide(layer.weight) + _bias(layer))


def norm_into_conv(norm: LayerNorm, conv: Conv) -> Conv:
    """The same for a convolution, which must not pad: a padded zero is no shifted zero.

    The shift is a constant image; without padding every output position sees all of its taps, so it adds the sum over
    taps of ``h W`` everywhere. Raises ValueError for a convolution that pads.
    """
    if conv.padding:
        raise ValueError("a shift cannot be moved through zero padding")
    weight = _wide(conv.weight)
    scale, shift = _scale(norm, weight.shape[2]), _shift(norm, weight.shape[2])
    return _with(conv, weight * scale[:, None], np.einsum("c,hwco->o", shift, weight) + _bias(conv))


def bare(norm: LayerNorm) -> LayerNorm:
    """A norm whose scale and shift have moved into its readers."""
    return replace(norm, scale=None, shift=None)


def centred(layer: Map) -> Map:
    """A linear map or convolution followed by subtracting the mean over its channels.

    The subtraction is itself linear, ``y (I - 1 1' / C)``: the mean over outputs leaves each row of the weight and the
    bias. What is written into a residual stream may be centred when every reader of the stream is a layer norm:
    ``x - mean(x)`` is linear in x, so the sum of centred parts is the centred sum, and a layer norm gives the same for
    x and for ``x - mean(x)``. On a centred stream the variance is the mean square, and a layer norm needs neither
    the mean nor its subtraction (`LayerNorm.centred`).
    """
    weight, bias = _wide(layer.weight), _bias(layer)
    return _with(layer, weight - weight.mean(axis=-1, keepdims=True), bias - bias.mean())


def centred_before(layer: Map, norm: LayerNorm) -> tuple[Map, LayerNorm]:
    """A map whose only reader is a layer norm, centred, and the norm that relies on it (see `centred`)."""
    return centred(layer), replace(norm, centred=True)


def _with(layer: Map, weight: _Wide, bias: _Wide) -> Map:
    return replace(layer, weight=_narrow(weight), bias=_narrow(bias))


def _bias(layer: Linear | Conv) -> _Wide:
    return np.zeros(layer.weight.shape[-1]) if layer.bias is None else _wide(layer.bias)


def _scale(norm: LayerNorm, channels: int) -> _Wide:
    return np.ones(channels) if norm.scale is None else _wide(norm.scale)


def _shift(norm: LayerNorm, channels: int) -> _Wide:
    return np.zeros(channels) if norm.shift is None else _wide(norm.shift)


def _wide(value: Array) -> _Wide:
    return value.astype(np.float64)


def _narrow(value: _Wide) -> Array:
    return np.ascontiguousarray(value, dtype=np.float32)
