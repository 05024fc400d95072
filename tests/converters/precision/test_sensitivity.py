"""Ways to quantize from one calibration, groups of layers, their ranking, and what is protected."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from converters import flatbuffer
from converters.errors import ConvertError
from converters.precision import Sensitivity, agreement, rank, to_protect
from converters.quantize import WIDE, Calibration, to_int8
from tests.converters.conftest import Converted
from tests.converters.running import run_litert

pytestmark = pytest.mark.host
INT8 = 9


@pytest.fixture(scope="module")
def alone(converted: Converted) -> bytes:
    """The full path by itself."""
    return converted.convert("float32", "full").content


@pytest.fixture(scope="module")
def calibration(converted: Converted, alone: bytes) -> Calibration:
    return Calibration(alone, [converted.pixels])


def integers(content: bytes) -> Counter[str]:
    """How many operations of each kind read int8."""
    model = flatbuffer.read_model(content)
    graph = model.subgraphs[0]
    return Counter(name for name, o in flatbuffer.operators(model, graph) if graph.tensors[o.inputs[0]].type == INT8)


def test_layers_are_grouped_by_what_they_do(calibration: Calibration) -> None:
    first = calibration.layers[0]
    assert (first.operation, first.reads_pixels) == ("CONV_2D", True)
    assert first.group == "conv 7x7 3->32 at 384"
    assert first.macs == 384 * 32 * 7 * 7 * 3
    depthwise = [layer for layer in calibration.layers if layer.operation == "DEPTHWISE_CONV_2D"]
    assert depthwise[0].group == "depthwise 3x3 128->128 at 384"
    assert depthwise[0].macs == 384 * 128 * 9
    assert sum(layer.reads_pixels for layer in calibration.layers) == 1


def test_wide_takes_every_product_and_the_depthwise_convolutions(converted: Converted, alone: bytes) -> None:
    narrow, wide = (to_int8(alone, [converted.pixels], wide=wide).content for wide in (False, True))
    counted, of_all = integers(wide), Counter(flatbuffer.operations(flatbuffer.read_model(alone))["full"])
    assert counted["DEPTHWISE_CONV_2D"] == of_all["DEPTHWISE_CONV_2D"]
    assert counted["FULLY_CONNECTED"] == of_all["FULLY_CONNECTED"]
    assert counted["CONV_2D"] == of_all["CONV_2D"] - 1  # the one that reads pixels
    assert integers(narrow)["DEPTHWISE_CONV_2D"] == 0
    assert 0 < integers(narrow)["FULLY_CONNECTED"] < counted["FULLY_CONNECTED"]
    expected = run_litert(alone, "full", converted.pixels)
    actual = run_litert(wide, "full", converted.pixels)
    assert (actual.argmax(-1) == expected.argmax(-1)).mean() >= 0.85


def test_the_same_images_give_the_same_bytes_twice(converted: Converted, alone: bytes) -> None:
    images = [converted.pixels, converted.pixels[::-1].copy()]
    assert to_int8(alone, images, wide=True).content == to_int8(alone, images, wide=True).content


def test_one_calibration_gives_what_its_own_would(converted: Converted, calibration: Calibration, alone: bytes) -> None:
    wide = calibration.quantized(layer for layer in calibration.layers if not layer.reads_pixels).content
    assert wide == to_int8(alone, [converted.pixels], wide=True).content


def test_signatures_may_have_images_of_their_own(converted: Converted) -> None:
    content, same = converted.float32.content, [converted.pixels]
    by_name = to_int8(content, dict.fromkeys(converted.networks, tuple(same)), wide=True).content
    assert by_name == to_int8(content, same, wide=True).content
    other = {name: [converted.pixels // 2] for name in converted.networks}
    assert to_int8(content, other, wide=True).content != by_name


def test_groups_stay_in_float_when_told(converted: Converted, calibration: Calibration, alone: bytes) -> None:
    group = next(layer.group for layer in calibration.layers if layer.operation == "DEPTHWISE_CONV_2D")
    count = sum(layer.group == group for layer in calibration.layers)
    every = integers(to_int8(alone, [converted.pixels], wide=True).content)
    fewer = integers(to_int8(alone, [converted.pixels], wide=True, in_float=[group]).content)
    assert every["DEPTHWISE_CONV_2D"] - fewer["DEPTHWISE_CONV_2D"] == count


def test_ranking_puts_the_worst_first(calibration: Calibration) -> None:
    # A score that counts the work left in float: then the heaviest group does the most damage.
    total = sum(layer.macs for layer in calibration.layers)

    def score(content: bytes) -> float:
        return 1.0 - _integer_macs(content) / total

    ranking = rank(calibration, score)
    assert [one.group for one in ranking] == [
        one.group for one in sorted(ranking, key=lambda one: (-one.macs_share, one.group))
    ]
    assert sum(one.macs_share for one in ranking) == pytest.approx(1.0)
    assert sum(one.layers for one in ranking) == len(calibration.layers)
    for one in ranking:
        assert one.damage == pytest.approx(one.macs_share)
        assert one.without == pytest.approx(one.macs_share)


def _integer_macs(content: bytes) -> int:
    model = flatbuffer.read_model(content)
    graph = model.subgraphs[0]
    macs = 0
    for name, operator in flatbuffer.operators(model, graph):
        if name in WIDE and graph.tensors[operator.inputs[0]].type == INT8:
            weight, y = (graph.tensors[i].shape for i in (operator.inputs[1], operator.outputs[0]))
            macs += math.prod(map(int, y)) * math.prod(
                map(int, weight[1:3] if name.startswith("DEPTH") else weight[1:])
            )
    return macs


def test_agreement_is_the_share_of_equal_labels(converted: Converted, alone: bytes) -> None:
    score = agreement(alone, [converted.pixels])
    assert score(alone) == 1.0
    assert 0.5 < score(to_int8(alone, [converted.pixels], wide=True).content) <= 1.0
    with pytest.raises(ConvertError, match="sensitivity needs images and got none"):
        agreement(alone, [])


def test_the_most_sensitive_are_protected_until_the_rest_does_its_share() -> None:
    ranking = [
        Sensitivity(name, 1, 0.1, 1 - d, 1.0, d) for name, d in (("a", 0.5), ("b", 0.3), ("c", 0.2), ("d", -0.1))
    ]
    assert to_protect(ranking, 1.0) == ()
    assert to_protect(ranking, 0.5) == ("a",)
    assert to_protect(ranking, 0.4) == ("a", "b")
    assert to_protect(ranking, 0.0) == ("a", "b", "c")
    assert to_protect([Sensitivity("a", 1, 1.0, 1.0, 1.0, 0.0)], 0.0) == ()
    with pytest.raises(ValueError, match="between 0 and 1"):
        to_protect(ranking, 1.5)
