"""Files of several signatures: the same numbers as the network, shared weights, operations that engines run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters import flatbuffer
from converters.errors import ConvertError
from converters.litert import to_litert
from tests.converters.conftest import SIZE, Converted
from tests.converters.running import assert_same_logits, run_eagerly, run_litert

pytestmark = pytest.mark.host


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_signature_computes_its_network(converted: Converted) -> None:
    for name, network in converted.networks.items():
        expected = run_eagerly(network, converted.pixels)
        assert_same_logits(run_litert(converted.float32.content, name, converted.pixels), expected)
        half = run_litert(converted.float16.content, name, converted.pixels)
        assert 0 < np.abs(half - expected).max() <= 0.01 * np.abs(expected).max()


def test_signatures_share_their_weights(converted: Converted) -> None:
    full = len(converted.convert("float32", "full").content)
    together = len(converted.float32.content)
    # p4 adds a decoder of 64 channels and a graph; its blocks are the full path's own.
    decoder = 4 * (sum((32, 64, 160, 256)) * 64 + 64 * 11)
    assert full + decoder < together < full + decoder + 60_000
    assert len(converted.float16.content) < 0.55 * together
    model = flatbuffer.read_model(converted.float32.content)
    added = flatbuffer.added_bytes(model, ["full", "p4"])
    assert decoder < added["p4"] < decoder + 2_000  # a bias of 64, and shapes
    assert sum(added.values()) == sum(flatbuffer.added_bytes(model, ["p4", "full"]).values()) < together


def test_tensor_names_are_unique_in_the_whole_file(converted: Converted) -> None:
    model = flatbuffer.read_model(converted.float16.content)
    names = [tensor.name for graph in model.subgraphs for tensor in graph.tensors]
    assert len(set(names)) == len(names)
    assert len(model.subgraphs) == len(converted.networks)


def test_operations_are_few_and_all_built_in(converted: Converted) -> None:
    full = converted.float32.operations["full"]
    assert set(full) == {
        "ADD", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "GELU", "MEAN", "MUL", "PAD",
        "RESHAPE", "RESIZE_BILINEAR", "RSQRT", "SOFTMAX", "SUB", "TRANSPOSE",
    }  # fmt: skip
    blocks = 5
    assert full["GELU"] == blocks
    assert full["BATCH_MATMUL"] == 2 * blocks
    assert full["DEPTHWISE_CONV_2D"] == blocks
    assert full["RESIZE_BILINEAR"] == 3
    # One head needs none, more need four: queries, keys, values, and back.
    assert full["TRANSPOSE"] == 4 * 4
    assert full["SUB"] == 4


def test_tensor_data_is_aligned(converted: Converted) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.Model.GetRootAs(converted.float16.content, 0)
    offsets = []
    for number in range(model.BuffersLength()):
        buffer = model.Buffers(number)
        if buffer.DataLength():
            offsets.append(buffer._tab.Vector(buffer._tab.Offset(4)))
    assert len(offsets) > 100
    assert all(offset % 16 == 0 for offset in offsets)


def test_writing_a_model_changes_nothing_but_its_size(converted: Converted) -> None:
    content = converted.float32.content
    again = flatbuffer.write_model(flatbuffer.read_model(content))
    assert again == content
    same = run_litert(again, "full", converted.pixels)
    assert np.array_equal(same, run_litert(content, "full", converted.pixels))


def test_an_unknown_precision_is_refused(converted: Converted) -> None:
    with pytest.raises(ConvertError, match="'int4': a float file is one of float32, float16"):
        to_litert({}, {"image": (1, *SIZE, 3)}, "int4")


@pytest.mark.parametrize("content", [b"", b"TFL3" * 4, b"\x10\0\0\0TFL3" + b"\xff" * 40])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ConvertError, match=r"not a \.tflite file|damaged"):
        flatbuffer.read_model(content)
