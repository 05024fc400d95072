"""A small labelled set on disk, weights to go with it, and a search's result without having searched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from converters.families import segformer

LABELS = ("sky", "road", "car")
SHAPE = (48, 64)


def write_set(root: Path, images: int, seed: int = 0) -> str:
    """``folder:DIR`` with that many images of coloured patches; a patch's colour says its class."""
    from PIL import Image as Picture

    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    (root / "labels.txt").write_text("\n".join(LABELS) + "\n")
    for number in range(images):
        mask = rng.integers(0, len(LABELS), (3, 4), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
        noise = rng.integers(0, 30, (*SHAPE, 3), dtype=np.uint8)
        Picture.fromarray((np.stack([mask * 90, 200 - mask * 60, mask * 20], -1) + noise).astype(np.uint8)).save(
            root / "images" / f"{number:03}.png"
        )
        Picture.fromarray(mask, "L").save(root / "masks" / f"{number:03}.png")
    return f"folder:{root}"


def write_weights(root: Path) -> str:
    """A SegFormer smaller than B0, of random weights."""
    from safetensors.numpy import save_file

    config = replace(
        segformer.SegformerConfig.b0(len(LABELS)),
        depths=(1, 1, 1, 1),
        hidden_sizes=(8, 16, 20, 32),
        decoder_width=32,
        labels=LABELS,
    )
    weights = segformer.random_weights(config, 3)
    root.mkdir(parents=True)
    save_file(
        {name: np.ascontiguousarray(value) for name, value in weights.tensors.items()}, root / "model.safetensors"
    )
    (root / "config.json").write_text(json.dumps(config.as_json()))
    return str(root)
