"""A journal of bounded size: the oldest rows go first, a bounded number at a time.

Frames, samples, observations and decisions are dropped by age, up to one instant for all of them. Switches, events and
clock rows are few and worth more, so they are kept by number. Roll-ups and counters stay: a run's totals remain right.
Freed pages are used again by the next rows; the file is cut only while it is larger than its bound.
"""

from __future__ import annotations

import sqlite3

from edge.journal.rows import JournalSettings
from edge.journal.schema import PAGE_BYTES

_MOST_ROWS_A_ROUND = 10_000
_BYTES_A_ROUND = 6000  # one row a round for each of these that the bound has: about 1 % of the file
_MOST_ROWS_A_PURGE = 200_000
VACUUM_PAGES = 2048
_KEEP_SHARE = 0.98  # how far below its bound a purge goes: few large purges empty whole pages

_TIME = {
    "frame_packed": "start_offset_ns + (SELECT start_ns FROM run WHERE run.id = run_id)",
    "sample": "second * 1000000000",
    "observation": "time_ns",
    "decision": "time_ns",
}
_BY_NUMBER = {"switch": 50_000, "event": 50_000, "clock": 50_000}
_BYTES_A_ROW = 100  # of the tables above, generously


def tidy(connection: sqlite3.Connection, settings: JournalSettings) -> None:
    """Delete down to the bound and give surplus pages back; raises sqlite3.Error."""
    bound = settings.max_bytes // PAGE_BYTES
    pages = _pragma(connection, "page_count")
    if pages - _pragma(connection, "freelist_count") > bound:
        _purge(connection, settings, int(bound * _KEEP_SHARE))
        pages = _pragma(connection, "page_count")
    free = _pragma(connection, "freelist_count")
    if pages > bound and free:
        # The pragma frees one page a step and answers nothing: execute() would stop after the first.
        connection.executescript(f"PRAGMA incremental_vacuum({min(pages - bound, free, VACUUM_PAGES)})")


def _purge(connection: sqlite3.Connection, settings: JournalSettings, target_pages: int) -> None:
    _keep_newest(connection, settings)
    rows_a_round = min(_MOST_ROWS_A_ROUND, max(10, settings.max_bytes // _BYTES_A_ROUND))
    for _ in range(_MOST_ROWS_A_PURGE // rows_a_round):
        if not _drop_oldest(connection, rows_a_round):
            return
        if _pragma(connection, "page_count") - _pragma(connection, "freelist_count") <= target_pages:
            return


def _drop_oldest(connection: sqlite3.Connection, most_rows: int) -> bool:
    """Drop a round of the oldest rows; False when there are none."""
    oldest = []
    for table, time in _TIME.items():
        row = connection.execute(f"SELECT run_id, {time} FROM {table} ORDER BY id LIMIT 1").fetchone()
        if row is not None:
            oldest.append((row, table))
    if not oldest:
        return False
    _, table = min(oldest)
    horizon = connection.execute(
        f"SELECT run_id, {_TIME[table]} FROM"
        f" (SELECT * FROM {table} ORDER BY id LIMIT {most_rows}) ORDER BY id DESC LIMIT 1"
    ).fetchone()
    connection.execute("BEGIN IMMEDIATE")
    try:
        for name, time in _TIME.items():
            connection.execute(
                f"DELETE FROM {name} WHERE id <= (SELECT max(id) FROM"
                f" (SELECT * FROM {name} ORDER BY id LIMIT {most_rows}) WHERE (run_id, {time}) <= (?, ?))",
                horizon,
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return True


def _keep_newest(connection: sqlite3.Connection, settings: JournalSettings) -> None:
    for table, most in _BY_NUMBER.items():
        keep = min(most, max(100, settings.max_bytes // 10 // _BYTES_A_ROW))
        connection.execute(
            f"DELETE FROM {table} WHERE id <= (SELECT id FROM {table} ORDER BY id DESC LIMIT 1 OFFSET {keep})"
        )
    _forget_empty_runs(connection, settings.keep_empty_runs)


def _forget_empty_runs(connection: sqlite3.Connection, keep: int) -> None:
    """Forget finished runs of which nothing but totals is left, beyond the newest `keep` of them."""
    oldest_row = min(
        (row[0] for table in _TIME for row in connection.execute(f"SELECT run_id FROM {table} ORDER BY id LIMIT 1")),
        default=None,
    )
    newest = connection.execute("SELECT max(id) FROM run").fetchone()[0]
    row = connection.execute(
        "SELECT id FROM run WHERE outcome IS NOT NULL AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?",
        (oldest_row if oldest_row is not None else newest or 0, keep),
    ).fetchone()
    if row is None:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table, column in (("rollup", "run_id"), ("switch", "run_id"), ("event", "run_id"), ("clock", "run_id")):
            connection.execute(f"DELETE FROM {table} WHERE {column} <= ?", row)
        connection.execute("DELETE FROM run WHERE id <= ?", row)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
