"""A SegFormer as a plain tree of layers along one execution path, as published: nothing rewritten yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from converters import fold
from converters.errors import ConvertError
from converters.families.segformer.config import SegformerConfig
from converters.families.segformer.weights import SegformerWeights
from converters.layers import Array, BatchNorm, Conv, Depthwise, LayerNorm, Linear
from converters.paths import ExecutionPath

# PyTorch's default of nn.LayerNorm and nn.BatchNorm2d; SegFormer ignores layer_norm_eps of config.json.
EPS = 1e-5


@dataclass(frozen=True)
class Attention:
    """Attention with keys and values from a grid reduced by `reduce`; None where nothing is to be done.

    `pool` averages that grid further, by this factor each way, before keys and values are made of it.
    """

    norm: LayerNorm
    query: Linear
    reduce: Conv | None
    reduce_norm: LayerNorm | None
    key: Linear
    value: Linear
    out: Linear | None
    heads: int
    scale: float | None
    pool: int = 1


@dataclass(frozen=True)
class FeedForward:
    """The mixing feed-forward layer: up, depthwise 3x3, GELU, down."""

    norm: LayerNorm
    up: Linear
    depthwise: Depthwise
    down: Linear


@dataclass(frozen=True)
class Block:
    """One transformer block; both halves add to the residual stream."""

    attention: Attention
    feed_forward: FeedForward


@dataclass(frozen=True)
class Bridge:
    """What stands for a skipped block: a linear map that adds to the residual stream."""

    write: Linear


@dataclass(frozen=True)
class Stage:
    """Patch embedding, the blocks that the path keeps, final norm; `centre` makes the residual stream start centred.

    With `merge` above one the blocks work on means of `merge` x `merge` positions, and what they wrote is spread over
    the positions again by interpolation.
    """

    patch: Conv
    patch_norm: LayerNorm
    centre: bool
    blocks: tuple[Block | Bridge, ...]
    norm: LayerNorm
    merge: int = 1


@dataclass(frozen=True)
class Decoder:
    """As published: project each stage, resize, concatenate last to first, fuse, batch norm, ReLU, classify."""

    projections: tuple[Linear, ...]
    fuse: Linear
    batch_norm: BatchNorm
    classifier: Linear


@dataclass(frozen=True)
class FoldedDecoder:
    """One map a stage straight to the fused channels; their resized sum, ReLU, classify.

    The sum is made on the grid of the first stage, or on one coarser by `stride`. With `chain` a coarse stage is
    brought there a stage at a time, summed on the way, which resizes far less and is not quite the same.
    """

    maps: tuple[Linear, ...]
    classifier: Linear
    stride: int = 1
    chain: bool = False


@dataclass(frozen=True)
class Network:
    """Raw BGR pixels (0..255) plus `shift`, the stages, the decoder."""

    shift: Array
    stages: tuple[Stage, ...]
    decoder: Decoder | FoldedDecoder


def network(weights: SegformerWeights, path: ExecutionPath) -> Network:
    """The network of `weights` along `path`, unfolded except for the input: it takes raw BGR pixels in 0..255.

    Raises ConvertError for a path that does not fit, and for one with knobs that cut the folded network.
    """
    if weights.space.checked(path).beyond_slices:
        raise ConvertError(
            f"path {path.name!r}: {', '.join(path.beyond_slices)} cut the folded network, which the workshop does; "
            "only blocks and decoder_width can be cut from the published one"
        )
    reader, config = _Reader(weights.tensors), weights.config
    stages = [_stage(reader, config, stage, path.blocks[stage]) for stage in range(len(config.depths))]
    # Published pixels are RGB, scaled and normalised; as a stock graph expects its caller to do that, the baseline
    # must not pay for it: both graphs take the raw pixels of a camera.
    shift, patch = fold.input_normalisation_into(stages[0].patch, weights.mean, weights.std)
    stages[0] = replace(stages[0], patch=patch)
    return Network(shift, tuple(stages), _decoder(reader, config, path.decoder_width))


def _stage(reader: _Reader, config: SegformerConfig, stage: int, kept: tuple[int, ...]) -> Stage:
    prefix, kernel = f"segformer.encoder.patch_embeddings.{stage}", config.patch_sizes[stage]
    return Stage(
        patch=reader.conv(f"{prefix}.proj", config.strides[stage], kernel // 2),
        patch_norm=reader.norm(f"{prefix}.layer_norm"),
        centre=False,
        blocks=tuple(_block(reader, config, stage, block) for block in kept),
        norm=reader.norm(f"segformer.encoder.layer_norm.{stage}"),
    )


def _block(reader: _Reader, config: SegformerConfig, stage: int, block: int) -> Block:
    prefix, reduction = f"segformer.encoder.block.{stage}.{block}", config.reductions[stage]
    attention, heads = f"{prefix}.attention", config.heads[stage]
    return Block(
        Attention(
            norm=reader.norm(f"{prefix}.layer_norm_1"),
            query=reader.linear(f"{attention}.self.query"),
            reduce=reader.conv(f"{attention}.self.sr", reduction, 0) if reduction > 1 else None,
            reduce_norm=reader.norm(f"{attention}.self.layer_norm") if reduction > 1 else None,
            key=reader.linear(f"{attention}.self.key"),
            value=reader.linear(f"{attention}.self.value"),
            out=reader.linear(f"{attention}.output.dense"),
            heads=heads,
            scale=float((config.hidden_sizes[stage] // heads) ** -0.5),
        ),
        FeedForward(
            norm=reader.norm(f"{prefix}.layer_norm_2"),
            up=reader.linear(f"{prefix}.mlp.dense1"),
            depthwise=reader.depthwise(f"{prefix}.mlp.dwconv.dwconv"),
            down=reader.linear(f"{prefix}.mlp.dense2"),
        ),
    )


def _decoder(reader: _Reader, config: SegformerConfig, width: int) -> Decoder:
    head = "decode_head"
    fuse = reader.tensor(f"{head}.linear_fuse.weight")[:width, :, 0, 0]
    norm = {
        name: reader.tensor(f"{head}.batch_norm.{name}")[:width]
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    classifier = reader.tensor(f"{head}.classifier.weight")[:, :width, 0, 0]
    return Decoder(
        projections=tuple(reader.linear(f"{head}.linear_c.{stage}.proj") for stage in range(len(config.depths))),
        fuse=Linear(np.ascontiguousarray(fuse.T)),
        batch_norm=BatchNorm(norm["weight"], norm["bias"], norm["running_mean"], norm["running_var"], EPS),
        classifier=Linear(np.ascontiguousarray(classifier.T), reader.tensor(f"{head}.classifier.bias")),
    )


class _Reader:
    """Layers from tensors in PyTorch's layout."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self._tensors = tensors

    def tensor(self, name: str) -> Array:
        return self._tensors[name]

    def linear(self, prefix: str) -> Linear:
        return Linear(np.ascontiguousarray(self.tensor(f"{prefix}.weight").T), self.tensor(f"{prefix}.bias"))

    def conv(self, prefix: str, stride: int, padding: int) -> Conv:
        weight = np.ascontiguousarray(self.tensor(f"{prefix}.weight").transpose(2, 3, 1, 0))
        return Conv(weight, self.tensor(f"{prefix}.bias"), stride, padding)

    def depthwise(self, prefix: str) -> Depthwise:
        weight = np.ascontiguousarray(self.tensor(f"{prefix}.weight")[:, 0].transpose(1, 2, 0))
        return Depthwise(weight, self.tensor(f"{prefix}.bias"), padding=1)

    def norm(self, prefix: str) -> LayerNorm:
        return LayerNorm(self.tensor(f"{prefix}.weight"), self.tensor(f"{prefix}.bias"), EPS)
