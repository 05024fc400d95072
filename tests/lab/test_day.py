"""What a day at ten frames a second writes to an amd64 board's disk: journal, log, and all that the file system adds.

The service's state has a disk of its own here. What the system's disk gets has other authors: Debian's timers, and the
emulated camera, whose driver prints a kernel warning with its call trace every few minutes here ("schedule_timeout:
wrong timeout value", found with the kernel's writeback trace points). So what the service has a part in there is asked
for by itself: what its processes write, and its lines in the system's log.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from edge.journal.schema import PAGE_BYTES
from tests.lab.fixtures import MEMORY_MIB, installed_system
from tests.lab.machine import Machine, Settings
from tests.lab.subject import COMMIT_INTERVAL_S, CONFIG, LOG_ROOM_BYTES, Subject
from tests.lab.tools import checked

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

COMMIT_S = 120  # the default commit interval
WINDOWS_S = (COMMIT_S, 2 * COMMIT_S)
BACKS_A_DAY = 24  # a log of 2000 pages is full after an hour or more of 10 frames a second
ROLL_UPS_A_DAY = 72  # with each tenth commit, so in no window of minutes; calculated
BLOCK_BYTES = 4096  # what the file system writes at the least
LAST_OF_A_START = "tiny_plain.tflite: 1 of 1 variants ready"  # a start's last line in the system's log
STATE = "/var/lib/joulepath"
CHECKPOINT = (
    f'python3 -c \'import sqlite3; print(sqlite3.connect("{STATE}/journal.db")'
    '.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())\' && sync'
)
ROW_BYTES = 62  # a frame's row in the log and again in the database; what a slower camera did not write is added
FPS = 10.0
DAY_S = 86_400
MOST_MB_A_DAY = 200


@dataclass(frozen=True)
class Count:
    """So far: the guest's seconds, bytes given to the state's disk, bytes that the service's own processes gave to the
    system's, its lines in the system's log, frames served."""

    seconds: float
    state: int
    system: int
    lines: int
    frames: int

    def __sub__(self, before: Count) -> Count:
        return Count(*(getattr(self, each.name) - getattr(before, each.name) for each in fields(self)))

    def __add__(self, other: Count) -> Count:
        return Count(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True)
class Window:
    """A stretch of serving, and what the way of its log back into the database wrote, in bytes."""

    served: Count
    back: int


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
        subject.drop_in("accounting", "[Service]\nIOAccounting=yes\n")
        subject.restart()
        subject.until_true("the log to have its room", lambda: _log_bytes(subject) > LOG_ROOM_BYTES)
        _commit_each(subject, COMMIT_S)
        yield subject


def _commit_each(board: Subject, seconds: int) -> None:
    """Another commit interval. The daemon is killed for it: a writer that closes in order takes the log away, and its
    room would come back only with the fourth commit."""
    own = f"commit_interval_s = {COMMIT_INTERVAL_S}"
    board.write_config(CONFIG.replace(own, f"commit_interval_s = {seconds}"))
    daemon, told = board.daemon(), board.log(200).count(LAST_OF_A_START)
    board.machine.call("service.signal_process", pid=daemon, number=signal.SIGKILL)
    board.restarted(daemon)
    board.until("a stream", lambda s: s["camera"] == "streaming" and s["journal"] == "writing")
    board.until_true("every variant", lambda: board.log(200).count(LAST_OF_A_START) > told)
    assert _log_bytes(board) > LOG_ROOM_BYTES


def test_what_a_day_writes(board: Subject) -> None:
    """Nobody asks the guest anything meanwhile: each question would start processes, which take time from the frames.

    The write-ahead log goes back into the database about once an hour, which no window of minutes meets. So it is made
    to go back after a short window and after a long one: a part of what that writes grows with the rows, the other
    comes with each way back, however long the log.
    """
    _way_back(board)  # what a start writes is no part of a day
    short, long = (_window(board, seconds) for seconds in WINDOWS_S)
    served = short.served + long.served
    missing = ROW_BYTES * max(0.0, FPS - served.frames / served.seconds)
    back_a_s = (long.back - short.back) / (long.served.seconds - short.served.seconds)
    each_back = max(0.0, short.back - back_a_s * short.served.seconds)
    roll_up = _roll_up_bytes(board)
    forward_mb = _mb_a_day(served.state / served.seconds + missing)
    back_mb = _mb_a_day(back_a_s + missing) + BACKS_A_DAY * each_back / 1e6
    roll_ups_mb = ROLL_UPS_A_DAY * roll_up / 1e6
    system_mb = _mb_a_day(served.system / served.seconds)
    whole_mb = forward_mb + back_mb + roll_ups_mb + system_mb
    told = (
        f"{whole_mb:.0f} MB a day at 10 frames/s ({served.frames / served.seconds:.1f} measured over"
        f" {served.seconds:.0f} s): {forward_mb:.0f} as it goes, {back_mb:.0f} when the log goes back"
        f" ({short.back / 1e3:.0f} kB after {short.served.seconds:.0f} s, {long.back / 1e3:.0f} kB after"
        f" {long.served.seconds:.0f} s), {roll_ups_mb:.1f} of roll-ups ({roll_up / 1e3:.0f} kB each), {system_mb:.1f}"
        f" by the service on Debian's own disk, and {served.lines} of its lines in the system's log"
    )
    print(told)
    assert long.back > short.back > 0, told
    assert whole_mb <= MOST_MB_A_DAY, told
    assert served.system == 0, told
    assert served.lines == 0, f"{told}; the log:\n{board.log()}"  # nothing happens, so nothing is told


def _window(board: Subject, seconds: float) -> Window:
    began = _so_far(board)
    time.sleep(seconds)
    board.machine.ok("sync")
    return Window(_so_far(board) - began, _way_back(board))


def _so_far(board: Subject) -> Count:
    frames, machine = board.status()["frames"], board.machine
    state = _state_bytes(board)
    system = machine.call("service.written_bytes", disk="vda")
    return Count(board.now_ns() / 1e9, state, system, machine.call("service.lines_in_the_log"), frames)


def _state_bytes(board: Subject) -> int:
    return int(board.machine.call("disk.written_bytes", disk="vdb"))


def _log_bytes(board: Subject) -> int:
    return int(board.machine.ok(f"stat -c %s {STATE}/journal.db-wal"))


def _way_back(board: Subject) -> int:
    """Bytes that the whole log's way into the database writes."""
    began = _state_bytes(board)
    board.machine.ok(CHECKPOINT)
    return _state_bytes(board) - began


def _roll_up_bytes(board: Subject) -> int:
    """What writing all roll-ups of the run takes: SQLite's pages two thirds full, as its trees are at the least after
    inserts in disorder, and one for the level above them; in the log one after another, in the database each in a block
    of its own. The run has to end for it: its roll-ups are written then, and before only with the tenth commit."""
    board.machine.ok("systemctl stop joulepath", timeout_s=120)
    held = int(board.journal("rollup_bytes"))
    assert held > 0
    pages = 1 + -(-held * 3 // (2 * PAGE_BYTES))
    return pages * (PAGE_BYTES + BLOCK_BYTES)


def _mb_a_day(bytes_a_s: float) -> float:
    return bytes_a_s * DAY_S / 1e6
