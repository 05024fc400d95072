"""Channels in order of importance: the same function, and narrower paths that keep more of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (extra [train])")
pytest.importorskip("transformers", reason="needs transformers (extra [train])")

from converters.errors import ConvertError  # noqa: E402
from converters.families import segformer  # noqa: E402
from converters.paths import ExecutionPath, PathSpace  # noqa: E402
from converters.train.load import load_network  # noqa: E402
from converters.train.network import logits_of, normalise  # noqa: E402
from converters.train.order import order_by_importance, order_decoder, order_hidden  # noqa: E402
from tests.converters.reference.make import image, write_checkpoint  # noqa: E402

pytestmark = pytest.mark.oracle
CONFIG = replace(segformer.SegformerConfig.b0(5), depths=(2, 1, 1, 1), decoder_width=64)
FULL = PathSpace(CONFIG.depths, CONFIG.decoder_width).full()
NARROW = replace(FULL, ffn=(0.5,) * 4, decoder_width=32)
SIZE = (64, 96)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(segformer.random_weights(CONFIG, 7), tmp_path)
    return tmp_path


def logits(network: Any, path: ExecutionPath) -> np.ndarray:
    pixels = torch.from_numpy(image(SIZE)[None])
    with torch.inference_mode():
        return logits_of(network, normalise(pixels).contiguous(), path)[0].numpy()


def test_any_order_of_channels_computes_the_same(folder: Path) -> None:
    network = load_network(folder, ()).eval()
    before, narrow = logits(network, FULL), logits(network, NARROW)
    rng = np.random.default_rng(3)
    for stage in network.segformer.stages:
        for block in stage.blocks:
            order_hidden(block.mlp, rng.permutation(block.mlp.fc1.out_features).tolist())
    order_decoder(network.decode_head, rng.permutation(CONFIG.decoder_width).tolist())
    np.testing.assert_allclose(logits(network, FULL), before, atol=1e-4 * np.abs(before).max())
    assert np.abs(logits(network, NARROW) - narrow).max() > 1e-2 * np.abs(narrow).max()


@pytest.mark.host
def test_a_narrow_path_of_the_important_channels_is_nearer_to_the_full_one(folder: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs the host extra [convert]")
    network = load_network(folder, ()).eval()
    full, first = logits(network, FULL), logits(network, NARROW)
    seen = [np.roll(image(SIZE), 7 * shift, axis=1) for shift in range(8)]
    order_by_importance(network, folder, seen, SIZE)
    np.testing.assert_allclose(logits(network, FULL), full, atol=1e-4 * np.abs(full).max())
    assert np.abs(logits(network, NARROW) - full).mean() < np.abs(first - full).mean()


@pytest.mark.host
def test_too_few_images_are_refused(folder: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs the host extra [convert]")
    with pytest.raises(ConvertError, match="needs at least 8 calibration images, 2 given"):
        order_by_importance(load_network(folder, ()), folder, [image(SIZE)] * 2, SIZE)
