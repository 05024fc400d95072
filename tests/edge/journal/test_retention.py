from __future__ import annotations

import os
from pathlib import Path

from boards.board import Quantity
from edge.journal import FrameRow, JournalReader, Level
from tests.edge.journal.made import START_NS, FakeClock, frames, open_journal
from tests.edge.journal.scan import assert_equal, gather

BOUND = 1_000_000


def test_a_journal_stays_within_its_bound_and_keeps_totals(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    everything: list[FrameRow] = []
    with open_journal(path, max_bytes=BOUND) as journal:
        journal.register_channel("VDD_IN", Quantity.POWER)
        run_id = journal.start_run("b", "b")
        for first in range(0, 60_000, 2000):
            rows = frames(2000, first=first)
            everything += rows
            journal.append_frames(rows)
            for second in range(200):
                journal.sample("VDD_IN", START_NS + (first // 10 + second) * 10**9, 5.0)
            assert journal.flush()
            assert os.path.getsize(path) <= BOUND + 400_000  # one batch may come on top before the next purge
    assert os.path.getsize(path) <= BOUND
    with JournalReader(path) as reader:
        stored = [frame.sequence for frame in reader.frames()]
        assert stored == list(range(stored[0], 60_000))
        assert 3000 < len(stored) < 20_000
        assert_equal(reader.rollups(), gather((run_id, row) for row in everything))
        assert sum(reader.total_energy_uj().values()) == sum(row.energy_uj or 0 for row in everything)
        # Samples go with the frames of their time, to a round of deletes.
        oldest = next(iter(reader.samples(run_id))).second
        assert -1 <= oldest - START_NS // 10**9 - stored[0] // 10 <= BOUND // 6000
        assert reader.query("PRAGMA integrity_check") == [("ok",)]


def test_a_lowered_bound_shrinks_the_file(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with open_journal(path) as journal:
        journal.start_run("b", "b")
        journal.append_frames(frames(30_000))
    assert os.path.getsize(path) > 1_500_000
    clock = FakeClock()
    with open_journal(path, clock, max_bytes=400_000) as journal:
        for _ in range(3):
            journal.flush()
    assert os.path.getsize(path) <= 400_000


def test_samples_alone_are_bounded_too(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with open_journal(path, max_bytes=300_000) as journal:
        journal.register_channel("VDD_IN", Quantity.POWER)
        journal.start_run("b", "b")
        for second in range(40_000):
            journal.sample("VDD_IN", START_NS + second * 10**9, 5.0 + second % 7)
            if second % 2000 == 0:
                journal.flush()
    assert os.path.getsize(path) <= 300_000
    with JournalReader(path) as reader:
        assert list(reader.samples(1))[-1].second == START_NS // 10**9 + 39_999


def test_events_are_kept_by_number_not_by_age(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with open_journal(path, max_bytes=BOUND) as journal:
        journal.start_run("b", "b")
        journal.event(Level.INFO, "first", "of all")
        for first in range(0, 40_000, 4000):
            journal.append_frames(frames(4000, first=first))
            journal.flush()
    with JournalReader(path) as reader:
        assert next(iter(reader.frames())).sequence > 0
        assert [event.kind for event in reader.events()] == ["first"]


def test_an_event_storm_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with open_journal(path, max_bytes=400_000) as journal:
        journal.start_run("b", "b")
        for number in range(20_000):
            journal.event(Level.INFO, "storm", f"{number} " + "x" * 50)
            if number % 1000 == 999:
                journal.flush()
    assert os.path.getsize(path) <= 400_000
    with JournalReader(path) as reader:
        assert reader.events()[-1].message.startswith("19999 ")


def test_runs_of_which_only_totals_are_left_are_forgotten_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with open_journal(path, max_bytes=200_000, keep_empty_runs=5) as journal:
        for _ in range(30):
            journal.start_run("b", "b")
            journal.append_frames(frames(500))
            journal.flush()
    with JournalReader(path) as reader:
        runs = [run.id for run in reader.runs()]
        with_frames = {frame.run_id for frame in reader.frames()}
        assert runs == list(range(runs[0], 31))
        assert len(runs) <= len(with_frames) + 7
        assert {key.run_id for key in reader.rollups()} == set(runs)
        assert reader.query("SELECT value FROM meta WHERE key = 'frames_total'") == [(15_000,)]
