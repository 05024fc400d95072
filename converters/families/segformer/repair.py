"""Fitting a cut SegFormer to the full one, in the order in which it computes.

After a cut every later part reads something else than it was made for. So the network is walked from its input: each
linear map that writes into the residual stream, each patch embedding, the decoder's maps and at last the classifier
are fitted again (`converters.compensate`) so that on calibration images the cut network's stream comes back to the
full network's. Where a block was skipped, the write before it is fitted to the stream after the block, or a bridge, a
linear map of the stream, stands for it. On a coarser grid, what the full network has is averaged. On another input size
the encoder follows the full network at that size, which is what its weights can do; the decoder follows the full
network at its own size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from converters.compensate import Moments
from converters.families.segformer.graph import (
    enter,
    fused,
    hidden,
    leave,
    mixed_values,
    on_first_grid,
    resized,
)
from converters.families.segformer.structure import Block, Bridge, FoldedDecoder, Stage
from converters.families.segformer.trace import StageTrace, Tensor, Trace, on_grid
from converters.layers import Array, Conv, Linear
from converters.ops.eager import EagerOps, numpy_of

# Positions of one image that a fit looks at; neighbours say much the same.
_POSITIONS = 2048


@dataclass(frozen=True)
class Skipped:
    """How a stage is walked: which of the full network's blocks are kept, and whether bridges stand for the others."""

    kept: tuple[int, ...]
    depth: int
    bridges: bool


def embedding(patch: Conv, inputs: Sequence[Tensor], traces: Sequence[StageTrace]) -> Conv:
    """A patch embedding fitted to `inputs`, so that it gives what the full network's gives."""
    kernel_h, kernel_w, channels, outputs = patch.weight.shape
    moments = Moments(kernel_h * kernel_w * channels, outputs)
    for x, trace in zip(inputs, traces, strict=True):
        windows = _windows(x, patch)
        wanted = on_grid(trace.embedded, *windows.shape[1:3])
        moments.add(*_thinned(windows, wanted))
    present = Linear(patch.weight.reshape(-1, outputs), patch.bias)
    fitted = moments.fit(present)
    return (
        patch
        if fitted is present
        else replace(patch, weight=fitted.weight.reshape(patch.weight.shape), bias=fitted.bias)
    )


def bridged(cut: Stage, skipped: Skipped) -> Stage:
    """The stage with bridges, still zero, where fitting it will put them."""
    return replace(cut, blocks=tuple(block for block, _ in _walk(cut, skipped)))


def stage(
    cut: Stage, skipped: Skipped, inputs: Sequence[Tensor], traces: Sequence[StageTrace]
) -> tuple[Stage, list[Tensor]]:
    """A stage fitted so that its stream follows the full network's; and what it gives for each input."""
    ops = EagerOps()
    starts = [enter(ops, ops.conv(x, cut.patch), cut) for x in inputs]
    streams = [ops.average_pool(x, cut.merge) for x in starts] if cut.merge > 1 else list(starts)
    entered, blocks = list(streams), []
    for block, after in _walk(cut, skipped):
        targets = [
            [on_grid(trace.streams[at], *x.shape[1:3]) for trace, x in zip(traces, streams, strict=True)]
            for at in after
        ]
        fitted, streams = _fitted(block, streams, targets)
        blocks.append(fitted)
    if cut.merge > 1:
        streams = [
            x + resized(ops, reached - began, *x.shape[1:3])
            for x, reached, began in zip(starts, streams, entered, strict=True)
        ]
    found = replace(cut, blocks=tuple(blocks))
    return found, [leave(ops, x, found) for x in streams]


def _walk(cut: Stage, skipped: Skipped) -> list[tuple[Block | Bridge, tuple[int, ...]]]:
    """The blocks to fit, each with the streams of the full network (0 at the start, two a block) after its writes."""
    width = cut.norm.scale.shape[0] if cut.norm.scale is not None else cut.patch.weight.shape[-1]
    nothing = Bridge(Linear(np.zeros((width, width), np.float32), np.zeros(width, np.float32)))
    steps: list[tuple[Block | Bridge, tuple[int, ...]]] = []
    ends = (*skipped.kept[1:], skipped.depth) if skipped.kept else ()
    if not skipped.kept or (skipped.kept[0] > 0 and skipped.bridges):
        steps.append((nothing, (2 * (skipped.kept[0] if skipped.kept else skipped.depth),)))
    for block, number, following in zip(cut.blocks, skipped.kept, ends, strict=True):
        gap = following > number + 1
        last = 2 * number + 2 if gap and skipped.bridges else 2 * following
        steps.append((block, (2 * number + 1, last)))
        if gap and skipped.bridges:
            steps.append((nothing, (2 * following,)))
    return steps


