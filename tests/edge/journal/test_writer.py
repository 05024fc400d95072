from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from boards.board import Quantity
from boards.sensor import Method
from edge.journal import FrameRow, Journal, JournalError, JournalReader, JournalSettings, Level, SampleRow
from tests.edge.journal.made import START_NS, UTC_NS, FakeClock, frames, open_journal
from tests.edge.journal.scan import assert_equal, gather


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    rows = [*frames(5), *frames(3, first=5, known=False)]
    with open_journal(tmp_path / "j.db") as journal:
        assert journal.register_variant("full-int8", "full", "int8", "litert") == 1
        assert journal.register_variant("full-int8", "full", "int8", "litert") == 1
        run_id = journal.start_run("simulated", "demo", '{"a":1}', ["VDD_IN"])
        journal.append_frames(rows)
    with JournalReader(tmp_path / "j.db") as reader:
        run = reader.run()
        assert (run.id, run.board, run.bundle, run.config) == (run_id, "simulated", "demo", '{"a":1}')
        assert run.rails_included == ("VDD_IN",)
        assert run.outcome == "finished"
        assert run.energy_uj == sum(row.energy_uj or 0 for row in rows)
        assert [tuple(frame)[2:] for frame in reader.frames(run_id)] == [tuple(row) for row in rows]
        assert reader.variants()[1].precision == "int8"
        assert_equal(reader.rollups(), gather((run_id, row) for row in rows))


