"""Bundles that may not be used are refused in words; nothing outside a bundle is ever read for it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.bundle import BundleError, load_bundle
from edge.bundle.load import write_golden
from tests.edge.tiny import write_bundle


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def change(root: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = root / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    edit(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_a_good_bundle_loads(root: Path) -> None:
    bundle = load_bundle(root)
    assert [v.id for v in bundle.manifest.variants] == ["full", "half", "alone"]
    assert bundle.file(bundle.manifest.variant("half")) == root / "tiny_two.tflite"
    assert bundle.golden is None
    assert len(bundle.digest) == 64
    with pytest.raises(KeyError):
        bundle.manifest.variant("fool")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m["variants"][0].update(file="../secret"), "leaves the bundle"),
        (lambda m: m["variants"][0].update(file="/etc/passwd"), "leaves the bundle"),
        (lambda m: m["variants"][0].update(file="a\\b"), "leaves the bundle"),
        (lambda m: m["variants"][0].update(file="gone.tflite"), "gone.tflite: missing"),
        (lambda m: m["variants"][0].update(sha256="0" * 64), "its sha256 is not the manifest's"),
        (lambda m: m["variants"][0].update(bytes=17), "the manifest says 17"),
        (lambda m: m["variants"][1].update(id="full"), "variant ids must be unique; repeated: full"),
        (lambda m: m.update(schema_version=2), "schema_version"),
        (lambda m: m.update(colour="red"), "colour: Extra inputs are not permitted"),
        (lambda m: m.update(variants=[]), "variants"),
        (lambda m: m.update(labels=[]), "labels"),
        (lambda m: m.update(palette=[[0, 0, 0]]), "palette has 1 colours for 5 labels"),
        (lambda m: m.update(paths=[{"name": "full"}]), "alone, half"),
        (lambda m: m["variants"][0]["input"].update(height=0), "variants.0.input.height"),
        (lambda m: m["variants"][0]["accuracy"][0].update(value=64.5), "accuracy.0.value"),
    ],
)
def test_a_bad_manifest_is_refused_by_name(root: Path, edit: Callable[[dict[str, Any]], None], message: str) -> None:
    change(root, edit)
    with pytest.raises(BundleError) as caught:
        load_bundle(root)
    assert message in str(caught.value)
    assert str(root) in str(caught.value)


def test_a_link_that_leaves_the_bundle_is_refused(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.tflite"
    shutil.move(root / "tiny_two.tflite", outside)
    (root / "tiny_two.tflite").symlink_to(outside)
    with pytest.raises(BundleError, match="leaves the bundle through a link"):
        load_bundle(root)


def test_missing_and_damaged_manifests(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle directory"):
        load_bundle(tmp_path / "none")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BundleError, match=r"manifest\.json: cannot be read"):
        load_bundle(empty)
    (root / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match="not valid JSON"):
        load_bundle(root)
    (root / "manifest.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(BundleError, match="not valid JSON"):
        load_bundle(root)


def test_a_changed_byte_in_a_model_is_found_unless_told_not_to_look(root: Path) -> None:
    model = root / "tiny_two.tflite"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 0x10
    model.write_bytes(content)
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(root)
    assert load_bundle(root, verify=False).manifest.name == "tiny"


def test_the_golden_file_comes_back_as_written(root: Path) -> None:
    image = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)
    outputs: dict[str, np.ndarray[Any, Any]] = {"full": np.ones((1, 4, 6, 5), np.float32)}
    write_golden(root / "golden.npz", image, outputs)
    golden = load_bundle(root).golden
    assert golden is not None
    assert np.array_equal(golden.image, image)
    assert np.array_equal(golden.outputs["full"], outputs["full"])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
def test_a_damaged_golden_file_is_refused(root: Path, content: bytes) -> None:
    (root / "golden.npz").write_bytes(content)
    with pytest.raises(BundleError, match="not a golden file"):
        load_bundle(root)


def test_a_golden_image_of_another_shape_is_refused(root: Path) -> None:
    np.savez_compressed(root / "golden.npz", image=np.zeros((4, 4), np.uint8))
    with pytest.raises(BundleError, match="must be HxWx3 uint8"):
        load_bundle(root)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.sampled_from(["name", "task", "labels", "variants", "paths", "palette", "provenance", "schema_version", "new"]),
    json_values,
)
def test_whatever_stands_in_the_manifest_it_loads_or_is_refused(root: Path, key: str, value: Any) -> None:
    original = (root / "manifest.json").read_text(encoding="utf-8")
    try:
        change(root, lambda m: m.update({key: value}))
        with contextlib.suppress(BundleError):  # anything else would reach a user as a traceback
            load_bundle(root)
    finally:
        (root / "manifest.json").write_text(original, encoding="utf-8")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_bytes_the_manifest_is_it_is_refused(root: Path, content: bytes) -> None:
    other = root.parent / "fuzz"
    other.mkdir(exist_ok=True)
    (other / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError):
        load_bundle(other)
