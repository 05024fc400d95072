"""Real processes that are killed while they write."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge.journal import JournalReader
from tests.edge.journal.made import open_journal
from tests.edge.journal.scan import assert_equal, gather

ROOT = Path(__file__).resolve().parents[3]

# Appends ten frames at a time, and says after each flush how many are safe; then goes on without a flush until killed.
WRITER = """
import signal, sys, threading
from edge.journal import Journal, JournalSettings
from tests.edge.journal.made import frames

journal = Journal.open(sys.argv[1], JournalSettings(commit_interval_s=3600.0))
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
journal.start_run("board", "bundle")
for first in range(0, 200, 10):
    journal.append_frames(frames(10, first=first))
    if first < 100:
        assert journal.flush()
        print(first + 10, flush=True)
print("unflushed", flush=True)
ended.wait()
journal.close()
"""


def _run_until_unflushed(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [line.strip() for line in iter(process.stdout.readline, "unflushed\n")]
    assert said == [str(number) for number in range(10, 101, 10)]
    return process


def test_kill_9_loses_no_more_than_what_came_after_the_last_commit(tmp_path: Path) -> None:
    process = _run_until_unflushed(tmp_path / "j.db")
    process.kill()
    process.communicate()
    with open_journal(tmp_path / "j.db") as journal:
        assert journal.start_run("board", "bundle") == 2
    with JournalReader(tmp_path / "j.db") as reader:
        stored = list(reader.frames(1))
        assert [frame.sequence for frame in stored] == list(range(100))
        assert_equal(reader.rollups(1), gather((1, frame) for frame in stored))
        assert reader.run(1).outcome == "interrupted"
        assert reader.run(1).energy_uj == sum(frame.energy_uj or 0 for frame in stored)
        assert reader.query("PRAGMA integrity_check") == [("ok",)]
        assert reader.events() == []


def test_sigterm_loses_nothing(tmp_path: Path) -> None:
    process = _run_until_unflushed(tmp_path / "j.db")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 0
    assert not (tmp_path / "j.db-wal").exists()
    with JournalReader(tmp_path / "j.db") as reader:
        assert sum(1 for _ in reader.frames()) == 200
        assert reader.run().outcome == "finished"


@pytest.mark.parametrize("kill_after", [1, 4])
def test_kill_9_in_the_middle_of_commits(tmp_path: Path, kill_after: int) -> None:
    endless = """
import sys
from edge.journal import Journal
from tests.edge.journal.made import frames
journal = Journal.open(sys.argv[1])
journal.start_run("board", "bundle")
first = 0
while True:
    journal.append_frames(frames(50, first=first))
    first += 50
    assert journal.flush()
    print(first, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", endless, str(tmp_path / "j.db")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(kill_after):
        process.stdout.readline()
    process.kill()
    rest, _ = process.communicate()
    acknowledged = max([kill_after * 50, *map(int, rest.split("\n")[:-1])])
    with open_journal(tmp_path / "j.db"), JournalReader(tmp_path / "j.db") as reader:
        stored = list(reader.frames(1))
        assert len(stored) in (acknowledged, acknowledged + 50)
        assert_equal(reader.rollups(1), gather((1, frame) for frame in stored))
