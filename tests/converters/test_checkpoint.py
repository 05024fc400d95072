"""Reading checkpoints: number formats, shards, and every way in which one can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.checkpoint import Checkpoint, read_checkpoint
from converters.errors import WeightsError
from converters.families.segformer import SegformerConfig, SegformerWeights, load, random_weights
from converters.families.segformer.weights import checked
from tests.converters.reference.make import write_checkpoint

safetensors = pytest.importorskip("safetensors", reason="reading checkpoints needs the extra [convert]")

TINY = SegformerConfig(
    depths=(1, 1), hidden_sizes=(4, 8), heads=(1, 2), reductions=(2, 1), patch_sizes=(7, 3), strides=(4, 2),
    mlp_ratios=(2, 2), decoder_width=6, labels=("road", "sky", "tree"),
)  # fmt: skip


@pytest.fixture
def weights() -> SegformerWeights:
    return random_weights(TINY, 1)


def test_what_is_written_is_read(tmp_path: Path, weights: SegformerWeights) -> None:
    write_checkpoint(weights, tmp_path)
    read = load(tmp_path)
    assert read.config == TINY
    assert read.tensors.keys() == weights.tensors.keys()
    assert all(np.array_equal(read.tensors[name], weights.tensors[name]) for name in weights.tensors)


@pytest.mark.parametrize(("dtype", "error"), [("F16", 2**-11), ("BF16", 2**-7), ("F64", 0.0)])
def test_other_number_formats_become_float32(
    tmp_path: Path, weights: SegformerWeights, dtype: str, error: float
) -> None:
    def encode(value: Any) -> bytes:
        if dtype == "BF16":
            return bytes((value.view("<u4") >> 16).astype("<u2").tobytes())
        return bytes(value.astype({"F16": "<f2", "F64": "<f8"}[dtype]).tobytes())

    # The format by hand: the length of a JSON header, the header, the data.
    header: dict[str, Any] = {}
    data = b""
    for name, value in weights.tensors.items():
        encoded = encode(value)
        offsets = [len(data), len(data) + len(encoded)]
        header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": offsets}
        data += encoded
    text = json.dumps(header).encode()
    write_checkpoint(weights, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    read = load(tmp_path)
    for name, value in weights.tensors.items():
        assert read.tensors[name].dtype == np.float32
        assert np.abs(read.tensors[name] - value).max() <= error * np.abs(value).max()


def test_shards_are_put_together(tmp_path: Path, weights: SegformerWeights) -> None:
    from safetensors.numpy import save_file

    write_checkpoint(weights, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    names = sorted(weights.tensors)
    files = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in files.items():
        save_file({name: weights.tensors[name] for name in part}, tmp_path / file)
    index = {"weight_map": {name: file for file, part in files.items() for name in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert load(tmp_path).tensors.keys() == weights.tensors.keys()


def test_normalisation_comes_from_the_preprocessor(tmp_path: Path, weights: SegformerWeights) -> None:
    write_checkpoint(weights, tmp_path)
    settings = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert (load(tmp_path).mean, load(tmp_path).std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_std": [0, 1, 1]}), encoding="utf-8")
    with pytest.raises(WeightsError, match="deviations above zero"):
        load(tmp_path)


Damage = Callable[[dict[str, Any]], None]


def _drop(tensors: dict[str, Any]) -> None:
    del tensors["segformer.encoder.block.1.0.mlp.dense1.bias"]


def _add(tensors: dict[str, Any]) -> None:
    tensors["segformer.encoder.block.0.1.mlp.dense1.bias"] = np.zeros(8, np.float32)


def _reshape(tensors: dict[str, Any]) -> None:
    tensors["decode_head.linear_c.1.proj.weight"] = np.zeros((6, 9), np.float32)


def _poison(tensors: dict[str, Any]) -> None:
    tensors["decode_head.linear_fuse.weight"] = tensors["decode_head.linear_fuse.weight"] * np.float32("nan")


def _retrain(tensors: dict[str, Any]) -> None:
    tensors["decode_head.classifier.weight"] = np.zeros((4, 6, 1, 1), np.float32)


def _headless(tensors: dict[str, Any]) -> None:
    for name in [name for name in tensors if name.startswith("decode_head")]:
        del tensors[name]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop, r"missing segformer\.encoder\.block\.1\.0\.mlp\.dense1\.bias \(16,\)"),
        (_add, r"unexpected segformer\.encoder\.block\.0\.1\.mlp\.dense1\.bias \(8,\)"),
        (_reshape, r"decode_head\.linear_c\.1\.proj\.weight is \(6, 9\), expected \(6, 8\)"),
        (_poison, r"decode_head\.linear_fuse\.weight holds NaN"),
        (_retrain, r"the classifier has 4 classes but config\.json names 3 in id2label"),
        (_headless, r"holds no decode_head"),
    ],
)
def test_tensors_that_do_not_fit_are_named(weights: SegformerWeights, damage: Damage, message: str) -> None:
    tensors = dict(weights.tensors)
    damage(tensors)
    with pytest.raises(WeightsError, match=message):
        checked(Checkpoint("here", TINY.as_json(), None, tensors))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "vit"}, "model_type 'vit'"),
        ({"depths": [1, 1, 1]}, "2 hidden_sizes for 3 stages"),
        ({"sr_ratios": [2, 0]}, r"sr_ratios \[2, 0\], expected a list of positive numbers"),
        ({"hidden_act": "relu"}, "only 'gelu' is supported"),
        ({"num_attention_heads": [3, 2]}, "splits 4 channels into 3 heads"),
        ({"id2label": {"0": "a", "2": "b"}}, "do not run from 0 to 1"),
        ({"id2label": ["a"]}, "no map of numbers to names"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        SegformerConfig.parse({**TINY.as_json(), **change}, "here")


def test_labels_without_names_are_numbered() -> None:
    config = {key: value for key, value in TINY.as_json().items() if key != "id2label"}
    assert SegformerConfig.parse({**config, "num_labels": 3}, "here").labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert SegformerConfig.parse(TINY.as_json(), "here") == replace(TINY)


def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path, weights: SegformerWeights) -> None:
    with pytest.raises(WeightsError, match=r"config\.json: missing"):
        read_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"config\.json: cannot be read as JSON"):
        read_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"holds neither .*convert pytorch_model\.bin"):
        read_checkpoint(tmp_path)
    write_checkpoint(weights, tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be read as safetensors"):
        read_checkpoint(tmp_path)


def test_an_index_cannot_reach_outside(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    index = json.dumps({"weight_map": {"x": "../secret"}})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    (tmp_path / "secret").write_bytes(b"")
    with pytest.raises(WeightsError, match="inside/secret"):
        read_checkpoint(folder)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c"])
def test_a_path_that_is_none_is_no_hub_id(name: str) -> None:
    with pytest.raises(WeightsError, match="no such folder, and not a hub id"):
        read_checkpoint(name)


def test_an_unreachable_hub_is_said_plainly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants", reason="hub ids need the extra [convert]")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"weights 'someone/segformer-b9': no such folder, and the hub could not"):
        read_checkpoint("someone/segformer-b9")
