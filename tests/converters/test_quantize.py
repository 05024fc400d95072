"""int8: which operations become it, how close it stays, and that the same images give the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from converters import flatbuffer
from converters.errors import ConvertError
from converters.litert import LiteRtFile
from converters.quantize import to_int8
from tests.converters.conftest import Converted
from tests.converters.running import run_eagerly, run_litert

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def int8(converted: Converted) -> LiteRtFile:
    return to_int8(converted.float32.content, [converted.pixels])


def test_int8_stays_close_on_every_path(converted: Converted, int8: LiteRtFile) -> None:
    for name, network in converted.networks.items():
        expected = run_eagerly(network, converted.pixels)
        actual = run_litert(int8.content, name, converted.pixels)
        assert 0 < np.abs(actual - expected).max() <= 0.1 * np.abs(expected).max()
        assert (actual.argmax(-1) == expected.argmax(-1)).mean() >= 0.9


def test_only_products_with_enough_work_are_int8(int8: LiteRtFile) -> None:
    model = flatbuffer.read_model(int8.content)
    float32, int8_type = 0, 9
    for graph in model.subgraphs:
        types: dict[str, list[int]] = {}
        widths = []
        for name, operator in flatbuffer.operators(model, graph):
            kind = graph.tensors[operator.inputs[0]].type
            types.setdefault(name, []).append(kind)
            if name == "FULLY_CONNECTED" and kind == int8_type:
                widths.append(tuple(int(n) for n in graph.tensors[operator.inputs[1]].shape))
        assert types["CONV_2D"][0] == float32  # it reads pixels
        assert set(types["CONV_2D"][1:]) == {int8_type}
        assert set(types["DEPTHWISE_CONV_2D"] + types["GELU"] + types["SOFTMAX"] + types["BATCH_MATMUL"]) == {float32}
        assert set(types["FULLY_CONNECTED"]) == {float32, int8_type}
        # 32 * 32 / 64 = 16 multiply-accumulates for each number are too few, 64 * 64 / 128 = 32 are enough.
        assert (32, 32) not in widths
        assert (64, 64) in widths


def test_weights_have_a_scale_for_each_channel_and_are_shared(converted: Converted, int8: LiteRtFile) -> None:
    model = flatbuffer.read_model(int8.content)
    wide = [t for t in model.subgraphs[0].tensors if tuple(map(int, t.shape)) == (1024, 256) and t.type == 9]
    assert len(wide) == 1
    assert all(len(tensor.quantization.scale) == 1024 for tensor in wide)
    assert len(int8.content) < 0.36 * len(converted.float32.content)


def test_the_same_images_give_the_same_bytes(converted: Converted, int8: LiteRtFile) -> None:
    assert to_int8(converted.float32.content, [converted.pixels]).content == int8.content


def test_pixels_may_be_quantized_when_asked(converted: Converted) -> None:
    first = to_int8(converted.float32.content, [converted.pixels], first_layer=True)
    model = flatbuffer.read_model(first.content)
    convolutions = [o for name, o in flatbuffer.operators(model, model.subgraphs[0]) if name == "CONV_2D"]
    assert model.subgraphs[0].tensors[convolutions[0].inputs[0]].type == 9


def test_what_cannot_be_quantized_is_said(converted: Converted) -> None:
    content = converted.float32.content
    with pytest.raises(ConvertError, match="needs calibration images and got none"):
        to_int8(content, [])
    with pytest.raises(ConvertError, match=r"image 2 is \(1, 96, 64, 3\), the network takes \(1, 64, 96, 3\)"):
        to_int8(content, [converted.pixels, converted.pixels.transpose(1, 0, 2)])
    with pytest.raises(ConvertError, match="worth quantizing"):
        to_int8(content, [converted.pixels], min_work=1e9)


def test_paths_that_share_weights_agree_on_their_scales(int8: LiteRtFile) -> None:
    # A bias is stored in steps of input scale times weight scale; inputs differ by path, so shared weights must not
    # drag a bias of another path along.
    model = flatbuffer.read_model(int8.content)
    biases: dict[int, list[np.ndarray]] = {}
    for graph in model.subgraphs:
        for name, operator in flatbuffer.operators(model, graph):
            tensors = [graph.tensors[i] for i in operator.inputs if i >= 0]
            if name not in ("FULLY_CONNECTED", "CONV_2D") or len(tensors) < 3 or tensors[0].type != 9:
                continue
            x, weight, bias = tensors
            steps = np.array(x.quantization.scale, np.float64) * np.array(weight.quantization.scale, np.float64)
            np.testing.assert_allclose(bias.quantization.scale, steps, rtol=1e-6)
            stored = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32)
            biases.setdefault(weight.buffer, []).append(stored * steps)
    shared = [values for values in biases.values() if len(values) > 1]
    assert len(shared) > 5
    for first, *others in shared:
        for other in others:
            np.testing.assert_allclose(other, first, atol=2e-3 * np.abs(first).max())
