"""Reads what hardware a flattened device tree names (format: devicetree specification 0.4, chapter 5)."""

from __future__ import annotations

import struct

_MAGIC = 0xD00DFEED
_BEGIN_NODE, _END_NODE, _PROPERTY, _NOTHING, _END = 1, 2, 3, 4, 9


def compatibles(blob: bytes) -> set[str]:
    """Every string of every `compatible` property. Raises ValueError when the blob is no device tree."""
    if len(blob) < 40 or struct.unpack_from(">I", blob)[0] != _MAGIC:
        raise ValueError("not a flattened device tree")
    structure, strings = struct.unpack_from(">II", blob, 8)
    found: set[str] = set()
    at = structure
    while True:
        (token,) = struct.unpack_from(">I", blob, at)
        at += 4
        if token == _BEGIN_NODE:
            at = _aligned(blob.index(b"\0", at) + 1)
        elif token == _PROPERTY:
            length, name_at = struct.unpack_from(">II", blob, at)
            value = blob[at + 8 : at + 8 + length]
            name = blob[strings + name_at : blob.index(b"\0", strings + name_at)]
            if name == b"compatible":
                found.update(word.decode() for word in value.split(b"\0") if word)
            at = _aligned(at + 8 + length)
        elif token == _END:
            return found
        elif token not in (_END_NODE, _NOTHING):
            raise ValueError(f"unknown token {token} in the device tree")


def _aligned(offset: int) -> int:
    return (offset + 3) & ~3
