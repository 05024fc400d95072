"""Opening a board as every command does: journals can be replayed too, and what is wrong is bad usage."""

from __future__ import annotations

import time
from collections.abc import Mapping

from boards.board import Board
from boards.detect import open_board
from boards.roots import Roots
from boards.sensor import BoardError
from boards.sysfs import Clock
from edge.errors import UsageError
from edge.replay import read_journal


def open_named_board(
    spec: str,
    *,
    roots: Roots | None = None,
    clock: Clock = time.monotonic_ns,
    relative_cost: Mapping[str, float] | None = None,
) -> Board:
    """The board that `spec` names, see `boards.detect.open_board`. Raises UsageError."""
    try:
        return open_board(spec, roots=roots, clock=clock, relative_cost=relative_cost, recordings=(read_journal,))
    except BoardError as error:
        raise UsageError(str(error)) from error
