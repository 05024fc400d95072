"""The tiny models (see make_tiny.py) and the variants that describe them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.bundle.manifest import InputSpec, OutputSpec, Variant

HERE = Path(__file__).parent
TWO, PLAIN, INT8, CUSTOM = (HERE / f"tiny_{name}.tflite" for name in ("two", "plain", "int8", "custom"))
DATA = Path(os.environ.get("JOULEPATH_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
MODELS = DATA / "models"
WHY_NO_MODELS = f"no models at {MODELS} (set JOULEPATH_DATA)"


def pixels(seed: int = 0, dtype: str = "float32") -> npt.NDArray[Any]:
    """A random 1x16x24x3 input."""
    return np.random.default_rng(seed).integers(0, 256, (1, 16, 24, 3)).astype(dtype)


def variant(name: str, file: Path, signature: str | None = None, **changes: Any) -> Variant:
    """A variant of one of the float tiny models."""
    content = file.read_bytes()
    described: dict[str, Any] = {
        "id": name,
        "path": name,
        "precision": "float32",
        "file": file.name,
        "signature": signature,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "input": InputSpec(height=16, width=24),
        "output": OutputSpec(kind="logits", shape=(1, 4, 6, 5), dtype="float32"),
    }
    return Variant(**{**described, **changes})
