from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engines.contract import ModelRefused
from edge.engines.flatfile import read_model_file
from tests.edge.engines.models import CUSTOM, INT8, MODELS, PLAIN, TWO, WHY_NO_MODELS

# 4x4 stem on 4x6 places: 24 * 48 * 8; 1x1 block: 24 * 8 * 8; 1x1 head: 24 * 8 * 5.
STEM, BLOCK, HEAD = 9216, 1536, 960


def test_signatures_tensors_and_work() -> None:
    full, half = read_model_file(TWO).graphs
    assert (full.signature, half.signature) == ("full", "half")
    assert full.macs == STEM + BLOCK + HEAD
    assert half.macs == STEM + HEAD
    assert full.inputs[0].shape == (1, 16, 24, 3)
    assert full.outputs[0].shape == (1, 4, 6, 5)
    assert full.precision == "float32"
    assert full.parameters >= 4 * 4 * 3 * 8 + 8 * 8 + 8 * 5


def test_plain_file_has_one_unnamed_graph() -> None:
    (graph,) = read_model_file(PLAIN).graphs
    assert graph.signature is None
    assert graph.macs == STEM + BLOCK + HEAD


def test_quantized_file() -> None:
    (graph,) = read_model_file(INT8).graphs
    assert graph.precision == "int8"
    assert (graph.inputs[0].dtype, graph.inputs[0].quantum, graph.inputs[0].zero_point) == ("uint8", 1.0, 0)
    assert graph.outputs[0].zero_point == 154


def test_unknown_operations_cost_nothing_that_we_know() -> None:
    assert read_model_file(CUSTOM).graphs[0].macs == 0


@pytest.mark.skipif(not MODELS.is_dir(), reason=WHY_NO_MODELS)
def test_real_models() -> None:
    deeplab = read_model_file(MODELS / "deeplabv3_257_float.tflite")
    assert (deeplab.mean, deeplab.std) == ((127.5,), (127.5,))
    assert deeplab.labels is not None
    assert (len(deeplab.labels), deeplab.labels[20]) == (21, "tv")
    assert (deeplab.licence or "").startswith("Apache License")
    # 300 million, as published for MobileNetV2 1.0 at 224.
    assert read_model_file(MODELS / "tf2_mobilenet_v2_1.0_224_ptq.tflite").graphs[0].macs == 300_775_552


@pytest.mark.parametrize("kept", [0, 7, 8, 40, 1000, 3000])
def test_cut_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(TWO.read_bytes()[:kept])
    with pytest.raises(ModelRefused, match=r"cut\.tflite: (not a TensorFlow Lite model|damaged)"):
        read_model_file(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="cannot be read"):
        read_model_file(tmp_path / "none.tflite")


@settings(max_examples=150, deadline=None)
@given(place=st.integers(8, TWO.stat().st_size - 1), value=st.integers(0, 255))
def test_one_wrong_byte_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    content = bytearray(TWO.read_bytes())
    content[place] = value
    path = tmp_path_factory.mktemp("bytes") / "odd.tflite"
    path.write_bytes(bytes(content))
    with contextlib.suppress(ModelRefused):
        read_model_file(path)
