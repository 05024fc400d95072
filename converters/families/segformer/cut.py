"""Cuts of a folded SegFormer: each knob of a path as a function from a network to a cheaper one.

What is left computes what it did before, from the same weights; what reads a dropped channel simply misses it. Fitting
the readers again is another matter (`converters.families.segformer.repair`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from converters.errors import ConvertError
from converters.families.segformer.structure import Attention, Block, FeedForward, FoldedDecoder, Network, Stage
from converters.layers import Array, Depthwise, Linear

# Engines work on channels in groups of this many; a few more than asked for cost nothing.
GROUP = 8


def blocks(network: Network, kept: Sequence[Sequence[int]]) -> Network:
    """Only the blocks `kept` (indices) of each stage; the others are left out, the residual stream passes them by."""
    stages = zip(network.stages, kept, strict=True)
    return replace(
        network,
        stages=tuple(replace(stage, blocks=tuple(stage.blocks[block] for block in only)) for stage, only in stages),
    )


def pooled_keys(network: Network, factors: Sequence[int]) -> Network:
    """Keys and values made of means of `factors` x `factors` positions, one factor a stage.

    Approximate: softmax over fewer keys. With every position of a mean alike it is exact, for then the weights of
    equal keys only add up.
    """

    def pooled(attention: Attention, factor: int) -> Attention:
        return replace(attention, pool=attention.pool * factor)

    return _each_block(network, lambda block, stage: replace(block, attention=pooled(block.attention, factors[stage])))


def merged(network: Network, factors: Sequence[int]) -> Network:
    """The blocks of each stage work on means of `factors` x `factors` positions. Approximate.

    Convolutions keep their weights and so see as many times farther. Making them for the coarser grid, such that a
    stream of equal positions gives what it gave before, was tried and lost more: streams are not that smooth.
    """
    stages = zip(network.stages, factors, strict=True)
    return replace(network, stages=tuple(replace(stage, merge=stage.merge * factor) for stage, factor in stages))


def hidden_channels(layer: FeedForward, kept: Sequence[int]) -> FeedForward:
    """A feed-forward layer with only the hidden channels `kept`; raises ConvertError when that is none."""
    index = _index(kept, layer.up.weight.shape[1], "a feed-forward layer")
    return FeedForward(
        layer.norm,
        _columns(layer.up, index),
        Depthwise(
            np.ascontiguousarray(layer.depthwise.weight[..., index]),
            _taken(layer.depthwise.bias, index),
            layer.depthwise.padding,
        ),
        _rows(layer.down, index),
    )


def decoder_channels(network: Network, kept: Sequence[int]) -> Network:
    """Only the fused channels `kept` of the decoder; raises ConvertError when that is none."""
    decoder = folded_decoder(network)
    index = _index(kept, decoder.classifier.weight.shape[0], "the decoder")
    maps = tuple(_columns(layer, index) for layer in decoder.maps)
    return replace(network, decoder=replace(decoder, maps=maps, classifier=_rows(decoder.classifier, index)))


def classes(network: Network, kept: Sequence[int]) -> Network:
    """Only the logits `kept`, in this order; exact for them. Raises ConvertError when that is none."""
    decoder = folded_decoder(network)
    index = _index(kept, decoder.classifier.weight.shape[1], "the classifier", ordered=False)
    return replace(network, decoder=replace(decoder, classifier=_columns(decoder.classifier, index)))


def decoder_grid(network: Network, stride: int, chain: bool) -> Network:
    """The decoder on a grid coarser by `stride`, its stages brought there in a chain or each by itself. Approximate."""
    return replace(network, decoder=replace(folded_decoder(network), stride=stride, chain=chain))


def kept_count(total: int, share: float) -> int:
    """How many of `total` channels a share of them is: whole groups of channels, one group at least."""
    return min(total, max(1, round(total * share / GROUP)) * GROUP)


def folded_decoder(network: Network) -> FoldedDecoder:
    """The decoder of a folded network; raises ConvertError for one as published."""
    if not isinstance(network.decoder, FoldedDecoder):
        raise ConvertError("only a folded network can be cut; fold it first")
    return network.decoder


def _each_block(network: Network, change: Callable[[Block, int], Block]) -> Network:
    def changed(stage: Stage, number: int) -> Stage:
        found = tuple(change(block, number) if isinstance(block, Block) else block for block in stage.blocks)
        return replace(stage, blocks=found)

    return replace(network, stages=tuple(changed(stage, number) for number, stage in enumerate(network.stages)))


def _index(kept: Sequence[int], total: int, what: str, *, ordered: bool = True) -> list[int]:
    index = sorted(kept) if ordered else list(kept)
    if not index or len(set(index)) != len(index) or min(index) < 0 or max(index) >= total:
        raise ConvertError(f"{what} has {total} channels; keep at least one of them, each once, not {list(kept)}")
    return index


def _columns(layer: Linear, index: list[int]) -> Linear:
    return Linear(np.ascontiguousarray(layer.weight[:, index]), _taken(layer.bias, index))


def _rows(layer: Linear, index: list[int]) -> Linear:
    return Linear(np.ascontiguousarray(layer.weight[index]), layer.bias)


def _taken(bias: Array | None, index: list[int]) -> Array | None:
    return None if bias is None else np.ascontiguousarray(bias[index])
