"""Frames that the roll-ups on the disk lack.

Histograms are the most of what a commit would write again and again, so roll-ups go to the disk with each tenth commit
only. `meta` says how far they reach (`rolled_frame_id`); whoever reads them adds the few frames behind that.
"""

from __future__ import annotations

import sqlite3
from itertools import groupby
from operator import itemgetter

from edge.journal.rollup import RollUps, good_rows
from edge.journal.rows import FrameRow
from edge.journal.schema import SEGMENTS, select_frames

_PAGE_ROWS = 10_000


def totals_behind(connection: sqlite3.Connection, frame_id: int, run_id: int | None = None) -> RollUps:
    """Totals of every frame with a greater id, of one run or of all; raises sqlite3.Error."""
    of_run, wanted = ("", ()) if run_id is None else (" AND f.run_id = ?", (run_id,))
    found = RollUps()
    for segment in SEGMENTS:
        query = f"{select_frames(segment)} WHERE f.id > ?{of_run} ORDER BY f.id"
        rows = connection.execute(query, (frame_id, *wanted))
        while page := rows.fetchmany(_PAGE_ROWS):
            for run, frames in groupby(page, key=itemgetter(1)):
                found.add_rows(run, good_rows([FrameRow(*row[2:]) for row in frames]))
    return found
