"""A real bundle out of the tiny models: two files, one of them with two paths that share weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parent / "engines"
STREET = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]


def write_bundle(root: Path, labels: list[str] | None = None) -> Path:
    """A bundle with ``full`` and ``half`` (one file) and ``alone`` (another file); 16x24 in, 4x6x5 logits out."""
    root.mkdir(parents=True)
    variants: list[dict[str, Any]] = []
    for name, file, signature, accuracy, macs in (
        ("full", "tiny_two.tflite", "full", 0.6, 10_000_000),
        ("half", "tiny_two.tflite", "half", 0.5, 5_000_000),
        ("alone", "tiny_plain.tflite", None, 0.4, 2_500_000),
    ):
        shutil.copyfile(MODELS / file, root / file)
        content = (root / file).read_bytes()
        score = {"metric": "miou", "value": accuracy, "dataset": "none, for tests", "images": 1}
        variants.append(
            {
                "id": name, "path": name, "precision": "float32", "file": file, "signature": signature,
                "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content),
                "input": {"height": 16, "width": 24}, "macs": macs,
                "output": {"kind": "logits", "shape": [1, 4, 6, 5], "dtype": "float32"},
                "accuracy": [score],
            }
        )  # fmt: skip
    manifest = {
        "name": "tiny", "family": "tiny", "task": "segment", "labels": labels or STREET[:5], "variants": variants,
    }  # fmt: skip
    (root / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return root
