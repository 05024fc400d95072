"""Runs as PID 1 on a machine whose power will be cut: writes frames into our journal, and reports what is committed.

The journal is `edge.journal` of the installed package, with its own thread and settings; the report is what a second
connection reads, so it holds only what a commit has finished.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from agent import find_port

from boards.sensor import Method
from edge.journal import FrameRow, Journal, JournalSettings

PATH = Path("/var/lib/joulepath/journal.db")
FRAME_NS = 20_000_000
REPORT_PERIOD_S = 0.05


def committed(connection: sqlite3.Connection) -> int:
    """The newest frame's id that another process can read."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM frame").fetchone()[0])


def main() -> None:
    commit_interval_s = float(sys.argv[1])
    port = os.open(find_port(), os.O_RDWR)
    journal = Journal.open(PATH, JournalSettings(commit_interval_s=commit_interval_s))
    variant = journal.register_variant("only")
    journal.start_run("lab", "lab")
    journal.flush()
    reader = sqlite3.connect(f"file:{PATH}?mode=ro", uri=True)
    first = committed(reader) + 1
    os.write(port, json.dumps({"id": 0}).encode() + b"\n")
    sequence, began_ns, reported_s = 0, time.monotonic_ns(), 0.0
    while True:
        end_ns = began_ns + (sequence + 1) * FRAME_NS
        time.sleep(max(0.0, (end_ns - time.monotonic_ns()) / 1e9))
        row = FrameRow(
            sequence, end_ns - FRAME_NS, end_ns, variant, 0, 1000, 1000, 1000, 1000, 160_000, 80_000, 1000, 2,
            Method.MEASURED,
        )  # fmt: skip
        journal.append_frame(row)
        sequence += 1
        if time.monotonic() - reported_s >= REPORT_PERIOD_S:
            reported_s = time.monotonic()
            report = {"id": -1, "given": first + sequence - 1, "committed": committed(reader)}
            os.write(port, json.dumps(report).encode() + b"\n")


if __name__ == "__main__":
    main()
