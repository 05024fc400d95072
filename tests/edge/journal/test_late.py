"""Roll-ups on the disk are some commits behind; nobody who reads a journal sees that."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from edge.journal import JournalReader
from tests.edge.journal.made import FakeClock, frames, open_journal
from tests.edge.journal.scan import assert_equal, gather

COMMITS = 14


def _on_disk(path: Path, run_id: int = 1) -> int:
    """Frames of a run that the roll-up tables know."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT coalesce(sum(count), 0) FROM rollup WHERE quantity = 'duration_ns' AND run_id = ?"
        return int(connection.execute(query, (run_id,)).fetchone()[0])


def _cut(path: Path, to: Path) -> Path:
    """What a machine finds that lost power now."""
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{to}{suffix}")
    return to


def test_roll_ups_are_written_with_each_tenth_commit_and_read_whole_after_each(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    known = []
    with open_journal(path) as journal:
        run_id = journal.start_run("b", "b")
        for number in range(COMMITS):
            journal.append_frames(frames(10, variant_id=1 + number % 3, first=10 * number))
            assert journal.flush()
            known.append(_on_disk(path))
            with JournalReader(path) as reader:
                stored = list(reader.frames())
                assert len(stored) == 10 * (number + 1)
                for rollups in (reader.rollups(), reader.rollups(run_id)):
                    assert_equal(rollups, gather((run_id, frame) for frame in stored))
                assert reader.rollups(run_id + 1) == {}
    assert known == [10] * 10 + [110] * 4  # with the first commit and the eleventh
    assert _on_disk(path) == 10 * COMMITS  # and at the run's end


def test_what_a_cut_left_out_of_the_roll_ups_is_added_by_the_next_writer(tmp_path: Path) -> None:
    rows = [frames(10, variant_id=1 + number % 2, first=10 * number) for number in range(COMMITS)]
    with open_journal(tmp_path / "j.db") as journal:
        journal.start_run("b", "b")
        for some in rows:
            journal.append_frames(some)
            assert journal.flush()
        cut = _cut(tmp_path / "j.db", tmp_path / "cut.db")
    assert _on_disk(cut) < 10 * COMMITS
    with open_journal(cut, FakeClock(10**12)) as journal:
        assert _on_disk(cut) == 10 * COMMITS
        other = journal.start_run("b", "b")
        journal.append_frames(frames(5))
    everything = [(1, row) for some in rows for row in some]
    with JournalReader(cut) as reader:
        assert reader.run(1).outcome == "interrupted"
        assert reader.run(1).energy_uj == sum(row.energy_uj or 0 for _, row in everything)
        assert_equal(reader.rollups(), gather([*everything, *((other, row) for row in frames(5))]))


def test_rows_that_a_small_journal_forgets_are_in_its_roll_ups(tmp_path: Path) -> None:
    everything = []
    with open_journal(tmp_path / "j.db", max_bytes=300_000) as journal:
        run_id = journal.start_run("b", "b")
        for number in range(60):
            rows = frames(150, first=150 * number)
            everything += rows
            journal.append_frames(rows)
            assert journal.flush()
        with JournalReader(tmp_path / "j.db") as reader:
            assert 0 < sum(1 for _ in reader.frames()) < len(everything) / 2
            assert_equal(reader.rollups(), gather((run_id, row) for row in everything))


def test_a_journal_of_the_second_schema_has_whole_roll_ups(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with open_journal(path) as journal:
        journal.start_run("b", "b")
        journal.append_frames(frames(20))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM meta WHERE key = 'rolled_frame_id'")
        connection.execute("UPDATE meta SET value = 2 WHERE key = 'schema_version'")
        connection.commit()
    expected = gather((1, row) for row in frames(20))
    with JournalReader(path) as reader:
        assert_equal(reader.rollups(), expected)
    with open_journal(path) as journal:
        journal.flush()
    with JournalReader(path) as reader:
        assert_equal(reader.rollups(), expected)
        assert reader.query("SELECT value FROM meta WHERE key = 'schema_version'") == [(3,)]
