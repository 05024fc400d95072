"""Reading Hugging Face checkpoints: a folder or a hub id in, ``config.json`` and numpy tensors by file key out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.errors import WeightsError
from converters.layers import Array

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2"}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read: where from, its JSON files, its floating-point tensors as float32 by file key.

    `sha256` is that of the tensor file, or of all of them one after the other.
    """

    source: str
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any] | None
    tensors: Mapping[str, Array]
    sha256: str | None = None


def read_checkpoint(weights: str | Path) -> Checkpoint:
    """Read a local folder, or download a hub id such as ``nvidia/segformer-b0-finetuned-ade-512-512``.

    float32, float16, bfloat16 and float64 tensors become float32; integer tensors are left out (batch norm keeps a
    step counter). Raises WeightsError naming the file and what to do.
    """
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        folder = _download(str(weights))
    config = _read_json(folder / "config.json")
    preprocessor = folder / "preprocessor_config.json"
    settings = _read_json(preprocessor) if preprocessor.is_file() else None
    tensors: dict[str, Array] = {}
    digest = hashlib.sha256()
    for file in _tensor_files(folder):
        content = _content(file)
        digest.update(content)
        tensors.update(_read_tensors(file, content))
    return Checkpoint(str(weights), config, settings, tensors, digest.hexdigest())


def _download(hub_id: str) -> Path:
    if hub_id.startswith((".", "/", "~")) or hub_id.count("/") > 1 or not hub_id.strip("/"):
        raise WeightsError(f"weights {hub_id!r}: no such folder, and not a hub id (OWNER/NAME) either")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise WeightsError(
            f"weights {hub_id!r}: no such folder; to download a hub id: pip install 'joulepath[convert]'"
        ) from error
    try:
        return Path(snapshot_download(hub_id, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # the hub client raises its own, the network library's and the system's errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"weights {hub_id!r}: no such folder, and the hub could not be asked for it ({reason}); "
            "check the name and the network, or download the repository and give its folder"
        ) from error


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{file}: missing; a Hugging Face folder holds config.json and {_SINGLE}") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{file}: holds a JSON {type(value).__name__}, expected an object")
    return value


def _tensor_files(folder: Path) -> list[Path]:
    if (folder / _SINGLE).is_file():
        return [folder / _SINGLE]
    if (folder / _INDEX).is_file():
        weight_map = _read_json(folder / _INDEX).get("weight_map")
        if not isinstance(weight_map, dict):
            raise WeightsError(f"{folder / _INDEX}: has no weight_map")
        # Names only: an index must not reach outside of its folder.
        return [folder / Path(str(name)).name for name in sorted(set(weight_map.values()))]
    hint = "; convert pytorch_model.bin with transformers' save_pretrained" if any(folder.glob("*.bin")) else ""
    raise WeightsError(f"{folder}: holds neither {_SINGLE} nor {_INDEX}{hint}")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read ({error.strerror}); fetch the checkpoint again") from error


def _read_tensors(file: Path, content: bytes) -> dict[str, Array]:
    from safetensors import SafetensorError, deserialize

    try:
        entries: list[tuple[str, dict[str, Any]]] = deserialize(content)  # type: ignore[no-untyped-call, unused-ignore]
    except SafetensorError as error:
        raise WeightsError(f"{file}: cannot be read as safetensors: {error}; fetch the file again") from error
    return {name: _as_float32(entry) for name, entry in entries if entry["dtype"] in _DTYPES}


def _as_float32(entry: Mapping[str, Any]) -> Array:
    raw: npt.NDArray[Any] = np.frombuffer(bytes(entry["data"]), dtype=_DTYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":
        # bfloat16 is the upper half of a float32.
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    value: Array = raw.astype(np.float32).reshape(entry["shape"])
    return value
