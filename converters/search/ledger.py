"""Every finished evaluation, on disk the moment it is finished.

One line of JSON an evaluation, with a checksum. A line is written whole or taken back: a search that is killed loses
at most the evaluation that it was writing, and one that meets a full disk leaves a ledger that can go on.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from converters.search.contract import Measured, Outcome, Refused
from converters.search.errors import SearchError
from converters.search.identity import as_json, from_json

Write = Callable[[int, bytes], int]


class Ledger:
    """Outcomes by key. One process has it open at a time."""

    def __init__(self, file: Path, write: Write = os.write) -> None:
        """Open or begin the ledger `file`. Raises SearchError when it cannot be read, or another search holds it."""
        self.file = file
        self.damaged = 0  # lines that were no evaluation, apart from a last one that was cut short
        self._write = write
        self._known: dict[str, Outcome] = {}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise SearchError(
                f"{file}: cannot be opened ({error.strerror}); give --out a place that can be written"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise SearchError(f"{file}: another search is writing it; wait for it or give another --out") from error
        except OSError as error:
            os.close(self._descriptor)
            raise SearchError(f"{file}: cannot be read ({error.strerror})") from error

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Outcome | None:
        """What was found under `key`, None when it has not been evaluated."""
        return self._known.get(key)

    def append(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome; it is on disk when this returns.

        Raises SearchError when the disk is full or cannot be written; the file is then as it was.
        """
        body = json.dumps({"key": key, **_as_json(outcome)}, separators=(",", ":"))
        line = f"{_checksum(body)} {body}\n".encode()
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            written = 0
            while written < len(line):
                written += self._write(self._descriptor, line[written:])
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, end)
            raise SearchError(
                f"{self.file}: cannot be written ({error.strerror}); the {len(self)} evaluations before are kept: "
                "make room, then give the same command again"
            ) from error
        self._known[key] = outcome

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        """Take in what is there; a last line without its end is cut off, for an evaluation was being written."""
        content = self.file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._descriptor, whole)
        for line in content[:whole].splitlines():
            try:
                key, outcome = _of_line(line.decode())
            except (ValueError, TypeError, KeyError):
                self.damaged += 1
                continue
            self._known[key] = outcome


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _of_line(line: str) -> tuple[str, Outcome]:
    checksum, body = line.split(" ", 1)
    if _checksum(body) != checksum:
        raise ValueError("checksum")
    entry = json.loads(body)
    key, path = str(entry.pop("key")), from_json(entry.pop("path"))
    return key, Refused(path, **entry) if "reason" in entry else Measured(path, **entry)


def _as_json(outcome: Outcome) -> dict[str, Any]:
    values = {name: value for name, value in asdict(outcome).items() if name != "path"}
    return {"path": as_json(outcome.path), **values}
