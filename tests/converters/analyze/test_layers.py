"""Layer by layer against published figures and hand counts."""

from __future__ import annotations

import pytest

from converters.analyze.cli import CONFIGS
from converters.analyze.layers import Breakdown, breakdown, with_times
from converters.families import segformer

SIZE = (512, 512)


def analysed(config: str, *, folded: bool, classes: int = 150, size: tuple[int, int] = SIZE) -> Breakdown:
    labels = tuple(str(number) for number in range(classes))
    weights = segformer.random_weights(segformer.SegformerConfig(labels=labels, **CONFIGS[config]), 0)
    network = segformer.network(weights, weights.space.full())
    network = segformer.folded(network) if folded else network
    return breakdown(config, network, segformer.builders({"x": network}, size)["x"])


@pytest.fixture(scope="module")
def b2() -> Breakdown:
    return analysed("b2", folded=False)


def test_b2_costs_what_the_paper_says_and_most_of_it_is_the_fuse_convolution(b2: Breakdown) -> None:
    layers = {layer.name: layer for layer in b2.layers}
    assert b2.macs == 62_337_843_200
    assert layers["decoder fuse"].macs == 128 * 128 * 3072 * 768 == 38_654_705_664
    assert layers["decoder classifier"].macs == 128 * 128 * 768 * 150 == 1_887_436_800
    projections = [layers[f"decoder projection {stage}"].macs / 1e9 for stage in (1, 2, 3, 4)]
    assert [round(giga, 2) for giga in projections] == [0.81, 0.40, 0.25, 0.10]


@pytest.mark.parametrize(("config", "giga"), [("b0", 8.39), ("b1", 15.88), ("b5", 111.5)])
def test_other_sizes_cost_what_is_known(config: str, giga: float) -> None:
    assert analysed(config, folded=False).macs / 1e9 == pytest.approx(giga, rel=1e-3)


def test_folding_takes_the_fuse_convolution_and_the_projections_of_one_head(b2: Breakdown) -> None:
    folded = analysed("b2", folded=True)
    assert b2.macs - folded.macs == 38_654_705_664 + 3 * 128 * 128 * 64 * 64
    assert not any("fuse" in layer.name for layer in folded.layers)


def test_kinds_sum_to_the_network(b2: Breakdown) -> None:
    kinds = b2.by_kind()
    assert sum(kind.macs for kind in kinds.values()) == b2.macs
    assert sum(kind.bytes_moved for kind in kinds.values()) == sum(layer.bytes_moved for layer in b2.layers)
    # The paper: most multiply-accumulates are convolutions, not attention.
    assert kinds["convolution"].macs / b2.macs == pytest.approx(0.687, abs=1e-3)
    assert kinds["attention product"].macs / b2.macs == pytest.approx(0.0624, abs=1e-4)


def test_bytes_are_inputs_weights_and_result(b2: Breakdown) -> None:
    classifier = next(layer for layer in b2.layers if layer.name == "decoder classifier")
    assert classifier.parameters == 768 * 150 + 150
    assert classifier.bytes_read == 4 * (128 * 128 * 768 + 768 * 150 + 150)
    assert classifier.bytes_written == 4 * 128 * 128 * 150


def test_layers_are_called_by_where_they_stand(b2: Breakdown) -> None:
    names = [layer.name for layer in b2.layers]
    assert names[:6] == [
        "shift",
        "stage 1 patch",
        "stage 1 patch norm centre",
        "stage 1 patch norm rms norm",
        "stage 1 patch norm scale",
        "stage 1 patch norm shift",
    ]
    # The value comes first where graph.py evaluates it first; what matters is that each name occurs.
    for name in ("query", "key", "value", "out", "product", "add", "reduce"):
        assert f"stage 1 block 1 attention {name}" in names
    for name in ("up", "depthwise", "gelu", "down", "add"):
        assert f"stage 4 block 3 feed-forward {name}" in names
    assert names[-1] == "decoder classifier"


def test_times_are_joined_by_key(b2: Breakdown) -> None:
    assert b2.layers_ms is None
    timed = with_times(b2, {layer.key: (1.0, 0.9, 1.1) for layer in b2.layers}, 400.0)
    assert timed.layers_ms == len(b2.layers) == 418
    assert timed.whole_ms == 400.0
    assert timed.by_kind()["convolution"].median_ms == 19
