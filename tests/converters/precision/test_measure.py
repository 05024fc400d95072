"""The gate on a real bundle: what is refused leaves the bundle, whole, and its reasons stay."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from converters.precision import Bounds, judge, keep_worthy, time_variants
from edge.bundle import load_bundle
from edge.demo.run import BUNDLE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "streets"
    shutil.copytree(BUNDLE, copy)
    return copy


def test_every_variant_is_timed_in_every_round() -> None:
    bundle = load_bundle(BUNDLE)
    ids = [variant.id for variant in bundle.manifest.variants][:2]
    timed = time_variants(bundle, ids, rounds=3)
    assert list(timed.values) == ids
    assert all(len(values) == 3 and min(values) > 0 for values in timed.values.values())


def test_bounds_that_nobody_meets_leave_the_float_variants(folder: Path) -> None:
    before = load_bundle(folder)
    said: list[str] = []
    verdict = keep_worthy(folder, Bounds(min_speedup=99.0), rounds=1, say=said.append)
    after = load_bundle(folder)  # verified: files, digests, golden pairs
    floats = [variant.id for variant in before.manifest.variants if variant.precision == "float16"]
    assert [variant.id for variant in after.manifest.variants] == floats
    assert [variant.id for variant in verdict.accepted] == floats
    assert not (folder / "int8.tflite").exists()
    assert after.golden is not None
    assert sorted(after.golden.outputs) == sorted(floats)
    for one in verdict.refused:
        assert "at least 99.000 is wanted" in one.reason
        assert f"refused: {one.variant} {one.reason}" in after.manifest.provenance.notes.splitlines()
        assert f"refused: {one.variant} {one.reason}" in said
    assert after.manifest.provenance.notes.startswith(before.manifest.provenance.notes)


def test_bounds_that_all_meet_change_nothing_but_what_was_said(folder: Path) -> None:
    before = load_bundle(folder)
    verdict = keep_worthy(folder, Bounds(max_loss_points=100.0, min_speedup=0.0), rounds=1)
    assert verdict.refused == ()
    after = load_bundle(folder)
    assert after.manifest == before.manifest
    assert before.golden is not None
    assert after.golden is not None
    for name, output in before.golden.outputs.items():
        np.testing.assert_array_equal(after.golden.outputs[name], output)


def test_only_scored_variants_are_judged(folder: Path) -> None:
    bundle = load_bundle(folder)
    accuracy = {"full-float16": 0.5, "full-int8": 0.4}
    verdict = judge(bundle, accuracy, Bounds(min_speedup=0.0), rounds=1)
    assert [variant.id for variant in verdict.accepted] == ["full-float16"]
    assert [one.variant for one in verdict.refused] == ["full-int8"]
