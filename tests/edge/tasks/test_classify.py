from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.bundle import Manifest, OutputSpec, load_bundle
from edge.tasks import ClassifyTask
from edge.tasks.classify import to_probabilities
from tests.edge.tiny import write_bundle

LOGITS = np.array([[1.0, 3.0, -2.0]], np.float32)


def spec(dtype: str = "float32", **changes: object) -> OutputSpec:
    return OutputSpec.model_validate({"kind": "scores", "shape": (1, 3), "dtype": dtype, **changes})


def test_logits_go_through_a_softmax() -> None:
    expected = np.exp(LOGITS[0]) / np.exp(LOGITS[0]).sum()
    np.testing.assert_allclose(to_probabilities(LOGITS, spec()), expected, rtol=1e-6)


def test_probabilities_stay_what_they_are() -> None:
    given = np.array([[0.2, 0.7, 0.1]], np.float32)
    np.testing.assert_allclose(to_probabilities(given, spec()), given[0], rtol=1e-6)


def test_quantized_probabilities() -> None:
    stored = np.array([[10, 240, 6]], np.uint8)
    result = to_probabilities(stored, spec("uint8", quantum=1 / 256, zero_point=0))
    np.testing.assert_allclose(result, np.array([10, 240, 6]) / 256, rtol=1e-6)


def test_huge_scores_do_not_overflow() -> None:
    np.testing.assert_allclose(to_probabilities(LOGITS * 1e4, spec()), [0, 1, 0])


def test_best_of_a_bundle(tmp_path: Path) -> None:
    manifest: Manifest = load_bundle(write_bundle(tmp_path / "tiny")).manifest
    variant = manifest.variants[0].model_copy(update={"output": spec()})
    changed = {"task": "classify", "labels": ("cat", "dog", "eel"), "variants": (variant,)}
    task = ClassifyTask(manifest.model_copy(update=changed))
    answer = task.finish(LOGITS, variant, (1, 1))
    best, second = task.best(answer, 2)
    assert (best.label, second.label) == ("dog", "cat")
    assert best.probability == pytest.approx(0.8756, abs=1e-3)
    assert task.score(answer, np.zeros((2, 2), np.uint8)) is None
