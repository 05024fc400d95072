"""Rows that wait in memory for the next commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from edge.journal.rollup import RollUps, good_rows
from edge.journal.rows import FrameRow

Values = tuple[Any, ...]

# The tables whose rows say what others mean: never dropped, and written first.
DEFINITIONS = ("run", "variant", "channel")
_KEPT = frozenset({*DEFINITIONS, "run_end"})


class Batch:
    """Frames by run and rows by table, in the order in which they came.

    Frames that a bound pushes out leave their energy and counts in `folded`: the rows are lost, the joules are not.
    """

    def __init__(self) -> None:
        self.frames: deque[tuple[int, list[FrameRow]]] = deque()
        self.rows: dict[str, deque[Values]] = {}
        self.folded = RollUps()
        self.lost = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add_frames(self, run_id: int, rows: Sequence[FrameRow]) -> None:
        """Append frames of a run."""
        if not rows:
            return
        if self.frames and self.frames[-1][0] == run_id and len(self.frames[-1][1]) < 1000:
            self.frames[-1][1].extend(rows)
        else:
            self.frames.append((run_id, list(rows)))
        self._count += len(rows)

    def add(self, table: str, row: Values) -> None:
        """Append a row of any other table; raises ValueError for what SQLite cannot store."""
        self.rows.setdefault(table, deque()).append(tuple(_storable(value) for value in row))
        self._count += 1

    def remove(self, table: str, unwanted: Callable[[Values], bool]) -> None:
        """Drop the rows of a table that are unwanted."""
        rows = self.rows.get(table, deque())
        kept = deque(row for row in rows if not unwanted(row))
        self._count -= len(rows) - len(kept)
        self.rows[table] = kept

    def extend(self, later: Batch) -> None:
        """Take over everything of a later batch."""
        self.frames.extend(later.frames)
        self._count += len(later)
        self.lost += later.lost
        for table, rows in later.rows.items():
            self.rows.setdefault(table, deque()).extend(rows)
        for key, totals in later.folded.items():
            self.folded.add(key, totals)

    def trim(self, most_rows: int) -> None:
        """Drop the oldest rows beyond a bound: frames first folded, then other tables, largest first."""
        while len(self) > most_rows and self.frames:
            self._fold_oldest(len(self) - most_rows)
        droppable = [rows for table, rows in self.rows.items() if table not in _KEPT]
        while len(self) > most_rows and any(droppable):
            max(droppable, key=len).popleft()
            self._count -= 1
            self.lost += 1

    def _fold_oldest(self, most: int) -> None:
        run_id, rows = self.frames[0]
        oldest = rows[:most]
        self.folded.add_rows(run_id, good_rows(oldest))
        if len(oldest) == len(rows):
            self.frames.popleft()
        else:
            self.frames[0] = (run_id, rows[most:])
        self._count -= len(oldest)
        self.lost += len(oldest)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, float) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 63):
        return value
    raise ValueError(f"a journal cannot store {value!r}")
