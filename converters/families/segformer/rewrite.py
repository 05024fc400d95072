"""The exact rewrites of `converters.fold`, applied to a SegFormer."""

from __future__ import annotations

from dataclasses import replace

from converters import fold
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
from converters.layers import Linear


def folded(network: Network) -> Network:
    """An equal network with fewer and cheaper operations; `network` must be as published."""
    assert isinstance(network.decoder, Decoder)
    return Network(network.shift, tuple(_stage(stage) for stage in network.stages), _decoder(network.decoder))


def _decoder(decoder: Decoder) -> FoldedDecoder:
    maps = fold.decoder(decoder.projections, fold.batch_norm_into(decoder.fuse, decoder.batch_norm))
    return FoldedDecoder(maps, decoder.classifier)


def _stage(stage: Stage) -> Stage:
    patch, patch_norm = fold.centred_before(stage.patch, stage.patch_norm)
    # The stream starts centred and all that is written into it is centred, so every norm that reads it may rely on
    # that: the final one too, which keeps its scale and shift (the next patch embedding pads with zeros, and a shift
    # cannot move through those). Centring the start by a linear map instead took as long, and more weights.
    return Stage(
        patch=patch,
        patch_norm=patch_norm,
        centre=True,
        blocks=tuple(_block(block) for block in stage.blocks),
        norm=replace(stage.norm, centred=True),
    )


def _block(block: Block | Bridge) -> Block:
    assert isinstance(block, Block)  # bridges are made of folded blocks
    return Block(_attention(block.attention), _feed_forward(block.feed_forward))


def _attention(attention: Attention) -> Attention:
    assert attention.out is not None
    assert attention.scale is not None
    query = fold.norm_into(attention.norm, fold.scaled(attention.query, attention.scale))
    key, value = fold.without_bias(attention.key), attention.value
    if attention.reduce is None:
        reduce, reduce_norm = None, None
        key, value = fold.norm_into(attention.norm, key), fold.norm_into(attention.norm, value)
    else:
        assert attention.reduce_norm is not None
        reduce = fold.norm_into_conv(attention.norm, attention.reduce)
        reduce, reduce_norm = fold.centred_before(reduce, attention.reduce_norm)
        key, value = fold.norm_into(reduce_norm, key), fold.norm_into(reduce_norm, value)
        reduce_norm = fold.bare(reduce_norm)
    # The shift of the norm gave the key its bias back.
    key = fold.without_bias(key)
    out: Linear | None
    if attention.heads == 1:
        value, out = fold.one_head_value(value, fold.centred(attention.out)), None
    else:
        value, out = fold.value_bias_into(value, fold.centred(attention.out))
    norm = replace(fold.bare(attention.norm), centred=True)
    return Attention(norm, query, reduce, reduce_norm, key, value, out, attention.heads, scale=None)


def _feed_forward(layer: FeedForward) -> FeedForward:
    return FeedForward(
        norm=replace(fold.bare(layer.norm), centred=True),
        up=fold.norm_into(layer.norm, layer.up),
        depthwise=layer.depthwise,
        down=fold.centred(layer.down),
    )
