"""What a day at ten frames a second writes to an amd64 board's disk, journal, file system and log included."""

from __future__ import annotations

import time

import pytest

from tests.lab.subject import COMMIT_INTERVAL_S, CONFIG, Subject

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

COMMIT_S = 60  # the default commit interval
ROOM_BYTES = 4_000_000  # the log has its room after the fourth commit (edge/journal/reserve.py)
WINDOWS_S = (2 * COMMIT_S, 5 * COMMIT_S)
IDLE_S = 120
BACKS_A_DAY = 24  # a log of 2000 pages is full after an hour or more of 10 frames a second
CHECKPOINT = (
    'python3 -c \'import sqlite3; print(sqlite3.connect("/var/lib/joulepath/journal.db")'
    '.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())\' && sync'
)
ROW_BYTES = 60  # a frame's row in the log and again in the database; what a slower camera did not write is added
FPS = 10.0
DAY_S = 86_400
MOST_MB_A_DAY = 200


def test_what_a_day_writes(running: Subject) -> None:
    """Nobody asks the guest anything meanwhile: each question would start processes, which write too.

    The write-ahead log goes back into the database about once an hour, which no window of minutes meets. So it is made
    to go back after a short window and after a long one: a part of what that writes grows with the rows, the other
    comes with each way back, however long the log. What Debian writes without us (its log, its timers) is not ours.
    """
    board = running
    board.until("frames", lambda s: s["frames"] > 3 and s["camera"] == "streaming" and s["journal"] == "writing")
    board.write_config(CONFIG.replace(f"commit_interval_s = {COMMIT_INTERVAL_S}", f"commit_interval_s = {COMMIT_S}"))
    board.restart()
    board.until_true("the log to have its room", lambda: _log_bytes(board) > ROOM_BYTES, timeout_s=10 * COMMIT_S)
    _way_back(board)
    seconds = forward = frames = 0.0
    backs = []
    for window_s in WINDOWS_S:
        began, written, served = _so_far(board)
        time.sleep(window_s)
        board.machine.ok("sync")
        ended, written_then, served_then = _so_far(board)
        seconds, frames = seconds + ended - began, frames + served_then - served
        forward += written_then - written
        backs.append((ended - began, _way_back(board)))
    (short_s, short), (long_s, long) = backs
    back_a_s = (long - short) / (long_s - short_s)
    each_back = max(0.0, short - back_a_s * short_s)
    missing = ROW_BYTES * max(0.0, FPS - frames / seconds)
    forward_mb = _mb_a_day(forward / seconds + missing)
    back_mb = _mb_a_day(back_a_s + missing) + BACKS_A_DAY * each_back / 1e6
    idle_mb = _without_the_service(board)
    day_mb = forward_mb + back_mb
    told = (
        f"{day_mb:.0f} MB a day at 10 frames/s ({frames / seconds:.1f} measured over {seconds:.0f} s, everything on the"
        f" disk): {forward_mb:.0f} as it goes, {back_mb:.0f} when the log goes back ({short / 1e3:.0f} kB after"
        f" {short_s:.0f} s, {long / 1e3:.0f} kB after {long_s:.0f} s); of that {idle_mb:.0f} by the machine without the"
        " service"
    )
    print(told)
    assert long > short > 0, told
    assert day_mb - idle_mb <= MOST_MB_A_DAY, told


def _so_far(board: Subject) -> tuple[float, int, int]:
    """The guest's seconds, bytes given to its disk, frames served."""
    return board.now_ns() / 1e9, board.machine.call("disk.written_bytes"), board.status()["frames"]


def _log_bytes(board: Subject) -> int:
    return int(board.machine.ok("stat -c %s /var/lib/joulepath/journal.db-wal"))


def _way_back(board: Subject) -> int:
    """Bytes that the whole log's way into the database writes."""
    began = board.machine.call("disk.written_bytes")
    board.machine.ok(CHECKPOINT)
    return int(board.machine.call("disk.written_bytes") - began)


def _without_the_service(board: Subject) -> float:
    board.machine.ok("systemctl stop joulepath && sync && sleep 5")
    began = board.machine.call("disk.written_bytes")
    time.sleep(IDLE_S)
    board.machine.ok("sync")
    return _mb_a_day((board.machine.call("disk.written_bytes") - began) / IDLE_S)


def _mb_a_day(bytes_a_s: float) -> float:
    return bytes_a_s * DAY_S / 1e6
