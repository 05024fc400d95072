"""SegFormer written once against the small set of operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from converters.errors import ConvertError
from converters.families.segformer.structure import (
    Attention,
    Block,
    Bridge,
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
        x = run_stage(ops, x, stage)
        features.append(x)
    ops.output(OUTPUT, _decode(ops, features, network.decoder))


def builders(
    networks: Mapping[str, Network], size: tuple[int, int] | Mapping[str, tuple[int, int]]
) -> dict[str, Callable[[Ops[Any]], None]]:
    """One function a network that writes it to any operations: what `converters.litert.to_litert` takes. `size` is one
    for all, or one for each."""

    def builder(network: Network, own: tuple[int, int]) -> Callable[[Ops[Any]], None]:
        return lambda ops: build(ops, network, own)

    each = size if isinstance(size, Mapping) else dict.fromkeys(networks, size)
    return {name: builder(network, each[name]) for name, network in networks.items()}


def _refuse_small(shape: tuple[int, ...], stage: Stage, number: int, size: tuple[int, int]) -> None:
    grid = min((length - 1) // stage.patch.stride + 1 for length in shape[1:3])
    smallest = -(-grid // stage.merge)
    attentions = [block.attention for block in stage.blocks if isinstance(block, Block)]
    reduction = max((a.reduce.stride for a in attentions if a.reduce is not None), default=1)
    if smallest < reduction:
        merged = f" merged by {stage.merge}" if stage.merge > 1 else ""
        raise ConvertError(
            f"size {size[0]}x{size[1]}: stage {number} would be {grid} positions across{merged}, its attention reduces "
            f"by {reduction}; use {32 * stage.merge}x{32 * stage.merge} or more"
        )


def run_stage(ops: Ops[T], x: T, stage: Stage) -> T:
    """A whole stage: what the one before gives, to what this one gives."""
    return leave(ops, _blocks(ops, enter(ops, ops.conv(x, stage.patch), stage), stage), stage)


def enter(ops: Ops[T], embedded: T, stage: Stage) -> T:
    """The start of a stage's residual stream, from the result of its patch embedding's convolution."""
    x = _norm(ops, embedded, stage.patch_norm)
    return ops.centre(x) if stage.centre else x


def leave(ops: Ops[T], x: T, stage: Stage) -> T:
    """What a stage gives to the next one and to the decoder, from the end of its residual stream."""
    return _norm(ops, x, stage.norm)


def _blocks(ops: Ops[T], x: T, stage: Stage) -> T:
    if stage.merge == 1 or not stage.blocks:
        for block in stage.blocks:
            for write in writers(block):
                x = ops.add(x, write(ops, x))
        return x
    # Every position keeps its own stream; only what the blocks add to it is shared by those that were merged.
    coarse, added = ops.average_pool(x, stage.merge), None
    for block in stage.blocks:
        for write in writers(block):
            written = write(ops, coarse)
            coarse, added = ops.add(coarse, written), written if added is None else ops.add(added, written)
    assert added is not None
    return ops.add(x, ops.resize(added, *ops.shape(x)[1:3]))


def writers(block: Block | Bridge) -> tuple[Callable[[Ops[T], T], T], ...]:
    """The parts of a block, each from the residual stream to what it adds to it, in order."""
    if isinstance(block, Bridge):
        return (lambda ops, x: ops.linear(x, block.write),)
    return (
        lambda ops, x: attend(ops, x, block.attention),
        lambda ops, x: ops.linear(hidden(ops, x, block.feed_forward), block.feed_forward.down),
    )


def attend(ops: Ops[T], x: T, layer: Attention) -> T:
    """What attention adds to the stream `x`."""
    x = _norm(ops, x, layer.norm)
    around = surroundings(ops, x, layer)
    mixed = mix(ops, x, around, ops.linear(around, layer.value), layer)
    return mixed if layer.out is None else ops.linear(mixed, layer.out)


def mix(ops: Ops[T], x: T, around: T, value: T, layer: Attention) -> T:
    """The means of `value` that the positions of the normalised stream `x` make by attention to `around`."""
    return ops.attention(ops.linear(x, layer.query), ops.linear(around, layer.key), value, layer.heads, layer.scale)


def mixed_values(ops: Ops[T], x: T, layer: Attention) -> T:
    """What the last linear map of attention reads: `out`, or with one head `value`, which commutes with the mixing."""
    x = _norm(ops, x, layer.norm)
    around = surroundings(ops, x, layer)
    return mix(ops, x, around, around if layer.out is None else ops.linear(around, layer.value), layer)


def surroundings(ops: Ops[T], x: T, layer: Attention) -> T:
    """What keys and values are made of: the normalised stream on a reduced grid.

    Means of positions commute with the linear maps that follow, so these run on the fewer positions.
    """
    if layer.reduce is not None:
        x = ops.conv(x, layer.reduce)
    if layer.reduce_norm is not None:
        x = _norm(ops, x, layer.reduce_norm)
    return x if layer.pool == 1 else ops.average_pool(x, layer.pool)


def hidden(ops: Ops[T], x: T, layer: FeedForward) -> T:
    """The hidden channels of a feed-forward layer, as its last map reads them."""
    x = ops.linear(_norm(ops, x, layer.norm), layer.up)
    return ops.gelu(ops.depthwise(x, layer.depthwise))


def _decode(ops: Ops[T], features: list[T], decoder: Decoder | FoldedDecoder) -> T:
    if isinstance(decoder, FoldedDecoder):
        return ops.linear(ops.relu(fused(ops, features, decoder)), decoder.classifier)
    _, height, width, _ = ops.shape(features[0])
    parts = [ops.linear(x, layer) for x, layer in zip(features, decoder.projections, strict=True)]
    stacked = ops.concat([resized(ops, x, height, width) for x in parts][::-1])
    return ops.linear(
        ops.relu(_batch_norm(ops, ops.linear(stacked, decoder.fuse), decoder.batch_norm)), decoder.classifier
    )


def fused(ops: Ops[T], features: list[T], decoder: FoldedDecoder) -> T:
    """The decoder's channels before the ReLU, from the features of all stages."""
    features = on_first_grid(ops, features, decoder)
    parts = [ops.linear(x, layer) for x, layer in zip(features, decoder.maps, strict=True)]
    _, height, width, _ = ops.shape(features[0])
    total = parts[-1]
    for x in parts[-2::-1]:
        grid = ops.shape(x)[1:3] if decoder.chain else (height, width)
        total = ops.add(resized(ops, total, *grid), resized(ops, x, *grid))
    return total


def on_first_grid(ops: Ops[T], features: list[T], decoder: FoldedDecoder) -> list[T]:
    """The features with those of the first stage on the grid that the decoder works on."""
    return features if decoder.stride == 1 else [ops.average_pool(features[0], decoder.stride), *features[1:]]


def resized(ops: Ops[T], x: T, height: int, width: int) -> T:
    """`x` on a grid of this size, itself when it has that already."""
    return x if ops.shape(x)[1:3] == (height, width) else ops.resize(x, height, width)


def _norm(ops: Ops[T], x: T, layer: LayerNorm) -> T:
    x = ops.rms_norm(x if layer.centred else ops.centre(x), layer.eps)
    if layer.scale is not None:
        x = ops.scale(x, layer.scale)
    return x if layer.shift is None else ops.shift(x, layer.shift)


def _batch_norm(ops: Ops[T], x: T, layer: BatchNorm) -> T:
    scale, shift = layer.affine()
    return ops.shift(ops.scale(x, scale), shift)
