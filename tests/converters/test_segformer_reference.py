"""SegFormer against what transformers computed for the same weights: from a file always, live where it is installed."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from converters.families import segformer
from tests.converters.reference import make
from tests.converters.running import assert_same_logits, run_eagerly

CASES = [(name, size) for name in make.CONFIGS for size in make.SIZES]


@functools.cache
def weights_of(name: str) -> segformer.SegformerWeights:
    return segformer.random_weights(make.CONFIGS[name], make.SEED)


@functools.cache
def network_of(name: str, folded: bool) -> segformer.Network:
    weights = weights_of(name)
    network = segformer.network(weights, weights.space.full())
    return segformer.folded(network) if folded else network


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    with np.load(make.FILE) as archive:
        return dict(archive)


@pytest.mark.parametrize("name", make.CONFIGS)
def test_drawn_weights_are_those_of_the_reference(name: str, reference: dict[str, Any]) -> None:
    assert make.digest(weights_of(name)) == str(reference[f"{name}/digest"])


@pytest.mark.host
@pytest.mark.parametrize("folded", [False, True], ids=["published", "folded"])
@pytest.mark.parametrize(("name", "size"), CASES)
def test_network_computes_what_transformers_computes(
    name: str, size: tuple[int, int], folded: bool, reference: dict[str, Any]
) -> None:
    pytest.importorskip("tensorflow", reason="the TensorFlow emitter needs the extra [convert]")
    expected = reference[f"{name}/{size[0]}x{size[1]}"]
    assert expected.std() >= 1.0
    assert_same_logits(run_eagerly(network_of(name, folded), make.image(size)), expected)


@pytest.mark.host
@pytest.mark.parametrize(("name", "size"), CASES)
def test_folding_changes_nothing(name: str, size: tuple[int, int]) -> None:
    pytest.importorskip("tensorflow", reason="the TensorFlow emitter needs the extra [convert]")
    pixels = make.image(size)
    assert_same_logits(run_eagerly(network_of(name, True), pixels), run_eagerly(network_of(name, False), pixels))


@pytest.mark.host
def test_folding_changes_nothing_on_any_path_at_an_odd_size() -> None:
    pytest.importorskip("tensorflow", reason="the TensorFlow emitter needs the extra [convert]")
    weights = weights_of("b0")
    pixels = np.random.default_rng(3).integers(0, 256, (75, 101, 3), dtype=np.uint8)
    seen = []
    for path in (*weights.space.default_set(), weights.space.first("none", (0, 1, 0, 2), 33)):
        network = segformer.network(weights, path)
        expected = run_eagerly(network, pixels)
        assert expected.shape == (19, 26, make.CLASSES)
        assert_same_logits(run_eagerly(segformer.folded(network), pixels), expected)
        seen.append(expected)
    # Every path is a network of its own.
    assert all(np.abs(a - b).max() > 0.1 for i, a in enumerate(seen) for b in seen[:i])


@pytest.mark.host
@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "size"), CASES)
def test_reference_file_is_what_transformers_computes_today(
    name: str, size: tuple[int, int], reference: dict[str, Any]
) -> None:
    pytest.importorskip("torch", reason="needs PyTorch (extra [train])")
    pytest.importorskip("transformers", reason="needs transformers (extra [train])")
    live = make.transformers_logits(weights_of(name), make.image(size))
    assert_same_logits(live, reference[f"{name}/{size[0]}x{size[1]}"])


@pytest.mark.host
@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_paths_are_those_that_training_runs() -> None:
    pytest.importorskip("torch", reason="needs PyTorch (extra [train])")
    pytest.importorskip("transformers", reason="needs transformers (extra [train])")
    pytest.importorskip("tensorflow", reason="the TensorFlow emitter needs the extra [convert]")
    pixels, weights = make.image((64, 96)), weights_of("b0")
    for path in weights.space.default_set():
        expected = make.transformers_logits(weights, pixels, path)
        assert_same_logits(run_eagerly(segformer.folded(segformer.network(weights, path)), pixels), expected)
