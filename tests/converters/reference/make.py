"""Makes ``logits.npz``: what transformers' SegFormer computes for weights and images drawn by seed.

Run it with PyTorch and transformers installed: ``python -m tests.converters.reference.make``. Weights come from
`converters.families.segformer.random_weights`; they go through a checkpoint on disk, so that file keys are checked too.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.families.segformer import SegformerConfig, SegformerWeights, random_weights
from converters.paths import ExecutionPath

FILE = Path(__file__).with_name("logits.npz")
CLASSES, SEED = 11, 7
SIZES = ((64, 96), (128, 128))
CONFIGS = {"b0": SegformerConfig.b0(CLASSES), "b2": SegformerConfig.b2(CLASSES)}
Image = npt.NDArray[np.uint8]


def image(size: tuple[int, int]) -> Image:
    """A raw BGR image: blocks of colour under noise, so that no two places look alike."""
    rng = np.random.default_rng(SEED + size[0])
    coarse = rng.random((size[0] // 16, size[1] // 16, 3)).repeat(16, 0).repeat(16, 1)
    return (255 * (0.7 * coarse + 0.3 * rng.random((*size, 3)))).astype(np.uint8)


def digest(weights: SegformerWeights) -> str:
    """A fingerprint of drawn weights: tells a changed generator from a changed network."""
    total = hashlib.sha256()
    for name in sorted(weights.tensors):
        total.update(weights.tensors[name].tobytes())
    return total.hexdigest()


def write_checkpoint(weights: SegformerWeights, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` as published checkpoints have them."""
    from safetensors.numpy import save_file

    steps = {"decode_head.batch_norm.num_batches_tracked": np.array(1, np.int64)}
    save_file({**weights.tensors, **steps}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(weights.config.as_json()), encoding="utf-8")


def transformers_logits(
    weights: SegformerWeights, pixels: Image, path: ExecutionPath | None = None
) -> npt.NDArray[np.float32]:
    """Logits (height, width, classes) for a raw BGR image: transformers' own forward, or training's along a path."""
    import torch

    from converters.train.load import load_network
    from converters.train.network import logits_of, normalise

    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(weights, Path(folder))
        model: Any = load_network(Path(folder), ()).eval().float()
    with torch.inference_mode():
        ready = normalise(torch.from_numpy(pixels[None])).contiguous()
        logits = model(pixel_values=ready).logits if path is None else logits_of(model, ready, path)
    return np.ascontiguousarray(logits[0].permute(1, 2, 0).numpy())


def main() -> None:
    """Write the file anew."""
    arrays: dict[str, Any] = {}
    for name, config in CONFIGS.items():
        weights = random_weights(config, SEED)
        arrays[f"{name}/digest"] = np.array(digest(weights))
        for size in SIZES:
            arrays[f"{name}/{size[0]}x{size[1]}"] = transformers_logits(weights, image(size))
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
