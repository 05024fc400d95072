"""A run's journal, replayed: what one board drew drives another run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boards.board import Quantity
from boards.detect import open_board
from boards.recording import Recording, Series
from boards.sensor import BoardError, Method
from edge.config import Config
from edge.daemon import Daemon, RunOptions
from edge.journal import Journal, JournalError, JournalReader
from edge.replay import read_journal
from tests.edge.tiny import STREET, write_bundle

SECOND = 1_000_000_000
START_NS = 5_000 * SECOND


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns


WATTS = (3.0, 6.0, 5.0, 4.0)


def record(path: Path, *, rails: tuple[str, ...] = ("VDD_IN",), lost: range = range(0)) -> None:
    """Two runs: one without samples, and one of four seconds at 10 Hz, of a rail, a counter, a battery and heat."""
    clock = Clock()
    journal = Journal.open(path, monotonic_ns=clock, utc_ns=lambda: 1_800_000_000 * SECOND + clock.now_ns)
    journal.start_run("first", "bundle")
    journal.end_run()
    for name, quantity, method in (
        ("VDD_IN", Quantity.POWER, Method.MEASURED),
        ("VDD_SOC", Quantity.POWER, Method.MEASURED),
        ("rapl-package", Quantity.ENERGY, Method.COUNTER),
        ("battery", Quantity.RATIO, Method.MEASURED),
        ("battery_energy_j", Quantity.ENERGY, Method.MEASURED),
        ("cpu-thermal", Quantity.TEMPERATURE, Method.MEASURED),
    ):
        journal.register_channel(name, quantity, method)
    journal.start_run("jetson", "streets@abc", rails_included=rails)
    joules = 1000.0
    for tick in range(len(WATTS) * 10):
        watts = WATTS[tick // 10]
        for name, value in (
            ("VDD_IN", watts),
            ("VDD_SOC", 1.0),
            ("rapl-package", joules),
            ("battery", 0.5 - tick / 1000),
            ("battery_energy_j", 36_000 - joules),
            ("cpu-thermal", 40.0 + watts),
        ):
            if not (name == "VDD_IN" and tick // 10 in lost):
                journal.sample(name, clock.now_ns, value)
        joules += watts * 0.1
        clock.now_ns += SECOND // 10
    journal.end_run()
    assert journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "old.db"
    record(place)
    return place


def series(recording: Recording | None, name: str) -> Series:
    assert recording is not None
    found = recording.find(name)
    assert found is not None, [each.name for each in recording.series]
    return found


def test_each_channel_is_a_series_of_a_value_a_second(path: Path) -> None:
    recording = read_journal(path, {})
    assert recording is not None
    assert (recording.kind, recording.source) == ("journal, run 2", str(path))
    assert series(recording, "VDD_IN").times_s.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert series(recording, "VDD_IN").values.tolist() == list(WATTS)
    assert series(recording, "cpu-thermal").values.tolist() == [43.0, 46.0, 45.0, 44.0]
    assert series(recording, "battery").values.tolist() == pytest.approx([0.4955, 0.4855, 0.4755, 0.4655])
    assert series(recording, "battery_energy_j").quantity is Quantity.ENERGY
    assert recording.notes["recorded"] == "run 2 on jetson with streets@abc"
    assert recording.began_utc_s == 1_800_000_000 + START_NS / SECOND
    assert recording.find("rapl-package") is None


def test_a_counter_becomes_the_watts_of_each_second(path: Path) -> None:
    power = series(read_journal(path, {}), "rapl-package-power")
    assert power.quantity is Quantity.POWER
    assert power.times_s.tolist() == [0.0, 1.0, 2.0]  # what the last second held is not known
    assert power.values.tolist() == pytest.approx(WATTS[:3])


@pytest.mark.parametrize(
    ("rails", "energy", "watts"),
    [
        (("VDD_IN",), "VDD_IN", 3.0),
        (("VDD_IN", "VDD_SOC"), "rails-total", 4.0),
        (("package-0",), "rapl-package-power", 3.0),
        (("rapl-package",), "rapl-package-power", 3.0),
    ],
)
def test_energy_is_of_the_rails_that_the_run_named(
    tmp_path: Path, rails: tuple[str, ...], energy: str, watts: float
) -> None:
    record(tmp_path / "j.db", rails=rails)
    recording = read_journal(tmp_path / "j.db", {"run": "2"})
    assert recording is not None
    assert (recording.energy, recording.rails_included) == (energy, rails)
    assert series(recording, energy).values[0] == pytest.approx(watts)


def test_what_was_lost_stays_lost(tmp_path: Path) -> None:
    record(tmp_path / "j.db", lost=range(1, 3))
    lossy = series(read_journal(tmp_path / "j.db", {}), "VDD_IN")
    assert lossy.times_s.tolist() == [0.0, 3.0]


def test_a_run_is_chosen_by_number(path: Path) -> None:
    with pytest.raises(BoardError, match="run 1 holds no samples to replay; runs with samples: 2"):
        read_journal(path, {"run": "1"})
    with pytest.raises(JournalError, match="has no run 9; it has runs 1 to 2"):
        read_journal(path, {"run": "9"})
    with pytest.raises(BoardError, match="run must be a whole number, not '-1'"):
        read_journal(path, {"run": "-1"})


def test_what_is_no_database_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("time_s,power_w\n0,1\n")
    assert read_journal(tmp_path / "t.csv", {}) is None
    assert read_journal(tmp_path / "none", {}) is None
    (tmp_path / "broken.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(JournalError, match=r"broken\.db"):
        read_journal(tmp_path / "broken.db", {})


def test_it_is_a_board(path: Path) -> None:
    clock = Clock()
    board = open_board(f"replay:file={path},run=2,speed=2", clock=clock, recordings=(read_journal,))
    assert board.energy_channel == "recorded-energy"
    energy = next(c for c in board.channels if c.name == "recorded-energy").sensor
    before = energy.read().value
    clock.now_ns += SECOND
    assert energy.read().value - before == pytest.approx((3 + 6) / 2)


def test_a_run_drives_the_next_one_and_that_one_the_next(tmp_path: Path, path: Path) -> None:
    """The daemon on a replayed journal writes a journal that can be replayed in its turn, with the same watts."""
    bundle = write_bundle(tmp_path / "bundle", STREET)
    again = tmp_path / "again.db"
    options = RunOptions(
        bundle=bundle, camera="synthetic:48x64@20", board="", journal=again, config=Config(), frames=25, threads=1
    )
    board = open_board(f"replay:file={path},loop=yes", recordings=(read_journal,))
    with Daemon(options, board=board) as daemon:
        summary = daemon.run()
    assert (summary.frames, summary.energy_method) == (25, "modelled")
    with JournalReader(again) as journal:
        (run,) = journal.runs()
        frames = list(journal.frames())
    assert (run.board, run.rails_included) == ("replay", ("VDD_IN",))
    known = [frame for frame in frames if frame.energy_uj is not None]
    assert len(known) > 15
    for frame in known:
        watts = (frame.energy_uj or 0) / (frame.end_ns - frame.start_ns) * 1e3
        assert 2.9 <= watts <= 6.1
        assert frame.method == Method.MODELLED
    recording = read_journal(again, {})
    assert recording is not None
    assert recording.energy == "VDD_IN"
    replayed = series(recording, "VDD_IN").values
    assert replayed.min() >= 3.0
    assert replayed.max() <= 6.0
    assert json.loads(run.config)["camera_source"] == "synthetic:48x64@20"
