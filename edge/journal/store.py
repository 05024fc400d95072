"""The open database of a journal: one commit writes a batch and every total that follows from it, or nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from boards.sensor import Method
from edge.journal import retention, sketch
from edge.journal.batch import DEFINITIONS, Batch
from edge.journal.late import totals_behind
from edge.journal.reserve import reserve_log
from edge.journal.rollup import QUANTITIES, FrameColumns, Key, RollUps, Tally, Totals, good_rows
from edge.journal.rows import FrameRow, JournalSettings
from edge.journal.schema import CHECKPOINT_PAGES, PAGE_BYTES, SEGMENTS, at_once, connect

_INSERTS = {
    # A run, variant or channel is written again into the fresh file that replaces a damaged one; elsewhere it is there.
    "run": "INSERT OR IGNORE INTO run (id, started_utc_ns, start_ns, board, bundle, config, rails_included)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)",
    "variant": "INSERT OR IGNORE INTO variant VALUES (?, ?, ?, ?, ?)",
    "channel": "INSERT OR IGNORE INTO channel VALUES (?, ?, ?, ?, ?, ?)",
    "sample": "INSERT INTO sample VALUES (NULL, ?, ?, ?, ?, ?, ?)",
    "raw_sample": "INSERT OR REPLACE INTO raw_sample VALUES (?, ?, ?, ?, ?)",
    "observation": "INSERT INTO observation VALUES (?, ?, ?, ?)",
    "decision": "INSERT INTO decision VALUES (NULL, ?, ?, ?, ?, ?, ?)",
    "clock": "INSERT INTO clock VALUES (NULL, ?, ?, ?, ?)",
    "switch": "INSERT INTO switch VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
    "event": "INSERT INTO event VALUES (NULL, ?, ?, ?, ?, ?)",
}
_END_RUN = (
    "UPDATE run SET ended_ns = ?, ended_utc_ns = ?, outcome = ?,"
    " energy_uj = (SELECT sum(sum) FROM rollup WHERE run_id = run.id AND quantity = 'energy_uj' AND count > 0)"
    " WHERE id = ?"
)
_ABANDONED = (
    "UPDATE run SET outcome = 'interrupted',"
    " energy_uj = (SELECT sum(sum) FROM rollup WHERE run_id = run.id AND quantity = 'energy_uj' AND count > 0)"
    " WHERE outcome IS NULL"
)
_INSERT_FRAME = f"INSERT INTO {{}} VALUES ({', '.join('?' * 18)})"
_BYTES_A_FRAME = 64  # generously: how many rows fill one segment's share of the bound
_LEAST_SEGMENT_ROWS = 100
_ROLL_UP_COMMITS = 10  # edge/journal/late.py
_RESERVE_AFTER_COMMITS = 4  # a daemon that starts and ends again and again shall not write this each time
_LOG_SPARE_PAGES = 150  # what a minute of 60 frames a second adds to a log that is just short of being started over
_TOTALS: dict[Method, str] = {
    method: f"energy_uj_{method.name.lower()}" for method in Method if method != Method.UNAVAILABLE
}
Clock = Callable[[], int]


@dataclass
class Known:
    """What a writer must know of a journal before it adds to it. Totals are by name, over all runs ever."""

    last_run_id: int = 0
    last_observation_id: int = 0
    next_frame_id: int = 1
    rolled_frame_id: int = 0  # the last frame that the roll-ups on the disk know
    segment: int = 0
    segment_first_id: int = 1
    raw_slot: int = 0
    variants: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    channels: dict[tuple[str, str, int], int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Known:
        """One that can change without the other."""
        return replace(self, variants=dict(self.variants), channels=dict(self.channels), totals=dict(self.totals))


def look(connection: sqlite3.Connection) -> Known:
    """Read what is known; raises sqlite3.Error, and ValueError where a damaged file answers nonsense."""
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if not all(isinstance(value, int) for value in meta.values()):
        raise ValueError("meta holds something else than numbers")
    one = connection.execute
    next_frame_id = meta.get("next_frame_id", 1)
    return Known(
        last_run_id=max(one("SELECT coalesce(max(id), 0) FROM run").fetchone()[0], meta.get("last_run_id", 0)),
        last_observation_id=meta.get("last_observation_id", 0),
        next_frame_id=next_frame_id,
        rolled_frame_id=meta.get("rolled_frame_id", next_frame_id - 1),  # before schema 3: all of them
        segment=meta.get("segment", 0) % len(SEGMENTS),
        segment_first_id=meta.get("segment_first_id", 1),
        raw_slot=meta.get("raw_slot", 0),
        variants={(row[1], row[2], row[3], row[4]): row[0] for row in one("SELECT * FROM variant")},
        channels={(row[0], row[1], row[2]): row[3] for row in one("SELECT name, quantity, method, id FROM channel")},
        totals={name: value for name, value in meta.items() if name.startswith(("energy_uj_", "frames_"))},
    )


class Store:
    """One writing connection. Every method may raise sqlite3.Error and leaves the database as it was then."""

    def __init__(self, path: Path, settings: JournalSettings) -> None:
        self.path = path
        self._settings = settings
        self._connection = connect(path)
        self._rollups = RollUps()
        self._behind: set[Key] = set()  # of the roll-ups, those that the disk has as they were some commits ago
        self._runs_with_frames: set[int] = set()
        self._commits = 0
        try:
            self.known = look(self._connection)
            self._catch_up()
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Read the whole file, end the runs that a crash left open; raises sqlite3.DatabaseError on damage."""
        verdict = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"malformed: {verdict}")
        self._connection.execute(_ABANDONED)

    def interrupt(self) -> None:
        """End a check that is under way, from another thread: it raises sqlite3.OperationalError."""
        self._connection.interrupt()

    def carry_over(self, totals: dict[str, int], rollups: RollUps) -> None:
        """Go on counting where a damaged file stopped."""
        self.known.totals = dict(totals)
        self._rollups = RollUps(rollups)
        self._write_rollups(rollups)

    @property
    def rollups(self) -> RollUps:
        """The totals of the present run as committed."""
        return self._rollups

    def commit(self, batch: Batch) -> int:
        """Write a batch; returns how many frames were dropped because they cannot be stored."""
        frames, dropped = _columns(batch)
        touched = RollUps(batch.folded)
        for run_id, columns in frames:
            for key, totals in columns.totals(run_id):
                touched.add(key, totals)
        merged = self._merged(touched)
        meta = self._meta(touched, frames, batch)
        behind = self._behind | merged.keys()
        if self._commits % _ROLL_UP_COMMITS == 0 or batch.folded or batch.rows.get("run_end"):
            behind, written = set(), RollUps({key: merged.get(key) or self._rollups[key] for key in behind})
            meta["rolled_frame_id"] = meta["next_frame_id"] - 1
        else:
            written = RollUps()
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for table in (*DEFINITIONS, *batch.rows.keys() - {*DEFINITIONS, "run_end"}):
                connection.executemany(_INSERTS[table], batch.rows.get(table, ()))
            next_id = self.known.next_frame_id
            if meta["segment"] != self.known.segment:
                connection.execute(f"DELETE FROM {SEGMENTS[meta['segment']]}")
            for run_id, columns in frames:
                self._insert_frames(run_id, columns, next_id, SEGMENTS[meta["segment"]])
                next_id += columns.rows
            self._write_rollups(written)
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
            connection.executemany(_END_RUN, batch.rows.get("run_end", ()))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._behind = behind
        self._committed(merged, frames, next_id, meta)
        self._commits += 1
        if self._commits == _RESERVE_AFTER_COMMITS:
            # A disk without room for that goes on as it is.
            with contextlib.suppress(OSError):
                reserve_log(self.path, CHECKPOINT_PAGES + _LOG_SPARE_PAGES, PAGE_BYTES)
        return dropped

    def tidy(self) -> None:
        """Keep the file within its bound."""
        if retention.too_large(self._connection, self._settings):
            self._roll_up()  # what is deleted now must be in the totals
        retention.tidy(self._connection, self._settings, SEGMENTS[self.known.segment])

    def _catch_up(self) -> None:
        """Roll-ups of the frames that the last writer's end left without."""
        if self.known.rolled_frame_id < self.known.next_frame_id - 1:
            self._rollups = self._merged(totals_behind(self._connection, self.known.rolled_frame_id))
            self._behind = set(self._rollups)
            self._roll_up()

    def _roll_up(self) -> None:
        if not self._behind:
            return
        rolled = self.known.next_frame_id - 1
        with at_once(self._connection):
            self._write_rollups(RollUps({key: self._rollups[key] for key in self._behind}))
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('rolled_frame_id', ?)", (rolled,))
        self.known.rolled_frame_id = rolled
        self._behind = set()

    def close(self) -> None:
        """Copy the WAL back where nobody reads from it, and close."""
        self._connection.close()

    def _insert_frames(self, run_id: int, columns: FrameColumns, first_id: int, segment: str) -> None:
        start_of_run = self._connection.execute("SELECT start_ns FROM run WHERE id = ?", (run_id,)).fetchone()[0]
        if run_id not in self._runs_with_frames:
            self._connection.execute(
                "UPDATE run SET first_frame_id = ? WHERE id = ? AND first_frame_id IS NULL", (first_id, run_id)
            )
        ints = columns.ints
        rows = zip(
            range(first_id, first_id + columns.rows),
            [run_id] * columns.rows,
            ints["sequence"].tolist(),
            (ints["start_ns"] - start_of_run).tolist(),
            ints["duration_ns"].tolist(),
            *(ints[name].tolist() for name in ("variant_id", "skipped", "age_us", "prepare_us", "infer_us")),
            ints["finish_us"].tolist(),
            *(columns.nullable(name) for name in ("energy_uj", "infer_energy_uj", "uncertainty_uj")),
            ints["samples"].tolist(),
            ints["method"].tolist(),
            columns.nullable("miou_ppm"),
            ints["reused"].tolist(),
            strict=True,
        )
        self._connection.executemany(_INSERT_FRAME.format(segment), rows)

    def _merged(self, touched: RollUps) -> RollUps:
        merged = RollUps()
        for key, totals in touched.items():
            merged[key] = self._rollups.get(key) or self._read_rollup(key)
            merged.add(key, totals)
        return merged

    def _read_rollup(self, key: Key) -> Totals:
        rows = self._connection.execute(
            "SELECT quantity, count, sum, min, max, histogram FROM rollup"
            " WHERE run_id = ? AND variant_id = ? AND method = ?",
            key,
        )
        return {name: Tally() for name in QUANTITIES} | {name: tally_of(*values) for name, *values in rows}

    def _write_rollups(self, merged: RollUps) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (*key, name, t.count, t.sum, t.min, t.max, None if t.histogram is None else sketch.pack(t.histogram))
                for key, totals in merged.items()
                for name, t in totals.items()
            ),
        )

    def _meta(self, touched: RollUps, frames: list[tuple[int, FrameColumns]], batch: Batch) -> dict[str, int]:
        meta = dict(self.known.totals)
        for key, totals in touched.items():
            meta["frames_total"] = meta.get("frames_total", 0) + totals["duration_ns"].count
            if key.method != Method.UNAVAILABLE:
                name = _TOTALS[Method(key.method)]
                meta[name] = meta.get(name, 0) + totals["energy_uj"].sum
        meta |= self._place()
        meta["next_frame_id"] = self.known.next_frame_id + sum(columns.rows for _, columns in frames)
        for table, name in (("run", "last_run_id"), ("observation", "last_observation_id"), ("raw_sample", "raw_slot")):
            if batch.rows.get(table):
                meta[name] = batch.rows[table][-1][0]
        return meta

    def _place(self) -> dict[str, int]:
        """Where the next frames go: on with the present segment, or into the next one when it has its share."""
        known = self.known
        share = max(_LEAST_SEGMENT_ROWS, self._settings.max_bytes // len(SEGMENTS) // _BYTES_A_FRAME)
        if known.next_frame_id - known.segment_first_id < share:
            return {"segment": known.segment, "segment_first_id": known.segment_first_id}
        return {"segment": (known.segment + 1) % len(SEGMENTS), "segment_first_id": known.next_frame_id}

    def _committed(
        self, merged: RollUps, frames: list[tuple[int, FrameColumns]], next_id: int, meta: dict[str, int]
    ) -> None:
        self.known.next_frame_id = next_id
        self.known.segment = meta["segment"]
        self.known.segment_first_id = meta["segment_first_id"]
        self.known.totals = {name: meta[name] for name in meta if name.startswith(("energy_uj_", "frames_"))}
        self._runs_with_frames.update(run_id for run_id, _ in frames)
        self._rollups.update(merged)
        newest = max((key.run_id for key in self._rollups), default=0)
        for key in [key for key in self._rollups if key.run_id < newest and key not in self._behind]:
            del self._rollups[key]


def energy_totals(totals: dict[str, int]) -> dict[Method, int]:
    """Microjoules by method over all runs ever, from the counters of `meta`; a method never seen is left out."""
    return {method: totals[name] for method, name in _TOTALS.items() if name in totals}


def tally_of(count: int, total: int, least: int | None, most: int | None, histogram: bytes | None) -> Tally:
    """A tally from a row of `rollup`."""
    return Tally(count, total, least, most, None if histogram is None else sketch.unpack(histogram))


def _columns(batch: Batch) -> tuple[list[tuple[int, FrameColumns]], int]:
    """Frames as columns, one entry a stretch of one run; rows that cannot be stored are counted and left out."""
    stretches: list[tuple[int, list[FrameRow]]] = []
    for run_id, rows in batch.frames:
        if stretches and stretches[-1][0] == run_id:
            stretches[-1][1].extend(rows)
        else:
            stretches.append((run_id, list(rows)))
    frames = []
    dropped = 0
    for run_id, rows in stretches:
        try:
            frames.append((run_id, FrameColumns.of(rows)))
        except (ValueError, TypeError, OverflowError):
            good = good_rows(rows)
            dropped += len(rows) - len(good)
            if good:
                frames.append((run_id, FrameColumns.of(good)))
    return frames, dropped
