"""Cuts of a folded network: which are exact, what they leave, and what engines make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import ConvertError
from converters.families import segformer
from converters.families.segformer import cut
from converters.families.segformer.graph import attend, fused
from converters.families.segformer.structure import Block, FoldedDecoder
from converters.keep import digest
from converters.layers import Linear
from converters.ops.count import CountOps
from tests.converters.running import Logits, assert_same_logits, run_eagerly, run_litert

pytest.importorskip("tensorflow", reason="running networks needs the extra [convert]")

SIZE = (64, 96)
CONFIG = segformer.SegformerConfig(
    hidden_sizes=(8, 16, 40, 64), decoder_width=32, labels=tuple(f"class {number}" for number in range(6))
)


@pytest.fixture(scope="module")
def network() -> segformer.Network:
    weights = segformer.random_weights(CONFIG, 3)
    return segformer.folded(segformer.network(weights, weights.space.full()))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(5).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def macs(network: segformer.Network) -> int:
    ops = CountOps()
    segformer.build(ops, network, SIZE)
    return ops.cost().macs


def test_keeping_everything_changes_nothing(network: segformer.Network) -> None:
    same = cut.blocks(network, [range(2)] * 4)
    same = cut.merged(cut.pooled_keys(same, [1] * 4), [1] * 4)
    same = cut.classes(cut.decoder_channels(cut.decoder_grid(same, 1, chain=False), range(32)), range(6))
    assert digest(same) == digest(network)
    block = network.stages[0].blocks[0]
    assert isinstance(block, Block)
    assert digest(cut.hidden_channels(block.feed_forward, range(32))) == digest(block.feed_forward)


def test_class_rows_are_exact(network: segformer.Network, pixels: Any) -> None:
    some = run_eagerly(cut.classes(network, [4, 1]), pixels)
    assert np.array_equal(some, run_eagerly(network, pixels)[..., [4, 1]])


def test_dropping_channels_that_add_nothing_is_exact(network: segformer.Network, pixels: Any) -> None:
    block, decoder = network.stages[2].blocks[1], cut.folded_decoder(network)
    assert isinstance(block, Block)
    gone, kept = range(3, 40), [*range(3), *range(40, 160)]
    down, classifier = block.feed_forward.down.weight.copy(), decoder.classifier.weight.copy()
    down[list(gone)] = 0
    classifier[5:9] = 0
    silent = replace(block.feed_forward, down=replace(block.feed_forward.down, weight=down))

    def with_feed_forward(layer: Any) -> segformer.Network:
        blocks = (network.stages[2].blocks[0], replace(block, feed_forward=layer))
        stages = (*network.stages[:2], replace(network.stages[2], blocks=blocks), network.stages[3])
        silenced = replace(decoder, classifier=replace(decoder.classifier, weight=classifier))
        return replace(network, stages=stages, decoder=silenced)

    short = cut.decoder_channels(with_feed_forward(cut.hidden_channels(silent, kept)), [*range(5), *range(9, 32)])
    assert_same_logits(run_eagerly(short, pixels), run_eagerly(with_feed_forward(silent), pixels))
    assert macs(short) < macs(network)


def test_pooling_equal_keys_is_exact(network: segformer.Network) -> None:
    from converters.ops.eager import EagerOps

    block = network.stages[3].blocks[0]
    assert isinstance(block, Block)
    assert block.attention.reduce is None
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 64)).repeat(2, axis=1).repeat(2, axis=2).astype(np.float32)
    plain, pooled = (np.asarray(attend(EagerOps(), x, replace(block.attention, pool=p))) for p in (1, 2))
    np.testing.assert_allclose(pooled, plain, atol=1e-5 * np.abs(plain).max())


@pytest.mark.parametrize(("stride", "chain"), [(1, True), (2, False), (2, True)])
def test_a_decoder_of_flat_features_does_not_care_for_its_grid(
    network: segformer.Network, stride: int, chain: bool
) -> None:
    from converters.ops.eager import EagerOps

    rng, decoder = np.random.default_rng(1), cut.folded_decoder(network)
    flat = [
        np.broadcast_to(rng.normal(size=size).astype(np.float32), (1, 16 >> stage, 24 >> stage, size)).copy()
        for stage, size in enumerate(CONFIG.hidden_sizes)
    ]
    plain = np.asarray(fused(EagerOps(), flat, decoder))
    coarse = np.asarray(fused(EagerOps(), flat, replace(decoder, stride=stride, chain=chain)))
    assert coarse.shape == (1, 16 // stride, 24 // stride, 32)
    np.testing.assert_allclose(coarse, plain[:, ::stride, ::stride], atol=1e-5)


def everything(network: segformer.Network) -> segformer.Network:
    """Every knob at once, with a bridge."""
    found = cut.blocks(network, [[0], [1], [0, 1], []])
    found = cut.merged(cut.pooled_keys(found, [1, 2, 3, 1]), [2, 1, 1, 1])
    weight = 0.1 * np.random.default_rng(2).normal(size=(64, 64)).astype(np.float32)
    bridge = segformer.structure.Bridge(Linear((weight - weight.mean(1, keepdims=True)).astype(np.float32)))
    found = replace(found, stages=(*found.stages[:3], replace(found.stages[3], blocks=(bridge,))))
    return cut.decoder_grid(cut.decoder_channels(found, range(0, 32, 2)), 2, chain=True)


@pytest.mark.parametrize("size", [SIZE, (90, 70)])
def test_a_cut_network_as_a_file_computes_the_same(network: segformer.Network, size: tuple[int, int]) -> None:
    from converters.litert import to_litert

    short, pixels = everything(network), np.random.default_rng(6).integers(0, 256, (*size, 3), dtype=np.uint8)
    eager = run_eagerly(short, pixels)
    file = to_litert(segformer.builders({"cut": short}, size), {segformer.INPUT: (1, *size, 3)})
    assert_same_logits(run_litert(file.content, "cut", pixels), eager)
    ops = CountOps()
    segformer.build(ops, short, size)
    assert ops.outputs["logits"] == (1, *eager.shape)


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), factor=st.integers(1, 4))
def test_pooling_leaves_out_what_is_not_there(height: int, width: int, factor: int) -> None:
    from converters.ops.eager import EagerOps

    x = np.random.default_rng(0).normal(size=(1, height, width, 2)).astype(np.float32)
    found: Logits = np.asarray(EagerOps().average_pool(x, factor))
    assert found.shape == CountOps().average_pool((1, height, width, 2), factor)

    def spans(length: int) -> list[slice]:
        starts = range(-(-length % factor // 2), length, factor)
        return [slice(max(0, start), start + factor) for start in starts]

    cells = [[x[0, rows, columns].mean((0, 1)) for columns in spans(width)] for rows in spans(height)]
    np.testing.assert_allclose(found[0], cells, atol=1e-6)


def test_a_cut_that_leaves_nothing_is_refused(network: segformer.Network) -> None:
    with pytest.raises(ConvertError, match="the decoder has 32 channels; keep at least one"):
        cut.decoder_channels(network, [])
    with pytest.raises(ConvertError, match="the classifier has 6 channels"):
        cut.classes(network, [6])
    block = network.stages[0].blocks[0]
    assert isinstance(block, Block)
    with pytest.raises(ConvertError, match="a feed-forward layer has 32 channels"):
        cut.hidden_channels(block.feed_forward, [1, 1])


def test_a_published_network_is_not_cut() -> None:
    weights = segformer.random_weights(CONFIG, 0)
    with pytest.raises(ConvertError, match="fold it first"):
        cut.classes(segformer.network(weights, weights.space.full()), [0])


@pytest.mark.parametrize(("total", "share", "count"), [(128, 0.5, 64), (128, 0.49, 64), (128, 0.01, 8), (4, 0.5, 4)])
def test_channels_are_kept_in_groups(total: int, share: float, count: int) -> None:
    assert cut.kept_count(total, share) == count


def test_a_merge_too_coarse_for_the_size_is_refused(network: segformer.Network) -> None:
    with pytest.raises(
        ConvertError, match=r"stage 1 would be 16 positions across merged by 4, .* reduces by 8; use 128x128"
    ):
        macs(cut.merged(network, [4, 1, 1, 1]))


def test_merging_and_a_coarser_decoder_cost_less(network: segformer.Network) -> None:
    full = macs(network)
    assert macs(cut.merged(network, [2, 1, 1, 1])) < full
    assert macs(cut.decoder_grid(network, 2, chain=False)) < full
    assert macs(cut.pooled_keys(network, [2] * 4)) < full
    assert isinstance(network.decoder, FoldedDecoder)
