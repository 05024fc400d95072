"""What a day at ten frames a second writes to an amd64 board's disk, journal, file system and log included."""

from __future__ import annotations

import time

import pytest

from tests.lab.subject import COMMIT_INTERVAL_S, CONFIG, Subject

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

COMMIT_S = 60  # the default commit interval
START_S = 240  # until the log has its room, after the fourth commit (edge/journal/reserve.py)
COMMITS_MEASURED = 2
IDLE_S = 60
CHECKPOINT = (
    'python3 -c \'import sqlite3; print(sqlite3.connect("/var/lib/joulepath/journal.db")'
    '.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())\' && sync'
)
ROW_BYTES = 53  # a frame's row as it was measured; what a slower camera did not write is added
MOST_MB_A_DAY = 200


def test_what_a_day_writes(running: Subject) -> None:
    """Nobody asks the guest anything meanwhile: each question would start processes, which write too.

    The write-ahead log goes back into the database about once an hour, which no window of minutes meets: it is done
    at the end, and what it wrote is charged to the minutes since the start. An hour's would be less a minute, for
    pages that fill up are then written once. What Debian writes without us (its log, its timers) is not ours.
    """
    board = running
    board.until("frames", lambda s: s["frames"] > 3 and s["camera"] == "streaming" and s["journal"] == "writing")
    board.write_config(CONFIG.replace(f"commit_interval_s = {COMMIT_INTERVAL_S}", f"commit_interval_s = {COMMIT_S}"))
    board.restart()
    started = board.now_ns() / 1e9
    time.sleep(START_S)  # what a start writes is no part of a day
    board.machine.ok("sync")
    began, written, frames = _so_far(board)
    time.sleep(COMMITS_MEASURED * COMMIT_S)
    ended, written_then, frames_then = _so_far(board)
    seconds, rate = ended - began, (frames_then - frames) / (ended - began)
    board.machine.ok("sync")
    log_began = board.machine.call("disk.written_bytes")
    board.machine.ok(CHECKPOINT)
    log_bytes = board.machine.call("disk.written_bytes") - log_began
    of_log_mb = log_bytes / (ended - started) * 86_400 / 1e6
    of_rest_mb = ((written_then - written) / seconds + ROW_BYTES * max(0.0, 10.0 - rate)) * 86_400 / 1e6
    board.machine.ok("systemctl stop joulepath && sync && sleep 5")
    idle = board.machine.call("disk.written_bytes")
    time.sleep(IDLE_S)
    idle_mb = (board.machine.call("disk.written_bytes") - idle) / IDLE_S * 86_400 / 1e6
    day_mb = of_rest_mb + of_log_mb
    told = (
        f"{day_mb:.0f} MB a day at 10 frames/s ({rate:.1f} measured over {seconds:.0f} s, everything on the disk): "
        f"{of_rest_mb:.0f} as it goes, {of_log_mb:.0f} when the log goes back; of that {idle_mb:.0f} by the machine "
        "without the service"
    )
    print(told)
    assert day_mb - idle_mb <= MOST_MB_A_DAY, told


def _so_far(board: Subject) -> tuple[float, int, int]:
    """The guest's seconds, bytes given to its disk, frames served."""
    return board.now_ns() / 1e9, board.machine.call("disk.written_bytes"), board.status()["frames"]
