"""What a power cut left on a disk: the file system is repaired on a copy, and the journal taken out and read here."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.lab.tools import checked, require_tools

DISK_MIB = 96
# A commit takes its own time, and an emulated one on a busy machine takes long; a board's is some milliseconds.
COMMIT_S = 3.0
# e2fsck: 0 nothing to do, 1 repaired. Anything more is damage.
REPAIRED = 1


@dataclass(frozen=True)
class Remains:
    """The journal after a cut: SQLite's verdict, the newest frame's id, the ids' count, what e2fsck returned."""

    integrity: str
    newest: int
    frames: int
    repair: int


def make_disk(path: Path) -> Path:
    """An empty ext4 disk for the journal."""
    require_tools(["mke2fs"])
    checked(["mke2fs", "-q", "-t", "ext4", path, f"{DISK_MIB}M"])
    return path


def examine(disk: Path, folder: Path) -> Remains:
    """Look at a copy, so that the guest's own kernel and our own start meet the disk as the cut left it."""
    require_tools(["e2fsck", "debugfs"])
    copy = folder / "copy.img"
    checked(["cp", "--sparse=always", disk, copy])
    repaired = subprocess.run(["/sbin/e2fsck", "-fy", copy], capture_output=True, text=True)
    journal = folder / "journal.db"
    for suffix in ("", "-wal"):
        place = journal.with_name(journal.name + suffix)
        place.unlink(missing_ok=True)
        checked(["debugfs", "-R", f"dump /journal.db{suffix} {place}", copy])
    journal.with_name(journal.name + "-shm").unlink(missing_ok=True)
    with closing(sqlite3.connect(journal)) as connection:
        verdict = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
        newest, frames = connection.execute("SELECT coalesce(max(id), 0), count(*) FROM frame").fetchone()
    return Remains(verdict, newest, frames, repaired.returncode)