def test_unknown_energy_is_null_and_never_zero(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db") as journal:
        journal.start_run("b", "b")
        journal.append_frames(frames(3, known=False))
    with JournalReader(tmp_path / "j.db") as reader:
        assert [frame.energy_uj for frame in reader.frames()] == [None] * 3
        assert reader.run().energy_uj is None
        assert reader.total_energy_uj() == {}


def test_frames_are_committed_when_the_interval_is_over(tmp_path: Path) -> None:
    clock = FakeClock()
    with open_journal(tmp_path / "j.db", clock, commit_interval_s=30.0) as journal:
        journal.start_run("b", "b")
        journal.append_frames(frames(4))
        clock.advance(29)
        assert not journal.tick()
        assert _count(tmp_path / "j.db") == 0
        clock.advance(1)
        assert journal.tick()
        assert _count(tmp_path / "j.db") == 4
        assert journal.pending_rows == 0


@pytest.mark.parametrize("urgent", ["switch", "critical", "battery_critical", "undervoltage"])
def test_what_is_urgent_is_committed_at_once(tmp_path: Path, urgent: str) -> None:
    with open_journal(tmp_path / "j.db") as journal:
        journal.start_run("b", "b")
        journal.append_frames(frames(2))
        if urgent == "switch":
            journal.switch(START_NS, None, 1, "start")
        elif urgent == "critical":
            journal.event(Level.CRITICAL, "heat", "too hot")
        else:
            journal.event(Level.WARNING, urgent, "low")
        assert journal.tick()
        assert _count(tmp_path / "j.db") == 2


def test_variants_that_share_time_do_not_hurry_the_disk(tmp_path: Path) -> None:
    clock = FakeClock()
    with open_journal(tmp_path / "j.db", clock) as journal:
        journal.start_run("b", "b")
        journal.switch(START_NS, None, 1, "start")
        assert journal.tick()
        for number in range(5):
            clock.now_ns += 5_000_000_000
            journal.switch(clock(), 1 + number % 2, 2 - number % 2, "sharing time")
            assert not journal.tick()
        clock.now_ns += 601_000_000_000
        journal.switch(clock(), 1, 2, "heat")
        assert journal.tick()


def test_an_event_that_is_not_urgent_waits(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db") as journal:
        journal.start_run("b", "b")
        journal.event(Level.WARNING, "camera", "slow")
        assert not journal.tick()


def test_the_thread_saves_switches_without_being_asked(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.db", JournalSettings(commit_interval_s=3600)) as journal:
        journal.start_run("b", "b")
        journal.append_frames(frames(2))
        journal.switch(START_NS, 1, 2, "heat", {"temperature_c": 80.5}, cost_us=310)
        assert journal.flush()
        with JournalReader(tmp_path / "j.db") as reader:
            (switch,) = reader.switches(1)
            assert (switch.from_id, switch.to_id, switch.reason, switch.cost_us) == (1, 2, "heat", 310)
            assert json.loads(switch.detail) == {"temperature_c": 80.5}


def test_many_producers_lose_nothing(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.db", JournalSettings(batch_rows=500)) as journal:
        journal.start_run("b", "b")

        def produce(number: int) -> None:
            for row in frames(500, variant_id=number, seed=number):
                journal.append_frame(row)

        threads = [threading.Thread(target=produce, args=(number,)) for number in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with JournalReader(tmp_path / "j.db") as reader:
        assert sum(1 for _ in reader.frames()) == 1500
        assert {key.variant_id: totals["skipped"].count for key, totals in reader.rollups().items()} == {
            1: 500,
            2: 500,
            3: 500,
        }


def test_leaving_does_not_wait_for_the_check_and_saves_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with open_journal(path, max_pending_rows=10**6) as journal:
        journal.start_run("b", "b")
        for first in range(0, 40_000, 2000):
            journal.append_frames(frames(2000, first=first))
    for life in range(2, 8):
        with Journal.open(path) as journal:
            assert journal.start_run("b", "b") == life
            journal.append_frames(frames(3))
    with JournalReader(path) as reader:
        assert [sum(1 for _ in reader.frames(run)) for run in range(2, 8)] == [3] * 6


def test_numbers_and_the_energy_counter_go_on_after_a_restart(tmp_path: Path) -> None:
    total = 0
    for restart in range(3):
        with open_journal(tmp_path / "j.db") as journal:
            assert journal.register_variant("half", "half") == 1
            assert journal.start_run("b", "b") == restart + 1
            rows = frames(10, seed=restart)
            journal.append_frames(rows)
            journal.append_frames([rows[0]._replace(method=Method.MEASURED)])
            total += sum(row.energy_uj or 0 for row in rows)
    with open_journal(tmp_path / "j.db") as journal, JournalReader(tmp_path / "j.db") as reader:
        assert journal.saved_energy_uj == reader.total_energy_uj()
        assert reader.total_energy_uj()[Method.MODELLED] == total
        assert reader.total_energy_uj()[Method.MEASURED] > 0
        assert [run.first_frame_id for run in reader.runs()] == [1, 12, 23]
        assert sum(1 for _ in reader.frames(2)) == 11


def test_samples_become_one_row_a_second_in_base_units(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db", raw_ring_rows=4) as journal:
        journal.register_channel("VDD_IN", Quantity.POWER)
        journal.register_channel("cpu", Quantity.TEMPERATURE)
        journal.start_run("b", "b")
        for step in range(8):
            journal.sample("VDD_IN", START_NS + step * 250_000_000, 4.0 + step)
        journal.sample("cpu", START_NS, 61.5)
    with JournalReader(tmp_path / "j.db") as reader:
        second = START_NS // 10**9
        assert list(reader.samples(1, 1)) == [
            SampleRow(1, second, 1, 5_500_000, 4_000_000, 7_000_000),
            SampleRow(1, second + 1, 1, 9_500_000, 8_000_000, 11_000_000),
        ]
        assert list(reader.samples(1, 2)) == [SampleRow(1, second, 2, 61_500, 61_500, 61_500)]
        assert len(reader.query("SELECT * FROM raw_sample")) == 4


def test_a_slow_channel_has_one_row_for_as_long_as_it_says(tmp_path: Path) -> None:
    ns = 1_000_000_000
    with open_journal(tmp_path / "j.db") as journal:
        journal.register_channel("VDD_IN", Quantity.POWER)
        journal.register_channel("cpu", Quantity.TEMPERATURE, row_s=10)
        journal.start_run("b", "b")
        for second in range(105, 125):
            journal.sample("VDD_IN", second * ns, 5.0)
            journal.sample("cpu", second * ns, 60.0 + second - 105)
    with JournalReader(tmp_path / "j.db") as reader:
        assert [row.second for row in reader.samples(1, 1)] == list(range(105, 125))
        assert list(reader.samples(1, 2)) == [
            SampleRow(1, 100, 2, 62_000, 60_000, 64_000),
            SampleRow(1, 110, 2, 69_500, 65_000, 74_000),
            SampleRow(1, 120, 2, 77_000, 75_000, 79_000),
        ]


def test_a_sample_must_be_a_number_of_a_known_channel(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db") as journal:
        journal.start_run("b", "b")
        with pytest.raises(JournalError, match="not registered"):
            journal.sample("nobody", 0, 1.0)
        with pytest.raises(ValueError, match="nan"):
            journal.sample("nobody", 0, float("nan"))


def test_observations_and_decisions_can_be_replayed(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db") as journal:
        journal.start_run("b", "b")
        seen = journal.observation(START_NS, {"battery": 0.5})
        journal.decision(START_NS, seen, 2, "saves energy", {"predicted_w": 4.5})
    with JournalReader(tmp_path / "j.db") as reader:
        assert list(reader.observations(1)) == [(seen, START_NS, {"battery": 0.5})]
        assert list(reader.decisions(1)) == [(START_NS, seen, 2, "saves energy", {"predicted_w": 4.5})]


def test_the_clock_is_noted_now_and_then(tmp_path: Path) -> None:
    clock = FakeClock()
    with open_journal(tmp_path / "j.db", clock, clock_interval_s=600) as journal:
        journal.start_run("b", "b")
        for _ in range(20):
            clock.advance(60)
            journal.tick()
    with JournalReader(tmp_path / "j.db") as reader:
        assert reader.query("SELECT count(*) FROM clock") == [(4,)]  # start, two intervals, end
        assert reader.clock(1).utc_ns(START_NS + 7) == UTC_NS + START_NS + 7


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db"), pytest.raises(JournalError, match="another process is writing"):
        open_journal(tmp_path / "j.db")
    open_journal(tmp_path / "j.db").close()


def test_rows_need_a_run(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db") as journal, pytest.raises(JournalError, match="start_run"):
        journal.append_frames(frames(1))
    with pytest.raises(JournalError, match="closed"):
        journal.start_run("b", "b")


@pytest.mark.parametrize(
    "bad",
    [
        {"energy_uj": 1.5},
        {"infer_us": None},
        {"age_us": 1 << 70},
        {"age_us": 1 << 60},
        {"end_ns": 0},
        {"method": Method.UNAVAILABLE},
        {"skipped": "one"},
    ],
)
def test_a_frame_that_cannot_be_stored_spoils_no_other(tmp_path: Path, bad: dict[str, object]) -> None:
    rows = frames(5)
    rows[2] = FrameRow(**{**rows[2]._asdict(), **bad})
    heard: list[str] = []
    journal = Journal.open(tmp_path / "j.db", threaded=False, on_event=lambda level, kind, message: heard.append(kind))
    journal.start_run("b", "b")
    journal.append_frames(rows)
    journal.close()
    with JournalReader(tmp_path / "j.db") as reader:
        assert [frame.sequence for frame in reader.frames()] == [0, 1, 3, 4]
        assert [event.kind for event in reader.events()] == ["journal_bad_rows"] == heard


def test_a_value_that_sqlite_cannot_store_is_refused_where_it_is_given(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db") as journal:
        journal.start_run("b", "b")
        with pytest.raises(ValueError, match="cannot store"):
            journal.switch(1 << 70, None, 1, "x")
        journal.event(Level.INFO, "text", "half a \udc80 pair")
    with JournalReader(tmp_path / "j.db") as reader:
        assert reader.events()[0].message == "half a ? pair"


def test_an_idle_journal_writes_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    with open_journal(tmp_path / "j.db", clock) as journal:
        before = os.stat(tmp_path / "j.db-wal").st_size
        for _ in range(50):
            clock.advance(JournalSettings().commit_interval_s)
            assert journal.tick()
        assert os.stat(tmp_path / "j.db-wal").st_size == before


def test_the_file_is_made_for_a_bounded_life_on_a_card(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db") as journal:
        assert journal._store is not None
        pragma = {
            name: journal._store._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "auto_vacuum", "synchronous")
        }
    assert pragma == {"journal_mode": "wal", "auto_vacuum": 2, "synchronous": 2}


def _count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM frame").fetchone()[0])
    finally:
        connection.close()
