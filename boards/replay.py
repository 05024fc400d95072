"""A board that replays a recording."""

from __future__ import annotations

import time
from pathlib import Path

from boards.board import Board
from boards.sensor import BoardError
from boards.sysfs import Clock


def open_replay(path: Path, *, clock: Clock = time.monotonic_ns, speed: float = 1.0, loop: bool = False) -> Board:
    """Replay the recording in `path`."""
    raise BoardError(f"{path}: recordings cannot be replayed yet")
