"""What a day at ten frames a second writes to an amd64 board's disk: journal, log, and all that the file system adds.

The service's state has a disk of its own here, so that what Debian writes to its own (its log, its timers: 20 to 60 MB
a day, in bursts) is in no figure. What the service adds there, its own lines in the system's log, is told beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.fixtures import MEMORY_MIB, installed_system
from tests.lab.machine import Machine, Settings
from tests.lab.subject import COMMIT_INTERVAL_S, CONFIG, Subject
from tests.lab.tools import checked

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

COMMIT_S = 120  # the default commit interval
ROOM_BYTES = 4_000_000  # the log has its room after the fourth commit (edge/journal/reserve.py)
WINDOWS_S = (COMMIT_S, 3 * COMMIT_S)
SETTLE_S = 35  # until the kernel has written what the end of the service left in memory
IDLE_S = 120
BACKS_A_DAY = 24  # a log of 2000 pages is full after an hour or more of 10 frames a second
STATE = "/var/lib/joulepath"
CHECKPOINT = (
    f'python3 -c \'import sqlite3; print(sqlite3.connect("{STATE}/journal.db")'
    '.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())\' && sync'
)
ROW_BYTES = 60  # a frame's row in the log and again in the database; what a slower camera did not write is added
FPS = 10.0
DAY_S = 86_400
MOST_MB_A_DAY = 200


@dataclass(frozen=True)
class Count:
    """So far: the guest's seconds, bytes given to the state's disk and to the system's, frames served."""

    seconds: float
    state: int
    system: int
    frames: int


@dataclass(frozen=True)
class Window:
    """A stretch of serving, and what the way of its log back into the database wrote."""

    began: Count
    ended: Count
    back: int

    @property
    def seconds(self) -> float:
        """How long it was, by the guest's clock."""
        return self.ended.seconds - self.began.seconds


@pytest.fixture
def board(lab_folder: Path) -> Iterator[Subject]:
    """A board that serves frames, at the default commit interval and with its state on a disk of its own."""
    folder = lab_folder / "day"
    folder.mkdir()
    disk = folder / "state.img"
    # Nothing is left for the guest's kernel to initialise later: it would be written while bytes are counted.
    whole = "lazy_itable_init=0,lazy_journal_init=0"
    checked(["mke2fs", "-q", "-t", "ext4", "-E", whole, disk, "512M"])
    settings = Settings(memory_mib=MEMORY_MIB, data_disks=(disk,))
    with Machine(installed_system("amd64"), folder, settings) as machine:
        machine.boot()
        machine.call("board.load_all", timeout_s=120)
        machine.ok(f"systemctl stop joulepath && mount /dev/vdb {STATE}")
        subject = Subject(machine)
        own = f"commit_interval_s = {COMMIT_INTERVAL_S}"
        subject.write_config(CONFIG.replace(own, f"commit_interval_s = {COMMIT_S}"))
        subject.restart()
        subject.until("a stream", lambda s: s["camera"] == "streaming" and s["journal"] == "writing")
        yield subject


def test_what_a_day_writes(board: Subject) -> None:
    """Nobody asks the guest anything meanwhile: each question would start processes, which take time from the frames.

    The write-ahead log goes back into the database about once an hour, which no window of minutes meets. So it is made
    to go back after a short window and after a long one: a part of what that writes grows with the rows, the other
    comes with each way back, however long the log.
    """
    board.until_true("the log to have its room", lambda: _log_bytes(board) > ROOM_BYTES, timeout_s=10 * COMMIT_S)
    _way_back(board)  # what a start writes is no part of a day
    short, long = (_window(board, seconds) for seconds in WINDOWS_S)
    seconds = short.seconds + long.seconds
    state, system, frames = (
        sum(getattr(one.ended, name) - getattr(one.began, name) for one in (short, long)) / seconds
        for name in ("state", "system", "frames")
    )
    missing = ROW_BYTES * max(0.0, FPS - frames)
    back_a_s = (long.back - short.back) / (long.seconds - short.seconds)
    each_back = max(0.0, short.back - back_a_s * short.seconds)
    forward_mb = _mb_a_day(state + missing)
    back_mb = _mb_a_day(back_a_s + missing) + BACKS_A_DAY * each_back / 1e6
    told = (
        f"{forward_mb + back_mb:.0f} MB a day at 10 frames/s ({frames:.1f} measured over {seconds:.0f} s):"
        f" {forward_mb:.0f} as it goes, {back_mb:.0f} when the log goes back ({short.back / 1e3:.0f} kB after"
        f" {short.seconds:.0f} s, {long.back / 1e3:.0f} kB after {long.seconds:.0f} s). Debian's own disk:"
        f" {_mb_a_day(system):.0f} MB a day with the service, {_without_the_service_mb(board):.0f} without"
    )
    print(told)
    assert long.back > short.back > 0, told
    assert forward_mb + back_mb <= MOST_MB_A_DAY, told


def _window(board: Subject, seconds: float) -> Window:
    began = _so_far(board)
    time.sleep(seconds)
    board.machine.ok("sync")
    return Window(began, _so_far(board), _way_back(board))


def _so_far(board: Subject) -> Count:
    frames = board.status()["frames"]
    state, system = (board.machine.call("disk.written_bytes", disk=disk) for disk in ("vdb", "vda"))
    return Count(board.now_ns() / 1e9, state, system, frames)


def _log_bytes(board: Subject) -> int:
    return int(board.machine.ok(f"stat -c %s {STATE}/journal.db-wal"))


def _way_back(board: Subject) -> int:
    """Bytes that the whole log's way into the database writes."""
    began = _so_far(board).state
    board.machine.ok(CHECKPOINT)
    return _so_far(board).state - began


def _without_the_service_mb(board: Subject) -> float:
    board.machine.ok(f"systemctl stop joulepath && sync && sleep {SETTLE_S} && sync", timeout_s=SETTLE_S + 60)
    began = board.machine.call("disk.written_bytes")
    time.sleep(IDLE_S)
    board.machine.ok("sync")
    return _mb_a_day((board.machine.call("disk.written_bytes") - began) / IDLE_S)


def _mb_a_day(bytes_a_s: float) -> float:
    return bytes_a_s * DAY_S / 1e6
