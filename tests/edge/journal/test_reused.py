"""Frames that were answered with an earlier answer: counted, their energy too, and no part of any latency."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from edge.journal import JournalReader
from edge.journal.schema import SEGMENTS, VERSION
from edge.journal.summary import summarise
from edge.journal.tables import render
from tests.edge.journal.made import frames, open_journal


def _older(path: Path) -> None:
    """Make the journal what version 1 of the schema wrote: the same tables without the column."""
    with closing(sqlite3.connect(path)) as connection:
        shown = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'frame'").fetchone()[0]
        connection.execute("DROP VIEW frame")
        for name in SEGMENTS:
            connection.execute(f"ALTER TABLE {name} DROP COLUMN reused")
        connection.execute(shown.replace(", f.reused", ""))
        connection.execute("UPDATE meta SET value = 1 WHERE key = 'schema_version'")
        connection.commit()


def _write(path: Path, reused: tuple[int, ...] = ()) -> None:
    with open_journal(path) as journal:
        journal.register_variant("full", "p", "float16", "litert")
        journal.start_run("simulated", "b@1", "{}", ())
        for row in frames(10):
            kept = {"reused": 1, "infer_us": 0} if row.sequence in reused else {}
            journal.append_frame(row._replace(**kept))


def test_they_are_counted_and_leave_latencies_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    _write(path, reused=(3, 4, 8))
    with JournalReader(path) as reader:
        rows = list(reader.frames())
        summary = summarise(reader, reader.run())
    assert [row.sequence for row in rows if row.reused] == [3, 4, 8]
    assert (summary.frames, summary.reused, summary.variants[0].reused) == (10, 3, 3)
    inferred = [row.infer_us / 1e3 for row in rows if not row.reused]
    assert summary.infer_ms is not None
    assert summary.infer_ms.min == min(inferred)
    assert summary.infer_ms.mean == pytest.approx(sum(inferred) / 7)
    assert summary.energy_j["modelled"] == pytest.approx(sum(row.energy_uj or 0 for row in rows) / 1e6)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render(summary))
    assert "3 (30%) showed nothing new" in console.export_text()


def test_a_journal_of_the_first_schema_is_read_as_it_is_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    _write(path)
    with JournalReader(path) as reader:
        before = list(reader.frames())
    _older(path)
    with JournalReader(path) as reader:
        assert list(reader.frames()) == before
        assert summarise(reader, reader.run()).reused == 0
    _write(path, reused=(0,))
    with JournalReader(path) as reader:
        rows = list(reader.frames())
        assert rows[:10] == before
        assert [row.reused for row in rows[10:]] == [1] + [0] * 9
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone() == (VERSION,)
        assert connection.execute("SELECT sum(reused) FROM frame").fetchone() == (1,)
