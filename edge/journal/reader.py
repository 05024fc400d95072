"""Reading a journal, live or at rest, without holding the writer up."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from boards.board import Quantity
from boards.sensor import Method
from edge.journal.clock import UtcMap
from edge.journal.errors import JournalError
from edge.journal.late import totals_behind
from edge.journal.rollup import QUANTITIES, Key, RollUps, Tally
from edge.journal.rows import (
    ChannelRow,
    ClockRow,
    EventRow,
    RunRow,
    SampleRow,
    StoredFrame,
    SwitchRow,
    VariantRow,
)
from edge.journal.schema import LATE_SINCE, SEGMENTS, require_journal, select_frames
from edge.journal.store import energy_totals, tally_of

_PAGE_ROWS = 10_000
_RUN_COLUMNS = ", ".join(RunRow._fields)


class JournalReader:
    """A journal open for reading; use it from one thread, as a context manager.

    Long tables are read in pages by id, each in a read of its own, so that a slow reader neither takes memory nor keeps
    the writer from reusing its WAL. Raises JournalError when the file is missing, damaged, or no journal.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._connection = connect_for_reading(self.path)

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def runs(self) -> list[RunRow]:
        """All runs, oldest first."""
        rows = self.query(f"SELECT {_RUN_COLUMNS} FROM run ORDER BY id")
        return [
            row._replace(rails_included=tuple(json.loads(str(row.rails_included)))) for row in map(RunRow._make, rows)
        ]

    def run(self, run_id: int | None = None) -> RunRow:
        """One run, the last one by default; raises JournalError when there is none of that number."""
        runs = self.runs()
        if not runs:
            raise JournalError(f"{self.path} has no run yet")
        if run_id is None:
            return runs[-1]
        for row in runs:
            if row.id == run_id:
                return row
        raise JournalError(f"{self.path} has no run {run_id}; it has runs {runs[0].id} to {runs[-1].id}")

    def variants(self) -> dict[int, VariantRow]:
        """Every variant that ever ran, by number."""
        return {row[0]: VariantRow(*row) for row in self.query("SELECT * FROM variant")}

    def channels(self) -> dict[int, ChannelRow]:
        """Every channel that was ever sampled, by number."""
        return {
            row[0]: ChannelRow(row[0], row[1], Quantity(row[2]), row[3], row[4], Method(row[5]))
            for row in self.query("SELECT * FROM channel")
        }

    def frames(self, run_id: int | None = None) -> Iterator[StoredFrame]:
        """Frames in order of time, of one run or of all, in constant memory."""
        for page in self.frame_pages(run_id):
            yield from map(StoredFrame._make, page)

    def frame_pages(self, run_id: int | None = None) -> Iterator[list[tuple[Any, ...]]]:
        """The same as lists of plain tuples in the order of StoredFrame's fields, up to 10,000 at a time."""
        first, last = self.frame_range(run_id)
        for segment in self._segments():
            query = f"{select_frames(segment, self._version())} WHERE f.id > ? AND f.id <= ? ORDER BY f.id LIMIT ?"
            yield from self.pages(query, first, last)

    def pages(self, query: str, first: int, last: int) -> Iterator[list[tuple[Any, ...]]]:
        """Run `query` with the parameters (after this id, up to this id, rows at most) until nothing is left.

        The first column is the id. `first` itself is left out, `last` is included.
        """
        while True:
            page = self.query(query, (first, last, _PAGE_ROWS))
            if page:
                yield page
            if len(page) < _PAGE_ROWS:
                return
            first = page[-1][0]

    def samples(self, run_id: int, channel_id: int | None = None) -> Iterator[SampleRow]:
        """Sampled rows of a run in order of time, of one channel or of all."""
        for page in self.sample_pages(run_id):
            for row in page:
                if channel_id is None or row[3] == channel_id:
                    yield SampleRow(*row[1:])

    def sample_pages(self, run_id: int) -> Iterator[list[tuple[int, ...]]]:
        """The same as lists of plain tuples, the id and then SampleRow's fields, up to 10,000 at a time."""
        query = (
            "SELECT id, run_id, second, channel_id, mean, min, max FROM sample"
            f" WHERE id > ? AND id <= ? AND run_id = {int(run_id)} ORDER BY id LIMIT ?"
        )
        return self.pages(query, 0, self.last_id("sample"))

    def switches(self, run_id: int) -> list[SwitchRow]:
        """Switches of a run in order of time."""
        fields = ", ".join(SwitchRow._fields)
        return [SwitchRow(*row) for row in self.query(f"SELECT {fields} FROM switch WHERE run_id = ?", (run_id,))]

    def events(self, run_id: int | None = None) -> list[EventRow]:
        """Events of a run, or all of them, in the order in which they were noted."""
        query = f"SELECT {', '.join(EventRow._fields)} FROM event"
        if run_id is None:
            return [EventRow(*row) for row in self.query(f"{query} ORDER BY id")]
        return [EventRow(*row) for row in self.query(f"{query} WHERE run_id = ? ORDER BY id", (run_id,))]

    def clock(self, run_id: int) -> UtcMap:
        """From a run's monotonic time to UTC."""
        rows = self.query(
            "SELECT run_id, monotonic_ns, utc_ns, synchronised FROM clock WHERE run_id = ? ORDER BY id", (run_id,)
        )
        return UtcMap([ClockRow(run, mono, utc, None if sync is None else bool(sync)) for run, mono, utc, sync in rows])

    def observations(self, run_id: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """What the controller saw: (id, time_ns, body), in order."""
        query = (
            f"SELECT id, time_ns, body FROM observation WHERE id > ? AND id <= ? AND run_id = {int(run_id)}"
            " ORDER BY id LIMIT ?"
        )
        for page in self.pages(query, 0, self.last_id("observation")):
            for number, time_ns, body in page:
                yield number, time_ns, json.loads(body)

    def decisions(self, run_id: int) -> Iterator[tuple[int, int | None, int, str, dict[str, Any]]]:
        """What it decided: (time_ns, observation_id, variant_id, reason, body), in order."""
        query = (
            "SELECT id, time_ns, observation_id, variant_id, reason, body FROM decision"
            f" WHERE id > ? AND id <= ? AND run_id = {int(run_id)} ORDER BY id LIMIT ?"
        )
        for page in self.pages(query, 0, self.last_id("decision")):
            for _, time_ns, observation_id, variant_id, reason, body in page:
                yield time_ns, observation_id, variant_id, reason, json.loads(body)

    def rollups(self, run_id: int | None = None) -> RollUps:
        """Totals by run, variant and method, over every frame that ever came in."""
        where, parameters = ("", ()) if run_id is None else (" WHERE run_id = ?", (run_id,))
        found = RollUps()
        with self._at_one_instant():
            for run, variant, method, name, *values in self.query(f"SELECT * FROM rollup{where}", parameters):
                totals = found.setdefault(Key(run, variant, method), {known: Tally() for known in QUANTITIES})
                totals[name] = tally_of(*values)
            for key, totals in self._late(run_id).items():
                found.add(key, totals)
        return found

    def _late(self, run_id: int | None) -> RollUps:
        rolled = self.query("SELECT value FROM meta WHERE key = 'rolled_frame_id'")
        if not rolled or rolled[0][0] >= self._last_frame_id() or self._version() < LATE_SINCE:
            return RollUps()
        try:
            return totals_behind(self._connection, rolled[0][0], run_id)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    @contextmanager
    def _at_one_instant(self) -> Iterator[None]:
        """All reads inside see the same commit."""
        self.query("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def total_energy_uj(self) -> dict[Method, int]:
        """Energy of all frames ever, by method: retention and restarts do not touch it."""
        return energy_totals(dict(self.query("SELECT key, value FROM meta")))

    def _version(self) -> int:
        return int(self.query("SELECT value FROM meta WHERE key = 'schema_version'")[0][0])

    def _segments(self) -> list[str]:
        """The tables that hold frames, oldest first."""
        firsts = [(self.query(f"SELECT min(id) FROM {name}")[0][0], name) for name in SEGMENTS]
        return [name for first, name in sorted(each for each in firsts if each[0] is not None)]

    def _last_frame_id(self) -> int:
        rows = self.query("SELECT value FROM meta WHERE key = 'next_frame_id'")
        return int(rows[0][0]) - 1 if rows else 0

    def last_id(self, table: str) -> int:
        """The greatest id in a table, 0 when it is empty."""
        return int(self.query(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0])

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; raises JournalError."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> JournalError:
        return JournalError(f"{self.path} cannot be read ({error}); is it a whole journal?")

    def frame_range(self, run_id: int | None) -> tuple[int, int]:
        """The ids of a run's frames lie above the first number and up to the second; older ones may be gone."""
        last = self._last_frame_id()
        if run_id is None:
            return 0, last
        first = self.run(run_id).first_frame_id
        if first is None:
            return last, last
        after = self.query("SELECT min(first_frame_id) FROM run WHERE first_frame_id > ?", (first,))[0][0]
        return first - 1, last if after is None else after - 1


def connect_for_reading(path: Path) -> sqlite3.Connection:
    _require_file(path)
    wal = Path(f"{path}-wal")
    failure: sqlite3.Error | None = None
    for options in ("mode=ro", "mode=ro&immutable=1"):
        connection = None
        try:
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=5.0)
            require_journal(connection, path)
            return connection
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            failure = error
            if wal.exists() and wal.stat().st_size:
                break  # read without its WAL, a journal would look older than it is
        except JournalError:
            assert connection is not None
            connection.close()
            raise
    raise JournalError(f"{path} cannot be read as a journal ({failure})") from failure


def _require_file(path: Path) -> None:
    try:
        found = path.is_file()
        allowed = found and os.access(path, os.R_OK)
    except PermissionError:
        found, allowed = True, False
    if not found:
        raise JournalError(f"there is no journal at {path}: name it with --journal")
    if not allowed:
        raise JournalError(
            f"{path} may not be read by this user; the service's journal is for the group joulepath "
            "(sudo usermod -aG joulepath USER, then log in anew)"
        )
