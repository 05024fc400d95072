"""Room in the write-ahead log: it is there before it is needed, and what is not used of it is never read as rows."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.journal import Journal, JournalReader
from edge.journal.reserve import reserve_log
from edge.journal.schema import CHECKPOINT_PAGES, PAGE_BYTES
from tests.edge.journal.made import FakeClock, frames, open_journal

ROOM_BYTES = 32 + (CHECKPOINT_PAGES + 150) * (24 + PAGE_BYTES)


def _filled(path: Path, commits: int) -> Journal:
    """A journal in the middle of its work: open, with everything committed."""
    clock = FakeClock()
    journal = open_journal(path, clock)
    journal.start_run("board", "bundle")
    for number in range(commits):
        journal.append_frames(frames(10, first=10 * number))
        clock.advance(0.1)
        journal.flush()
    return journal


def _after_a_cut(path: Path, to: Path, log_bytes: int | None = None) -> int:
    """How many frames a machine finds that lost power now, with only so much of the log on its disk."""
    to.mkdir(parents=True)
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{to / path.name}{suffix}")
    if log_bytes is not None:
        with open(f"{to / path.name}-wal", "r+b") as log:
            log.truncate(log_bytes)
    with open_journal(to / path.name) as journal:
        journal.flush()
    with closing(sqlite3.connect(to / path.name)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    with JournalReader(to / path.name) as reader:
        return sum(1 for _ in reader.frames(1))


def test_the_log_takes_its_room_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    log = Path(f"{path}-wal")
    with _filled(path, 2):
        assert log.stat().st_size < ROOM_BYTES / 10
    other = tmp_path / "longer.db"
    with _filled(other, 12):
        assert Path(f"{other}-wal").stat().st_size == ROOM_BYTES
        assert reserve_log(other, CHECKPOINT_PAGES + 150, PAGE_BYTES) == 0
    assert reserve_log(tmp_path / "none.db", 10, PAGE_BYTES) == 0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.integers(5, 20))
def test_every_commit_is_found_behind_a_log_with_room(lost_bytes: int, commits: int) -> None:
    with tempfile.TemporaryDirectory() as folder, _filled(Path(folder) / "journal.db", commits) as journal:
        assert _after_a_cut(journal.path, Path(folder) / "whole") == 10 * commits
        # Zeros that never reached the disk are no loss.
        assert _after_a_cut(journal.path, Path(folder) / "shorter", ROOM_BYTES - lost_bytes) == 10 * commits


def test_the_log_starts_over_within_its_room(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    clock = FakeClock()
    with open_journal(path, clock) as journal:
        journal.start_run("board", "bundle")
        for number in range(60):
            journal.append_frames(frames(4000, first=4000 * number))
            clock.advance(400)
            journal.flush()
            assert Path(f"{path}-wal").stat().st_size <= ROOM_BYTES
    with JournalReader(path) as reader:
        assert sum(1 for _ in reader.frames(1)) == 240_000
