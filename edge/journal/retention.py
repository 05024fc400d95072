"""A journal of bounded size: the oldest rows go first, a bounded number at a time.

Frames go by whole segments, and samples, observations and decisions as old as them with them. Switches, events and
clock rows are few and worth more, so they are kept by number. Roll-ups and counters stay: a run's totals remain right.
Freed pages are used again by the next rows; the file is cut only while it is larger than its bound.
"""

from __future__ import annotations

import sqlite3

from edge.journal.rows import JournalSettings
from edge.journal.schema import PAGE_BYTES, SEGMENTS, at_once

_MOST_ROWS_A_ROUND = 10_000
_BYTES_A_ROUND = 6000  # one row a round for each of these that the bound has: about 1 % of the file
_MOST_ROWS_A_PURGE = 200_000
VACUUM_PAGES = 2048
_KEEP_SHARE = 0.98  # how far below its bound a purge goes: few large purges empty whole pages

_SAMPLED = {"sample": "second * 1000000000", "observation": "time_ns", "decision": "time_ns"}
_FRAME_TIME = "start_offset_ns + (SELECT start_ns FROM run WHERE run.id = run_id)"
_TIME = {**_SAMPLED, **dict.fromkeys(SEGMENTS, _FRAME_TIME)}
_BY_NUMBER = {"switch": 50_000, "event": 50_000, "clock": 50_000}
_BYTES_A_ROW = 100  # of the tables above, generously


def tidy(connection: sqlite3.Connection, settings: JournalSettings, current_segment: str) -> None:
    """Delete down to the bound and give surplus pages back; raises sqlite3.Error.

    `current_segment` is the one that new frames go to: emptied only row by row, when nothing older is left.
    """
    bound = settings.max_bytes // PAGE_BYTES
    pages = _pragma(connection, "page_count")
    if too_large(connection, settings):
        _purge(connection, settings, int(bound * _KEEP_SHARE), current_segment)
        pages = _pragma(connection, "page_count")
    free = _pragma(connection, "freelist_count")
    if pages > bound and free:
        # The pragma frees one page a step and answers nothing: execute() would stop after the first.
        connection.executescript(f"PRAGMA incremental_vacuum({min(pages - bound, free, VACUUM_PAGES)})")


def too_large(connection: sqlite3.Connection, settings: JournalSettings) -> bool:
    """Whether rows must go."""
    used = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return used > settings.max_bytes // PAGE_BYTES


def _purge(connection: sqlite3.Connection, settings: JournalSettings, target_pages: int, current_segment: str) -> None:
    _keep_newest(connection, settings)
    rows_a_round = min(_MOST_ROWS_A_ROUND, max(10, settings.max_bytes // _BYTES_A_ROUND))
    for _ in range(_MOST_ROWS_A_PURGE // rows_a_round):
        oldest = _oldest(connection)
        if not oldest:
            return
        table = min(oldest, key=lambda each: oldest[each])
        enough = _pragma(connection, "page_count") - _pragma(connection, "freelist_count") <= target_pages
        if enough and (table in SEGMENTS or not any(segment in oldest for segment in SEGMENTS)):
            return  # else go on until what is older than the oldest frame has followed the frames of its time
        with at_once(connection):
            if table in SEGMENTS and table != current_segment:
                connection.execute(f"DELETE FROM {table}")
            else:
                _drop_rows(connection, table, rows_a_round)


def _oldest(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Run and time of the oldest row of each table that has any."""
    found = {}
    for table, time in _TIME.items():
        row = connection.execute(f"SELECT run_id, {time} FROM {table} ORDER BY id LIMIT 1").fetchone()
        if row is not None:
            found[table] = row
    return found


def _drop_rows(connection: sqlite3.Connection, table: str, most_rows: int) -> None:
    """Drop the oldest rows of a table, and what is as old in the sampled ones."""
    first_rows = f"(SELECT * FROM {{}} ORDER BY id LIMIT {most_rows})"
    horizon = connection.execute(
        f"SELECT run_id, {_TIME[table]} FROM {first_rows.format(table)} ORDER BY id DESC LIMIT 1"
    ).fetchone()
    for name in {**_SAMPLED, table: ""}:
        connection.execute(
            f"DELETE FROM {name} WHERE id <="
            f" (SELECT max(id) FROM {first_rows.format(name)} WHERE (run_id, {_TIME[name]}) <= (?, ?))",
            horizon,
        )


def _keep_newest(connection: sqlite3.Connection, settings: JournalSettings) -> None:
    for table, most in _BY_NUMBER.items():
        keep = min(most, max(100, settings.max_bytes // 10 // _BYTES_A_ROW))
        connection.execute(
            f"DELETE FROM {table} WHERE id <= (SELECT id FROM {table} ORDER BY id DESC LIMIT 1 OFFSET {keep})"
        )
    _forget_empty_runs(connection, settings.keep_empty_runs)


def _forget_empty_runs(connection: sqlite3.Connection, keep: int) -> None:
    """Forget finished runs of which nothing but totals is left, beyond the newest `keep` of them."""
    oldest_row = min((run_id for run_id, _ in _oldest(connection).values()), default=None)
    newest = connection.execute("SELECT max(id) FROM run").fetchone()[0]
    row = connection.execute(
        "SELECT id FROM run WHERE outcome IS NOT NULL AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?",
        (oldest_row if oldest_row is not None else newest or 0, keep),
    ).fetchone()
    if row is None:
        return
    with at_once(connection):
        for table in ("rollup", "switch", "event", "clock"):
            connection.execute(f"DELETE FROM {table} WHERE run_id <= ?", row)
        connection.execute("DELETE FROM run WHERE id <= ?", row)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
