"""The tables of a journal, and how one is opened.

Frames are stored with their start as an offset from the run's start and their end as a duration, which take half the
bytes, in a ring of tables `frame_0` .. `frame_31`. The oldest of them is emptied whole: in WAL mode a row's delete
writes its page to the disk, twice, while emptying a table only forgets its pages. The view `frame` shows all of them as
one, on the monotonic clock. Ids grow with time; `run.first_frame_id` finds a run's frames without an index.

Durability: WAL with synchronous=FULL, so that what a commit has written survives a power cut; what a cut may lose is
what came after the last commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.journal.errors import JournalError

VERSION = 3
APPLICATION_ID = 0x4A4F554C  # "JOUL"
# A commit rewrites the last page of each table it adds to: smaller pages write a fifth less a day than 4096 bytes.
PAGE_BYTES = 2048
CHECKPOINT_PAGES = 2000
_REUSED_SINCE = 2  # version 1 knew no reused frames
LATE_SINCE = 3  # before, roll-ups never lacked the newest frames (edge/journal/late.py)
SEGMENTS = tuple(f"frame_{number}" for number in range(32))

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE run (
    id INTEGER PRIMARY KEY, started_utc_ns INTEGER NOT NULL, start_ns INTEGER NOT NULL,
    ended_ns INTEGER, ended_utc_ns INTEGER, outcome TEXT,
    board TEXT NOT NULL, bundle TEXT NOT NULL, config TEXT NOT NULL, rails_included TEXT NOT NULL,
    energy_uj INTEGER, first_frame_id INTEGER);
CREATE TABLE variant (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, precision TEXT NOT NULL, engine TEXT NOT NULL);
CREATE TABLE channel (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, quantity TEXT NOT NULL, unit TEXT NOT NULL, scale REAL NOT NULL,
    method INTEGER NOT NULL);
CREATE TABLE sample (
    id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, second INTEGER NOT NULL, channel_id INTEGER NOT NULL,
    mean INTEGER NOT NULL, min INTEGER NOT NULL, max INTEGER NOT NULL);
CREATE TABLE raw_sample (
    slot INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, time_ns INTEGER NOT NULL, channel_id INTEGER NOT NULL,
    value INTEGER NOT NULL);
CREATE TABLE observation (
    id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, time_ns INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE decision (
    id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, time_ns INTEGER NOT NULL, observation_id INTEGER,
    variant_id INTEGER NOT NULL, reason TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE clock (
    id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, monotonic_ns INTEGER NOT NULL, utc_ns INTEGER NOT NULL,
    synchronised INTEGER);
CREATE TABLE switch (
    id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, time_ns INTEGER NOT NULL, from_id INTEGER,
    to_id INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, cost_us INTEGER);
CREATE TABLE event (
    id INTEGER PRIMARY KEY, run_id INTEGER, time_ns INTEGER NOT NULL, level INTEGER NOT NULL, kind TEXT NOT NULL,
    message TEXT NOT NULL);
CREATE TABLE rollup (
    run_id INTEGER NOT NULL, variant_id INTEGER NOT NULL, method INTEGER NOT NULL, quantity TEXT NOT NULL,
    count INTEGER NOT NULL, sum INTEGER NOT NULL, min INTEGER, max INTEGER, histogram BLOB,
    PRIMARY KEY (run_id, variant_id, method, quantity)) WITHOUT ROWID;
"""
_SEGMENT = """
CREATE TABLE {name} (
    id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, sequence INTEGER NOT NULL,
    start_offset_ns INTEGER NOT NULL, duration_ns INTEGER NOT NULL, variant_id INTEGER NOT NULL,
    skipped INTEGER NOT NULL, age_us INTEGER NOT NULL, prepare_us INTEGER NOT NULL, infer_us INTEGER NOT NULL,
    finish_us INTEGER NOT NULL, energy_uj INTEGER, infer_energy_uj INTEGER, uncertainty_uj INTEGER,
    samples INTEGER NOT NULL, method INTEGER NOT NULL, miou_ppm INTEGER, reused INTEGER NOT NULL DEFAULT 0)
"""


def select_frames(source: str, version: int = VERSION) -> str:
    """The query that shows a segment's rows as frames, of a journal of that schema version."""
    reused = "f.reused" if version >= _REUSED_SINCE else "0 AS reused"
    return (
        "SELECT f.id, f.run_id, f.sequence, r.start_ns + f.start_offset_ns AS start_ns,"
        " r.start_ns + f.start_offset_ns + f.duration_ns AS end_ns, f.variant_id, f.skipped, f.age_us, f.prepare_us,"
        " f.infer_us, f.finish_us, f.energy_uj, f.infer_energy_uj, f.uncertainty_uj, f.samples, f.method, f.miou_ppm,"
        f" {reused} FROM {source} f JOIN run r ON r.id = f.run_id"
    )


def connect(path: Path) -> sqlite3.Connection:
    """A writing connection to a journal, made if it is not there; one thread at a time may use it.

    Raises JournalError for a file that is somebody else's database or a newer Joulepath's, sqlite3.DatabaseError for
    one that is damaged, and sqlite3.OperationalError or OSError where the disk refuses.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables:
            _update(connection, require_journal(connection, path))
        else:
            _create(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # Debian's SQLite overwrites what it deletes, which would write every purged page to the card once more.
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={2 * CHECKPOINT_PAGES * PAGE_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def require_journal(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version; raises JournalError unless the database is a journal that this version understands."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise JournalError(f"{path} is a SQLite database, but not a Joulepath journal: name another file")
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("the journal does not say its schema version")
    if row[0] > VERSION:
        raise JournalError(
            f"{path} was written by a newer Joulepath (journal schema {row[0]}, this version knows {VERSION}): "
            "update Joulepath, or name another file"
        )
    return int(row[0])


def _update(connection: sqlite3.Connection, version: int) -> None:
    """Bring an older journal's tables up to this version. No row is rewritten: SQLite keeps a new column's default in
    the table's definition."""
    if version >= VERSION:
        return
    with at_once(connection):
        if version < _REUSED_SINCE:
            for name in SEGMENTS:
                connection.execute(f"ALTER TABLE {name} ADD COLUMN reused INTEGER NOT NULL DEFAULT 0")
            connection.execute("DROP VIEW frame")
            _create_view(connection)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (VERSION,))


def _create_view(connection: sqlite3.Connection) -> None:
    connection.execute(f"CREATE VIEW frame AS {' UNION ALL '.join(map(select_frames, SEGMENTS))}")


@contextmanager
def at_once(connection: sqlite3.Connection) -> Iterator[None]:
    """All that happens inside, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("VACUUM")  # makes both settings hold even where an earlier start got as far as a header
    with at_once(connection):
        for statement in _TABLES.split(";"):
            if statement.strip():
                connection.execute(statement)
        for name in SEGMENTS:
            connection.execute(_SEGMENT.format(name=name))
        _create_view(connection)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (VERSION,))
