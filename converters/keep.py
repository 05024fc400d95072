"""Results that took long, kept in a folder under the hash of what they depend on.

A file appears whole or not at all; one that cannot be read is made again, with a word.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from converters.errors import ConvertError

# What a search of hundreds of paths may hold in each worker: some forty whole fits of a B0.
MOST_BYTES = 512 << 20
Arrays = list[npt.NDArray[Any]]
Tree = TypeVar("Tree")


class Kept:
    """A folder of arrays by key, the latest in memory too; without a folder they are kept in memory alone.

    Memory holds at most `most_bytes`, or one result: what was not asked for longest goes first, and without a folder
    has to be made again.
    """

    def __init__(
        self, folder: Path | None, say: Callable[[str], None] = lambda _: None, most_bytes: int = MOST_BYTES
    ) -> None:
        self._folder, self._say, self._most_bytes = folder, say, most_bytes
        self._memory: OrderedDict[str, Arrays] = OrderedDict()
        self._bytes = 0
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConvertError(f"{folder}: cannot keep results ({error.strerror}); name another folder") from error

    def get(self, key: str) -> Arrays | None:
        """What is kept under `key`, or None."""
        if key not in self._memory and self._folder is not None:
            found = self._read(self._folder / f"{key}.npz")
            if found is not None:
                self._remember(key, found)
        if key in self._memory:
            self._memory.move_to_end(key)
        return self._memory.get(key)

    def put(self, key: str, arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Keep `arrays`. Raises ConvertError when the folder cannot be written."""
        self._remember(key, list(arrays))
        if self._folder is None:
            return
        try:
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=f".{key}.", delete=False) as draft:
                np.savez(draft, *arrays)
            os.replace(draft.name, self._folder / f"{key}.npz")
        except OSError as error:
            Path(draft.name).unlink(missing_ok=True)
            raise ConvertError(f"{self._folder}: cannot keep results ({error.strerror}); free some space") from error

    def _remember(self, key: str, arrays: Arrays) -> None:
        self._bytes += _bytes_of(arrays) - _bytes_of(self._memory.pop(key, []))
        self._memory[key] = arrays
        while self._bytes > self._most_bytes and len(self._memory) > 1:
            self._bytes -= _bytes_of(self._memory.popitem(last=False)[1])

    def _read(self, file: Path) -> Arrays | None:
        if not file.exists():
            return None
        try:
            # Opened here: numpy leaves a file open that it cannot make sense of.
            with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
                return [stored[f"arr_{number}"] for number in range(len(stored.files))]
        except Exception as error:  # a torn or foreign file raises a whole zoo; all mean: make it again
            self._say(f"{file.name}: cannot be read ({type(error).__name__}), made again")
            return None


def _bytes_of(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays)


def arrays_of(tree: object) -> Arrays:
    """The arrays of a tree of dataclasses and tuples, in the order of their fields."""
    if isinstance(tree, np.ndarray):
        return [tree]
    return [array for child in _children(tree) for array in arrays_of(child)]


def with_arrays(tree: Tree, arrays: Sequence[npt.NDArray[Any]]) -> Tree:
    """`tree` with its arrays replaced, in the same order; raises ValueError when they do not fit."""
    left = list(arrays)
    found: Tree = _filled(tree, left)
    if left:
        raise ValueError(f"{len(left)} arrays too many")
    return found


def digest(*parts: object) -> str:
    """A hash of numbers, texts, arrays and trees of them."""
    found = hashlib.sha256()
    for part in parts:
        found.update(repr(_outline(part)).encode())
        for array in arrays_of(part):
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:24]


def _outline(tree: object) -> object:
    """Everything of a tree but the values of its arrays."""
    if isinstance(tree, np.ndarray):
        return "array", tree.shape, str(tree.dtype)
    if is_dataclass(tree) and not isinstance(tree, type):
        return type(tree).__name__, [(field.name, _outline(getattr(tree, field.name))) for field in fields(tree)]
    return [_outline(child) for child in tree] if isinstance(tree, (tuple, list)) else repr(tree)


def _children(tree: object) -> list[object]:
    if is_dataclass(tree) and not isinstance(tree, type):
        return [getattr(tree, field.name) for field in fields(tree)]
    return list(tree) if isinstance(tree, (tuple, list)) else []


def _filled(tree: Any, left: Arrays) -> Any:
    if isinstance(tree, np.ndarray):
        if not left or left[0].shape != tree.shape:
            raise ValueError(f"an array of shape {tree.shape} was expected")
        return left.pop(0).astype(tree.dtype, copy=False)
    if is_dataclass(tree) and not isinstance(tree, type):
        return replace(tree, **{f.name: _filled(getattr(tree, f.name), left) for f in fields(tree)})
    if isinstance(tree, tuple):
        return tuple(_filled(child, left) for child in tree)
    return tree
