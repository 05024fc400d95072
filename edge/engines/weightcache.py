"""Packed weights kept on disk: what an engine made of a model's weights for this very processor, to be mapped again.

A kept file is named ``KEY-CHECKSUM.packed``. The key is everything that packing depends on, the checksum is that of
the content: a file that was cut, damaged, or made for something else is never trusted, and one rename makes it appear
whole.
Nothing here may stop an engine: a folder that cannot be used costs memory, and a word about it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".packed"
KEEP_FILES = 16  # the last used stay; a board runs fewer models than that
_LEFTOVER_S = 600.0  # a file half written for so long has lost its writer
_CHUNK = 1 << 20
_NAME = re.compile(r"[0-9a-f]{32}-([0-9a-f]{8})\.packed")


class CacheProblem(Exception):
    """Why the folder could not be used, in words that fit after "packed weights"."""


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """Where packed weights are kept: the service's cache directory, else the user's; None when there is neither.

    systemd sets ``CACHE_DIRECTORY`` (several folders are joined by colons), the XDG base directory specification
    ``XDG_CACHE_HOME``, by default ``~/.cache``; relative paths count as not set in both.
    """
    candidates = (
        (environ.get("CACHE_DIRECTORY", "").split(":")[0], ("weights",)),
        (environ.get("XDG_CACHE_HOME", ""), ("joulepath", "weights")),
        (environ.get("HOME", ""), (".cache", "joulepath", "weights")),
    )
    return next((Path(root, *parts) for root, parts in candidates if root.startswith("/")), None)


def cache_key(model_sha256: str, engine: str, threads: int, cpuinfo: str) -> str:
    """One name for everything that packed weights depend on.

    `engine` is the library with its version; `cpuinfo` the text of /proc/cpuinfo, of which only the lines count that
    kernels are chosen by, not clocks or temperatures.
    """
    telling = ("flags", "Features", "vendor_id", "cpu family", "model", "CPU implementer", "CPU part", "CPU variant")
    lines = {line for line in cpuinfo.splitlines() if line.partition(":")[0].strip() in telling}
    parts = [model_sha256, engine, str(threads), os.uname().machine, *sorted(lines)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class WeightCache:
    """The kept file of one key in one folder."""

    folder: Path
    key: str

    def find(self) -> Path | None:
        """The kept file, its checksum verified; None when there is none.

        Raises CacheProblem when there was one that is damaged, or cannot be read; a damaged one is removed.
        """
        for path in self._files():
            try:
                if _checksum(path) == _named(path):
                    with contextlib.suppress(OSError):
                        os.utime(path)  # used now: others go first
                    return path
                path.unlink()
            except OSError as error:
                raise CacheProblem(f"in {path} cannot be read ({error.strerror})") from error
            raise CacheProblem(f"in {path} were damaged; they are made anew")
        return None

    def keep(self, fd: int) -> Path:
        """Copy what was packed into the open file `fd` to the folder; the copy appears whole or not at all.

        Raises CacheProblem when that fails: no room, no permission, no folder.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._sweep()
            return self._copied(fd)
        except OSError as error:
            raise CacheProblem(
                f"are not kept in {self.folder} ({error.strerror}); they are made at each start"
            ) from error

    def _copied(self, fd: int) -> Path:
        handle, name = tempfile.mkstemp(prefix=f".{self.key}-", suffix=".tmp", dir=self.folder)
        try:
            with open(handle, "wb") as out:
                checksum = 0
                for chunk in _chunks(fd):
                    out.write(chunk)
                    checksum = zlib.crc32(chunk, checksum)
                out.flush()
                # A rename may reach the disk before what it names; power fails on boards.
                os.fsync(out.fileno())
            target = self.folder / f"{self.key}-{checksum:08x}{SUFFIX}"
            os.replace(name, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        return target

    def drop(self, path: Path) -> None:
        """Remove a kept file that turned out to be of no use; who maps it keeps what it maps."""
        with contextlib.suppress(OSError):
            path.unlink()

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.glob(f"{self.key}-*{SUFFIX}") if _NAME.fullmatch(path.name))
        except OSError:
            return []

    def _sweep(self) -> None:
        """Remove copies whose writer died, and the files that were used longest ago, to have room for one more."""
        now = time.time()
        for path in self.folder.glob(".*.tmp"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > _LEFTOVER_S:
                    path.unlink()
        kept = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with contextlib.suppress(OSError):
                kept.append((path.stat().st_mtime, path))
        for _, path in sorted(kept, reverse=True)[KEEP_FILES - 1 :]:
            self.drop(path)


def _named(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    assert found is not None, path
    return int(found[1], 16)


def _checksum(path: Path) -> int:
    with path.open("rb") as opened:
        checksum = 0
        for chunk in _chunks(opened.fileno()):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _chunks(fd: int) -> Iterator[bytes]:
    """The whole content of an open file, wherever its position is."""
    offset = 0
    while chunk := os.pread(fd, _CHUNK, offset):
        yield chunk
        offset += len(chunk)
