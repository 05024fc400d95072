"""SegFormer written once against the small set of operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from converters.errors import ConvertError
from converters.families.segformer.structure import (
    Attention,
    Block,
    Decoder,
    FeedForward,
    FoldedDecoder,
    Network,
    Stage,
)
from converters.layers import BatchNorm, LayerNorm
from converters.ops import Ops

T = TypeVar("T")
INPUT, OUTPUT = "image", "logits"


def build(ops: Ops[T], network: Network, size: tuple[int, int]) -> None:
    """Write `network` for images of `size` (height, width).

    Input ``image``: (1, height, width, 3) float32, BGR in 0..255. Output ``logits``: (1, height of the first stage,
    width of the first stage, classes) float32, a quarter of the input each way. Raises ConvertError when the size is
    too small.
    """
    x = ops.shift(ops.input(INPUT, (1, *size, 3)), network.shift)
    features = []
    for number, stage in enumerate(network.stages, start=1):
        _refuse_small(ops.shape(x), stage, number, size)
        x = _stage(ops, x, stage)
        features.append(x)
    ops.output(OUTPUT, _decode(ops, features, network.decoder))


def builders(networks: Mapping[str, Network], size: tuple[int, int]) -> dict[str, Callable[[Ops[Any]], None]]:
    """One function a network that writes it to any operations: what `converters.litert.to_litert` takes."""

    def builder(network: Network) -> Callable[[Ops[Any]], None]:
        return lambda ops: build(ops, network, size)

    return {name: builder(network) for name, network in networks.items()}


def _refuse_small(shape: tuple[int, ...], stage: Stage, number: int, size: tuple[int, int]) -> None:
    smallest = min((length - 1) // stage.patch.stride + 1 for length in shape[1:3])
    reduction = max((b.attention.reduce.stride for b in stage.blocks if b.attention.reduce is not None), default=1)
    if smallest < reduction:
        raise ConvertError(
            f"size {size[0]}x{size[1]}: stage {number} would be {smallest} positions across, its attention reduces "
            f"by {reduction}; use 32x32 or more"
        )


def _stage(ops: Ops[T], x: T, stage: Stage) -> T:
    x = _norm(ops, ops.conv(x, stage.patch), stage.patch_norm)
    if stage.centre:
        x = ops.centre(x)
    for block in stage.blocks:
        x = _block(ops, x, block)
    return _norm(ops, x, stage.norm)


def _block(ops: Ops[T], x: T, block: Block) -> T:
    x = ops.add(x, _attention(ops, x, block.attention))
    return ops.add(x, _feed_forward(ops, x, block.feed_forward))


def _attention(ops: Ops[T], x: T, layer: Attention) -> T:
    x = _norm(ops, x, layer.norm)
    around = x
    if layer.reduce is not None:
        around = ops.conv(x, layer.reduce)
    if layer.reduce_norm is not None:
        around = _norm(ops, around, layer.reduce_norm)
    query, key, value = ops.linear(x, layer.query), ops.linear(around, layer.key), ops.linear(around, layer.value)
    mixed = ops.attention(query, key, value, layer.heads, layer.scale)
    return mixed if layer.out is None else ops.linear(mixed, layer.out)


def _feed_forward(ops: Ops[T], x: T, layer: FeedForward) -> T:
    x = ops.linear(_norm(ops, x, layer.norm), layer.up)
    return ops.linear(ops.gelu(ops.depthwise(x, layer.depthwise)), layer.down)


def _decode(ops: Ops[T], features: list[T], decoder: Decoder | FoldedDecoder) -> T:
    _, height, width, _ = ops.shape(features[0])
    maps = decoder.projections if isinstance(decoder, Decoder) else decoder.maps
    parts = [ops.linear(x, layer) for x, layer in zip(features, maps, strict=True)]
    resized = [x if ops.shape(x)[1:3] == (height, width) else ops.resize(x, height, width) for x in parts]
    if isinstance(decoder, Decoder):
        fused = _batch_norm(ops, ops.linear(ops.concat(resized[::-1]), decoder.fuse), decoder.batch_norm)
    else:
        fused = resized[-1]
        for x in resized[-2::-1]:
            fused = ops.add(fused, x)
    return ops.linear(ops.relu(fused), decoder.classifier)


def _norm(ops: Ops[T], x: T, layer: LayerNorm) -> T:
    x = ops.rms_norm(x if layer.centred else ops.centre(x), layer.eps)
    if layer.scale is not None:
        x = ops.scale(x, layer.scale)
    return x if layer.shift is None else ops.shift(x, layer.shift)


def _batch_norm(ops: Ops[T], x: T, layer: BatchNorm) -> T:
    scale, shift = layer.affine()
    return ops.shift(ops.scale(x, scale), shift)
