"""The service's journal, by Joulepath's own reader out of the installed package, and by SQLite's own check."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import sys
from collections.abc import Iterator
from typing import Any

SITE = "/usr/lib/joulepath/lib/python3.11/site-packages"
PATH = "/var/lib/joulepath/journal.db"


@contextlib.contextmanager
def _reader(path: str) -> Iterator[Any]:
    if SITE not in sys.path:
        sys.path.append(SITE)
    from edge.journal import JournalReader

    with JournalReader(path) as reader:
        yield reader


def runs(path: str = PATH) -> list[dict[str, Any]]:
    """Every run, oldest first, with the number of its frames."""
    with _reader(path) as reader:
        counts = dict(reader.query("SELECT run_id, count(*) FROM frame GROUP BY run_id"))
        return [
            {
                "id": run.id,
                "outcome": run.outcome,
                "board": run.board,
                "bundle": run.bundle,
                "rails": run.rails_included,
                "frames": counts.get(run.id, 0),
            }
            for run in reader.runs()
        ]


def events(run_id: int | None = None, path: str = PATH) -> list[dict[str, Any]]:
    """Events of a run (the last one by default), oldest first."""
    with _reader(path) as reader:
        wanted = reader.run().id if run_id is None else run_id
        return [
            {"time_ns": e.time_ns, "level": int(e.level), "kind": e.kind, "message": e.message}
            for e in reader.events(wanted)
        ]


def switches(run_id: int | None = None, path: str = PATH) -> list[dict[str, Any]]:
    """Switches of a run (the last one by default), oldest first, with the variants' names."""
    with _reader(path) as reader:
        wanted = reader.run().id if run_id is None else run_id
        names = {number: row.name for number, row in reader.variants().items()}
        return [
            {
                "time_ns": s.time_ns,
                "before": None if s.from_id is None else names[s.from_id],
                "after": names[s.to_id],
                "reason": s.reason,
            }
            for s in reader.switches(wanted)
        ]


def frames(run_id: int | None = None, path: str = PATH) -> dict[str, Any]:
    """How many frames a run has, and what they say together."""
    with _reader(path) as reader:
        wanted = reader.run().id if run_id is None else run_id
        rows = list(reader.frames(wanted))
    known = [row for row in rows if row.energy_uj is not None]
    return {
        "count": len(rows),
        "skipped": sum(row.skipped for row in rows),
        "methods": sorted({int(row.method) for row in rows}),
        "unknown_energy": len(rows) - len(known),
        "known_energy_uj": sum(row.energy_uj for row in known),
        "known_duration_ns": sum(row.end_ns - row.start_ns for row in known),
        "gaps": sum(b.start_ns != a.end_ns for a, b in itertools.pairwise(rows)),
        "last_end_ns": rows[-1].end_ns if rows else None,
        "last_is_known": bool(rows) and rows[-1].energy_uj is not None,
        "first_infer_us": rows[0].infer_us if rows else None,
    }


def rollup_bytes(path: str = PATH) -> int:
    """About what the last run's roll-ups take: histograms, and 64 bytes for the rest of each row."""
    with _reader(path) as reader:
        query = "SELECT sum(64 + coalesce(length(histogram), 0)) FROM rollup WHERE run_id = ?"
        return int(reader.query(query, (reader.run().id,))[0][0] or 0)


def integrity(path: str = PATH) -> str:
    """SQLite's own verdict over the whole file: ``ok``."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
