"""Commands and files, with errors that say what to do."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path


class RecipeError(RuntimeError):
    """The image cannot be built; the message names the cause and the remedy."""


# Commands of this recipe and the Debian packages that bring them.
NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "cpio": "cpio",
    "depmod": "kmod",
    "zstd": "zstd",
    "xz": "xz-utils",
}


def check_tools(needed: Mapping[str, str] = NEEDED) -> None:
    """Raises RecipeError naming every missing package at once."""
    missing = sorted({package for command, package in needed.items() if shutil.which(command, path=_path()) is None})
    if missing:
        raise RecipeError(f"missing: sudo apt-get install {' '.join(missing)}")


def _path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def run(
    *command: str | Path,
    given: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> bytes:
    """What a command printed. Raises RecipeError with its last words."""
    done = subprocess.run(
        [str(part) for part in command],
        input=given,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, "PATH": _path(), "LC_ALL": "C.UTF-8", **(env or {})},
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise RecipeError(f"{command[0]} failed ({done.returncode}): " + "\n  ".join(words[-15:]))
    return done.stdout


def sha256(path: Path) -> str:
    """The file's digest, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def holds(path: Path, words: Iterable[str]) -> set[str]:
    """Those of the words that occur in the file's bytes."""
    left, found, tail = {word.encode() for word in words}, set[bytes](), b""
    with path.open("rb") as file:
        while piece := file.read(4 << 20):
            found |= {word for word in left - found if word in tail + piece}
            tail = piece[-256:]
    return {word.decode() for word in found}


@contextlib.contextmanager
def finished_or_gone(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it takes the place of `path` when all went well, else it is removed."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
