"""How much a state holds, counted so that equal contents count equally.

A pickle's length is no measure of that: one object that is held twice is pickled once, and a number takes more or fewer
bytes by its value. Here whatever is held is counted wherever it is held: 8 bytes for a number or nothing at all, a
byte for a letter, 8 more for each thing that is held by another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

_WORD = 8


def extent(value: object) -> int:
    """Bytes that `value` and all that it holds come to. Raises TypeError for what it cannot look into."""
    if value is None or isinstance(value, bool | int | float):
        return _WORD
    if isinstance(value, str | bytes):
        return _WORD + len(value)
    if isinstance(value, np.ndarray):
        return _WORD + value.nbytes
    if isinstance(value, Mapping):
        return _WORD + sum(extent(key) + extent(held) for key, held in value.items())
    if isinstance(value, tuple | list | set | frozenset):
        return _WORD + sum(extent(held) for held in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _WORD + sum(extent(getattr(value, field.name)) for field in dataclasses.fields(value))
    raise TypeError(f"cannot look into a {type(value).__name__}")