def _fitted(
    block: Block | Bridge, streams: list[Tensor], targets: list[list[Tensor]]
) -> tuple[Block | Bridge, list[Tensor]]:
    ops = EagerOps()
    if isinstance(block, Bridge):
        write, streams = _written(block.write, streams, streams, targets[0])
        return Bridge(write), streams
    attention, layer = block.attention, block.feed_forward
    read = [mixed_values(ops, x, attention) for x in streams]
    if attention.out is None:
        value, streams = _written(attention.value, read, streams, targets[0])
        attention = replace(attention, value=value)
    else:
        out, streams = _written(attention.out, read, streams, targets[0])
        attention = replace(attention, out=out)
    down, streams = _written(layer.down, [hidden(ops, x, layer) for x in streams], streams, targets[1])
    return Block(attention, replace(layer, down=down)), streams


def _written(
    present: Linear, read: Sequence[Tensor], streams: Sequence[Tensor], targets: Sequence[Tensor]
) -> tuple[Linear, list[Tensor]]:
    """A map from `read` fitted to what each stream lacks to its target, and the streams with what it writes."""
    moments, ops = Moments(*present.weight.shape), EagerOps()
    for features, stream, target in zip(read, streams, targets, strict=True):
        moments.add(*_thinned(features, target - stream))
    fitted = moments.fit(present)
    return fitted, [stream + ops.linear(x, fitted) for x, stream in zip(read, streams, strict=True)]


def unstacked(cut: FoldedDecoder) -> FoldedDecoder:
    """The same decoder with the constants of its maps summed into one, as fitting leaves them."""
    return replace(cut, maps=_unstacked(_stacked(cut.maps), cut.maps))


def decoder(
    cut: FoldedDecoder,
    full: FoldedDecoder,
    kept: Sequence[int],
    features: Sequence[list[Tensor]],
    traces: Sequence[Trace],
) -> FoldedDecoder:
    """A decoder whose maps meet the channels `kept` of the full one before the ReLU, whose classifier its logits."""
    ops, present = EagerOps(), _stacked(cut.maps)
    moments = Moments(*present.weight.shape)
    for given, trace in zip(features, traces, strict=True):
        side = _side_by_side(ops, given, cut)
        wanted = tf.gather(fused(ops, trace.features, full), list(kept), axis=-1)
        moments.add(*_thinned(side, on_grid(wanted, *side.shape[1:3])))
    found = replace(cut, maps=_unstacked(moments.fit(present), cut.maps))
    moments = Moments(*cut.classifier.weight.shape)
    for given, trace in zip(features, traces, strict=True):
        read = ops.relu(fused(ops, given, found))
        moments.add(*_thinned(read, on_grid(trace.logits, *read.shape[1:3])))
    return replace(found, classifier=moments.fit(cut.classifier))


def _side_by_side(ops: EagerOps, features: list[Tensor], decoder: FoldedDecoder) -> Tensor:
    """All stages' features on the decoder's grid: one linear map of them is the sum of the stages' maps."""
    features = on_first_grid(ops, features, decoder)
    grids = [tuple(x.shape[1:3]) for x in features]
    brought = []
    for number, x in enumerate(features):
        for grid in grids[number - 1 :: -1] if decoder.chain and number else grids[:1]:
            x = resized(ops, x, *grid)
        brought.append(x)
    return ops.concat(brought)


def _stacked(maps: Sequence[Linear]) -> Linear:
    biases: list[Array] = [layer.bias for layer in maps if layer.bias is not None]
    weight = np.concatenate([layer.weight for layer in maps])
    return Linear(weight, sum(biases, start=np.zeros(weight.shape[1], np.float32)))


def _unstacked(stacked: Linear, like: Sequence[Linear]) -> tuple[Linear, ...]:
    rows = np.cumsum([layer.weight.shape[0] for layer in like])[:-1]
    parts = [np.ascontiguousarray(part) for part in np.split(stacked.weight, rows)]
    # The constant is added where the fewest positions pay for it: at the coarsest stage, for resizing keeps constants.
    return (*(Linear(part) for part in parts[:-1]), Linear(parts[-1], stacked.bias))


def _windows(x: Tensor, conv: Conv) -> Tensor:
    """What each output position of a convolution sees, side by side in the order of its weights."""
    p, (kernel_h, kernel_w) = conv.padding, conv.weight.shape[:2]
    return tf.image.extract_patches(
        tf.pad(x, ((0, 0), (p, p), (p, p), (0, 0))),
        (1, kernel_h, kernel_w, 1),
        (1, conv.stride, conv.stride, 1),
        (1, 1, 1, 1),
        "VALID",
    )


def _thinned(features: Tensor, wanted: Tensor) -> tuple[Array, Array]:
    """Both as (positions, channels), every n-th position of an image that has many."""
    x, y = numpy_of(features), numpy_of(wanted)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} positions to fit to {len(y)}")
    step = max(1, len(x) // _POSITIONS)
    while step > 1 and math.gcd(step, features.shape[2]) > 1:
        step += 1  # a step that shares a factor with the width would never meet some columns
    return x[::step], y[::step]
