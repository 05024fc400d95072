"""One writer at a time, and what happens to a damaged file: it is set aside under another name, never deleted."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.journal.errors import JournalError
from edge.journal.store import Known, look

_COMPANIONS = ("", "-wal", "-shm")
_CORRUPT, _NOT_A_DATABASE = 11, 26


class WriterLock:
    """An advisory lock on `<journal>.lock`; it goes with the process, however that ends.

    The lock is not on the database itself: closing a second descriptor of that file would drop SQLite's own locks.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises JournalError when another process holds it, OSError where the file cannot be made."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise JournalError(
                f"another process is writing the journal beside {self._path}: stop it, or name another journal"
            ) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the next writer in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_damage(error: sqlite3.Error, path: Path) -> bool:
    """Whether SQLite says that the file itself is wrong, as against a disk that refuses."""
    words = str(error)
    if "unsupported file format" in words or ("readonly" in words and _has_a_foreign_version(path)):
        return True
    code = getattr(error, "sqlite_errorcode", None)  # from Python 3.11 on
    if code is not None:
        return code & 0xFF in (_CORRUPT, _NOT_A_DATABASE)
    if isinstance(error, sqlite3.OperationalError):
        return "malformed" in str(error)
    return any(words in str(error) for words in ("malformed", "not a database", "schema version"))


def _has_a_foreign_version(path: Path) -> bool:
    # A damaged version byte makes SQLite call a file read-only that is not (file format, sections 1.3.3 and 1.3.4).
    try:
        with path.open("rb") as opened:
            versions = opened.read(20)[18:20]
    except OSError:
        return False
    return any(version not in (1, 2) for version in versions)


def set_aside(path: Path) -> Path:
    """Rename the journal with its WAL to the first free `<name>.corrupt-N`; raises OSError."""
    number = 1
    while True:
        aside = path.with_name(f"{path.name}.corrupt-{number}")
        if not any(Path(f"{aside}{companion}").exists() for companion in _COMPANIONS):
            break
        number += 1
    for companion in _COMPANIONS:
        source = Path(f"{path}{companion}")
        if source.exists():
            source.rename(f"{aside}{companion}")
    return aside


@contextmanager
def _open_immutable(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        yield connection
    finally:
        connection.close()


def salvage(path: Path) -> Known | None:
    """What can still be read of a file that cannot be written to or is damaged; its WAL is not looked at."""
    try:
        with _open_immutable(path) as connection:
            return look(connection)
    except (sqlite3.Error, OSError, TypeError, ValueError):
        return None
