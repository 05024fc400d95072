"""What the full network computes on one image: what a cut network should come back to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from converters.families.segformer.cut import folded_decoder
from converters.families.segformer.graph import INPUT, OUTPUT, build, enter, fused, leave, writers
from converters.families.segformer.structure import Network
from converters.layers import Array
from converters.ops.eager import EagerOps

Tensor = Any


@dataclass(frozen=True)
class StageTrace:
    """One stage: its patch embedding before the norm, the stream at its start and after each write, what it gives."""

    embedded: Tensor
    streams: tuple[Tensor, ...]
    given: Tensor


@dataclass(frozen=True)
class Trace:
    """One image through the full network; tensors are (1, height, width, channels) float32."""

    stages: tuple[StageTrace, ...]
    logits: Tensor

    @property
    def features(self) -> list[Tensor]:
        """What the decoder reads."""
        return [stage.given for stage in self.stages]


def trace(network: Network, image: Array) -> Trace:
    """Run the folded `network` on `image`, (1, height, width, 3) float32 BGR in 0..255, and keep what it computes."""
    ops = EagerOps()
    x, stages = ops.shift(tf.constant(image), network.shift), []
    for stage in network.stages:
        embedded = ops.conv(x, stage.patch)
        streams = [enter(ops, embedded, stage)]
        for block in stage.blocks:
            for write in writers(block):
                streams.append(ops.add(streams[-1], write(ops, streams[-1])))
        x = leave(ops, streams[-1], stage)
        stages.append(StageTrace(embedded, tuple(streams), x))
    decoder = folded_decoder(network)
    reached = fused(ops, [stage.given for stage in stages], decoder)
    return Trace(tuple(stages), ops.linear(ops.relu(reached), decoder.classifier))


def on_grid(x: Tensor, height: int, width: int) -> Tensor:
    """`x` brought to another grid: means where it is larger, bilinear interpolation where it is smaller."""
    if tuple(x.shape[1:3]) == (height, width):
        return x
    if x.shape[1] >= height and x.shape[2] >= width:
        return tf.raw_ops.ResizeArea(images=x, size=(height, width), align_corners=False)
    return tf.raw_ops.ResizeBilinear(images=x, size=(height, width), half_pixel_centers=True)


def logits_of(network: Network, image: Array) -> Tensor:
    """The logits of any network on one image, (1, height, width, 3) float32 BGR in 0..255."""
    ops = EagerOps(image, INPUT)
    build(ops, network, (image.shape[1], image.shape[2]))
    return ops.outputs[OUTPUT]
