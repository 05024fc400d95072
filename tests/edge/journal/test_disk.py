"""Disks that refuse: full, read-only, limited. Rows wait in memory, and the journal says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from boards.sensor import Method
from edge.journal import Journal, JournalReader, JournalSettings
from tests.edge.journal.made import FakeClock, frames
from tests.edge.journal.scan import assert_equal, gather

ROOT = Path(__file__).resolve().parents[3]


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    if not _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)):
        pytest.skip("this machine does not let root mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def _fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass


class Heard:
    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.messages: list[str] = []

    def __call__(self, level: int, kind: str, message: str) -> None:
        self.kinds.append(kind)
        self.messages.append(message)


def _open(path: Path, heard: Heard, **settings: int) -> Journal:
    clock = FakeClock()
    return Journal.open(
        path, JournalSettings(**settings), monotonic_ns=clock, utc_ns=clock.utc, threaded=False, on_event=heard
    )


def test_a_full_disk_keeps_the_newest_rows_and_resumes(small_disk: Path) -> None:
    heard = Heard()
    journal = _open(small_disk / "j.db", heard, max_pending_rows=2000)
    run_id = journal.start_run("b", "b")
    everything = frames(100)
    journal.append_frames(everything)
    assert journal.flush()
    filler = small_disk / "filler"
    _fill(filler)
    for first in range(100, 5100, 500):
        rows = frames(500, first=first)
        everything += rows
        journal.append_frames(rows)
        journal.flush()
    assert not journal.flush()
    assert "full" in str(journal.blocked)
    assert heard.kinds == ["journal_blocked"]
    assert "free the disk" in heard.messages[0]
    filler.unlink()
    assert journal.flush()
    assert journal.blocked is None
    assert heard.kinds == ["journal_blocked", "journal_resumed"]
    journal.close()
    with JournalReader(small_disk / "j.db") as reader:
        sequences = [frame.sequence for frame in reader.frames()]
        assert sequences[-1] == 5099
        kept = set(sequences)
        lost = 5100 - len(kept)
        assert len(kept) == len(sequences)
        assert 0 < lost <= 3100
        assert sequences == sorted(sequences)
        assert kept >= set(range(3200, 5100))  # the newest of what waited
        (event,) = reader.events()
        assert event.kind == "journal_resumed"
        assert f"{lost} rows were lost" in event.message
        # The rows are gone, their joules and counts are not.
        assert_equal(reader.rollups(), gather((run_id, row) for row in everything))
        assert reader.total_energy_uj() == {Method.MODELLED: sum(row.energy_uj or 0 for row in everything)}


def test_a_journal_opens_on_a_full_disk(small_disk: Path) -> None:
    _fill(small_disk / "filler")
    heard = Heard()
    journal = _open(small_disk / "j.db", heard)
    journal.start_run("b", "b")
    journal.append_frames(frames(10))
    assert not journal.flush()
    (small_disk / "filler").unlink()
    assert journal.flush()
    journal.close()
    assert heard.kinds == ["journal_blocked", "journal_resumed"]
    with JournalReader(small_disk / "j.db") as reader:
        assert sum(1 for _ in reader.frames(1)) == 10


def test_a_read_only_disk_is_waited_for_and_numbers_do_not_collide(small_disk: Path) -> None:
    with _open(small_disk / "j.db", Heard()) as journal:
        variant = journal.register_variant("full")
        journal.start_run("b", "b")
        journal.append_frames(frames(10))
    assert _mount("-o", "remount,ro", str(small_disk))
    heard = Heard()
    journal = _open(small_disk / "j.db", heard)
    assert journal.register_variant("full") == variant
    other = journal.register_variant("half")
    run_id = journal.start_run("b", "b")
    journal.append_frames(frames(10, variant_id=other, first=10))
    assert not journal.flush()
    assert "read-only" in heard.messages[0].lower() or "readonly" in heard.messages[0]
    with JournalReader(small_disk / "j.db") as reader:
        assert sum(1 for _ in reader.frames()) == 10
    assert _mount("-o", "remount,rw", str(small_disk))
    assert journal.flush()
    journal.close()
    with JournalReader(small_disk / "j.db") as reader:
        assert [run.id for run in reader.runs()] == [1, run_id]
        assert [frame.sequence for frame in reader.frames(run_id)] == list(range(10, 20))
        assert {row.name for row in reader.variants().values()} == {"full", "half"}


def test_a_file_size_limit_is_met_like_a_full_disk(tmp_path: Path) -> None:
    """Needs no root: the kernel refuses to let the files grow beyond 200 kB."""
    limited = """
import resource, signal, sys
from edge.journal import Journal, JournalSettings
from tests.edge.journal.made import frames
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
said = []
journal = Journal.open(sys.argv[1], JournalSettings(), threaded=False, on_event=lambda *event: said.append(event[1]))
journal.start_run("b", "b")
for first in range(0, 10_000, 1000):
    journal.append_frames(frames(1000, first=first))
    journal.flush()
assert said == ["journal_blocked"], said
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert journal.flush()
journal.close()
assert said == ["journal_blocked", "journal_resumed"], said
"""
    subprocess.run([sys.executable, "-c", limited, str(tmp_path / "j.db")], cwd=ROOT, check=True)
    with JournalReader(tmp_path / "j.db") as reader:
        assert [frame.sequence for frame in reader.frames()] == list(range(10_000))


def test_a_producer_that_is_too_fast_is_told_and_its_joules_are_kept(tmp_path: Path) -> None:
    heard = Heard()
    rows = frames(1000)
    with _open(tmp_path / "j.db", heard, max_pending_rows=300) as journal:
        run_id = journal.start_run("b", "b")
        for row in rows:
            journal.append_frame(row)
    assert heard.kinds == ["journal_overrun"]
    with JournalReader(tmp_path / "j.db") as reader:
        assert sum(1 for _ in reader.frames()) <= 300
        assert_equal(reader.rollups(), gather((run_id, row) for row in rows))
