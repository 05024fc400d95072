"""When two paths are the same path, and paths as JSON: what `joulepath convert --paths` reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from converters.paths import ExecutionPath


def canonical(path: ExecutionPath, size: tuple[int, int]) -> ExecutionPath:
    """The same path without what changes nothing: factors of one, the bundle's own `size`, the name."""
    return replace(
        path,
        name="path",
        size=None if path.size == size else path.size,
        ffn=() if all(share == 1 for share in path.ffn) else tuple(float(share) for share in path.ffn),
        pool=() if all(factor == 1 for factor in path.pool) else path.pool,
        merge=() if all(factor == 1 for factor in path.merge) else path.merge,
    )


def digest(*parts: str) -> str:
    """A short content hash of some texts."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(f"{len(part)}:{part}".encode())
    return whole.hexdigest()[:32]


def path_key(path: ExecutionPath, size: tuple[int, int], fingerprint: str) -> str:
    """Names one evaluation: the same for paths that compute the same, under evaluators that say the same."""
    return digest(fingerprint, json.dumps(as_json(canonical(path, size)), sort_keys=True))


def as_json(path: ExecutionPath) -> dict[str, Any]:
    """An entry of a file of paths; what is not cut is left out."""
    entry: dict[str, Any] = {
        "name": path.name,
        "blocks": [list(stage) for stage in path.blocks],
        "decoder_width": path.decoder_width,
    }
    for each in fields(path):
        value = getattr(path, each.name)
        if each.name not in entry and value != each.default:
            entry[each.name] = list(value) if isinstance(value, tuple) else value
    return entry


def from_json(entry: Mapping[str, Any]) -> ExecutionPath:
    """The path of `as_json`. Raises TypeError, ValueError or KeyError for anything else."""
    values = dict(entry)
    values["blocks"] = tuple(tuple(int(block) for block in stage) for stage in values["blocks"])
    for name, kind in (("ffn", float), ("pool", int), ("merge", int), ("classes", str)):
        if values.get(name) is not None:
            values[name] = tuple(kind(each) for each in values[name])
    if values.get("size") is not None:
        height, width = values["size"]
        values["size"] = (int(height), int(width))
    return ExecutionPath(**values)


def describe(path: ExecutionPath, full: ExecutionPath) -> str:
    """What is cut, in words: ``without block 2.1; decoder 128 of 256; input 224x288``, or ``nothing cut``."""
    parts = []
    if path.blocks != full.blocks:
        lost = [
            f"{stage}.{block + 1}"
            for stage, (kept, there) in enumerate(zip(path.blocks, full.blocks, strict=True), start=1)
            for block in there
            if block not in kept
        ]
        parts.append(f"without {'blocks' if len(lost) > 1 else 'block'} {' '.join(lost)}")
    if path.decoder_width != full.decoder_width:
        parts.append(f"decoder {path.decoder_width} of {full.decoder_width}")
    if path.decoder_stride != full.decoder_stride:
        parts.append(f"decoder at 1/{path.decoder_stride}")
    if path.decoder_chain != full.decoder_chain:
        parts.append("decoder in a chain")
    for name, values in (
        ("feed-forward", [f"{100 * share:.0f}%" for share in path.ffn]),
        ("keys pooled", [str(factor) for factor in path.pool]),
        ("positions merged", [str(factor) for factor in path.merge]),
    ):
        if values:
            parts.append(f"{name} {' '.join(values)}")
    if path.size is not None and path.size != full.size:
        parts.append(f"input {path.size[0]}x{path.size[1]}")
    if path.classes is not None:
        parts.append(f"{len(path.classes)} classes")
    return "; ".join(parts) or "nothing cut"
