"""Where the lab keeps what it builds: one step is one file or folder, named by the hash of everything that made it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
KEY_DIGITS = 12
KEPT_S = 86_400.0


class LabUnavailable(Exception):
    """The lab cannot run on this machine; the text says what is missing and how to get it."""


def cache_root() -> Path:
    """``$JOULEPATH_CACHE/lab``, by default ``.cache/lab`` in the repository; made when it does not exist."""
    root = Path(os.environ.get("JOULEPATH_CACHE") or REPOSITORY / ".cache") / "lab"
    root.mkdir(parents=True, exist_ok=True)
    return root


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def tree_digest(root: Path) -> str:
    """sha256 over the names and bytes of every file below ``root``; caches of the interpreter do not count."""
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        digest.update(f"{path.relative_to(root)}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def step(name: str, recipe: dict[str, Any], build: Callable[[Path], None], suffix: str = "") -> Path:
    """The result of one build step, from the cache where the same recipe was built before.

    Args:
        name: the step's name, the first part of the result's file name.
        recipe: everything that decides the result, as JSON can write it; its hash is the second part.
        build: makes the result at the path that it is given (which does not exist yet). What it leaves there becomes
            the result by one rename, so an interrupted build is never taken for a whole one.
        suffix: the end of the result's file name.

    Results of other recipes under the same name and suffix are removed when nobody used them for a day.
    """
    root = cache_root()
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]
    result = root / f"{name}-{key}{suffix}"
    with locked(root / f".{name}.lock"):
        if not result.exists():
            partial = root / f"{name}-{key}.partial{suffix}"
            remove(partial)
            build(partial)
            partial.rename(result)
            os.utime(result)  # unpacked folders bear their package's time, which would make the new one old
            for old in root.glob(f"{name}-{'?' * KEY_DIGITS}{suffix}"):
                if time.time() - old.stat().st_mtime > KEPT_S:
                    remove(old)
        os.utime(result)  # used now
    return result


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock on ``path``: two runs of the lab never build one thing at once."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def remove(path: Path) -> None:
    """Remove a file or a folder; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
