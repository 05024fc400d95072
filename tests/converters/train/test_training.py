"""Training against transformers' own forward, and a run that is stopped and goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (extra [train])")
pytest.importorskip("transformers", reason="needs transformers (extra [train])")

from converters.paths import PathSpace  # noqa: E402
from converters.train.crops import CropSettings, Source, sampler_of  # noqa: E402
from converters.train.load import load_network  # noqa: E402
from converters.train.loop import Trainer  # noqa: E402
from converters.train.losses import class_weights_of  # noqa: E402
from converters.train.network import logits_of, normalise  # noqa: E402
from converters.train.settings import TrainSettings  # noqa: E402

pytestmark = pytest.mark.oracle
LABELS = ("left", "right", "none")
SPACE = PathSpace((2, 2, 2, 2), 256)


def network() -> object:
    torch.manual_seed(3)
    model = load_network(None, LABELS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        norm = model.decode_head.batch_norm
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2.0)
    return model.eval()


def test_the_full_path_is_transformers_own_forward() -> None:
    model = network()
    pixels = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        theirs = model(pixel_values=pixels).logits
        ours = logits_of(model, pixels)
    assert ours.shape == theirs.shape == (2, 3, 16, 24)
    assert float((ours - theirs).abs().max()) <= 1e-4 * float(theirs.abs().max())


def test_a_narrow_path_is_the_network_with_the_rest_cut_away() -> None:
    model = network()
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        ours = logits_of(model, pixels, SPACE.first("narrow", (1, 2, 1, 2), 96))
        for stage, keep in zip(model.segformer.stages, (1, 2, 1, 2), strict=True):
            del stage.blocks[keep:]
        model.decode_head.classifier.weight[:, 96:] = 0
        theirs = model(pixel_values=pixels).logits
    assert float((ours - theirs).abs().max()) <= 1e-4 * float(theirs.abs().max())


def test_pixels_are_normalised_as_imagenet_wants_them() -> None:
    blue = np.zeros((1, 2, 2, 3), np.uint8)
    blue[..., 0] = 255  # BGR
    out = normalise(torch.from_numpy(blue))
    assert out.shape == (1, 3, 2, 2)
    assert out[0, :, 0, 0].tolist() == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, (1 - 0.406) / 0.225], abs=1e-5)


def test_class_weights_favour_the_rare_and_keep_the_mean() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[0, :4] = 1
    weights = class_weights_of([mask], 2)
    assert weights[1] > weights[0]
    assert 0.96 * weights[0] + 0.04 * weights[1] == pytest.approx(1.0)


def test_a_run_learns_saves_hugging_face_format_and_goes_on(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 1
    pair = (np.repeat((mask * 200 + 20)[..., None], 3, axis=2), mask)
    crop = CropSettings(64, 64, scale=(0.9, 1.1))
    said: list[str] = []

    def trainer(steps: int) -> Trainer:
        settings = TrainSettings(steps, crop, random_paths=2, warmup_steps=2, validate_every=2, save_every=2, half=True)
        source = Source(sampler_of([pair]), 2)
        return Trainer(load_network(None, LABELS), [source], settings, tmp_path, [pair], say=said.append)

    first = trainer(2).run()
    assert first.step == 2
    assert {entry["path"] for entry in first.history} == {"full", "p1", "p2", "p3", "p4", "smallest"}
    second = trainer(4).run()
    assert second.step == 4
    assert "going on from step 2" in said
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["step"] == 4
    again = load_network(tmp_path, LABELS)
    assert again.config.num_labels == 3
    assert not list(tmp_path.glob("*.partial"))
