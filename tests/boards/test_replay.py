"""The replay board: recorded values against a clock, its energy, its gaps and its end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.board import Board, Quantity
from boards.detect import open_board
from boards.recording import Recording, Series
from boards.replay import open_replay, replayed
from boards.sensor import BoardError, Method, SensorLost
from edge.meter import CounterMeter
from tests.boards.conftest import FakeClock

DATA = Path(os.environ.get("JOULEPATH_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "traces"
SECOND = 1_000_000_000


def power(values: list[float], times: list[float] | None = None) -> Series:
    at = list(range(len(values))) if times is None else times
    return Series("wall", Quantity.POWER, np.array(at, dtype=np.float64), np.array(values, dtype=np.float64))


def recording(*series: Series, energy: str | None = "wall") -> Recording:
    return Recording("made.csv", "made", series, energy, ("wall",))


def value(board: Board, name: str) -> float:
    return next(c for c in board.channels if c.name == name).sensor.read().value


def metered(board: Board, clock: FakeClock, until_s: float, step_s: float = 0.02) -> CounterMeter:
    """A meter that read the energy channel every `step_s` of the clock."""
    channel = next(c for c in board.channels if c.name == board.energy_channel)
    meter = CounterMeter(channel.method, channel.period_s, capacity=20_000)
    begin_ns = clock.now_ns
    count = round(until_s / step_s)
    for i in range(count + 1):
        clock.now_ns = begin_ns + round(i * step_s * SECOND)
        try:
            meter.add(channel.sensor.read())
        except SensorLost:
            meter.lost(clock.now_ns)
    return meter


def test_values_are_held_until_the_next(clock: FakeClock) -> None:
    heat = Series("cpu", Quantity.TEMPERATURE, np.array([0.0, 2.0]), np.array([40.0, 50.0]))
    board = replayed(recording(power([3.0, 5.0, 4.0]), heat), clock=clock)
    seen = []
    for _ in range(6):
        seen.append((value(board, "wall"), value(board, "cpu")))
        clock.forward(0.5)
    assert seen == [(3, 40), (3, 40), (5, 40), (5, 40), (4, 50), (4, 50)]


def test_it_begins_when_it_is_opened_and_ends_with_the_recording(clock: FakeClock) -> None:
    clock.forward(1000)
    board = replayed(recording(power([3.0, 5.0])), clock=clock)
    assert value(board, "wall") == 3.0
    clock.forward(1.999)
    assert value(board, "wall") == 5.0
    clock.forward(0.001)
    for name in ("wall", "recorded-energy"):
        with pytest.raises(SensorLost, match=r"made\.csv: recording ended"):
            value(board, name)


def test_it_begins_again_when_it_loops(clock: FakeClock) -> None:
    board = replayed(recording(power([3.0, 5.0])), clock=clock, loop=True)
    clock.forward(200 * 2 + 1.5)
    assert value(board, "wall") == 5.0
    clock.forward(1)
    assert value(board, "wall") == 3.0


def test_all_of_it_is_modelled_and_says_from_where(clock: FakeClock) -> None:
    board = replayed(recording(power([3.0, 5.0])), clock=clock, speed=4)
    assert {channel.method for channel in board.channels} == {Method.MODELLED}
    assert {channel.path for channel in board.channels} == {"made.csv"}
    assert (board.info.name, board.info.model, board.info.rails_included) == (
        "replay", "recording made.csv", ("wall",),
    )  # fmt: skip
    assert board.info.details["energy"] == (
        "modelled: the recorded power wall, not what this run draws; joules are those of time shortened 4 times"
    )


def test_energy_is_the_integral_of_the_held_watts(clock: FakeClock) -> None:
    board = replayed(recording(power([3.0, 5.0, 4.0])), clock=clock)
    start_ns = clock.now_ns
    meter = metered(board, clock, 2.98)
    # Windows that tile the recording: their sum is the recording's own integral, to the microjoule's rounding.
    whole = meter.energy(start_ns, start_ns + round(2.98 * SECOND))
    assert whole.energy_uj == pytest.approx((3 + 5 + 4 * 0.98) * 1e6, abs=1)
    assert meter.energy(start_ns + SECOND, start_ns + 2 * SECOND).energy_uj == pytest.approx(5e6, abs=1)
    assert whole.method is Method.MODELLED


@pytest.mark.parametrize("speed", [0.5, 10.0, 333.0])
def test_speed_shrinks_time_and_leaves_watts(clock: FakeClock, speed: float) -> None:
    values = [3.0, 5.0, 4.0, 6.0] * round(10 * speed)
    board = replayed(recording(power(values)), clock=clock, speed=speed)
    start_ns = clock.now_ns
    until_s = round(0.9 * len(values) / speed, 2)
    meter = metered(board, clock, until_s)
    played = until_s * speed
    expected_j = (sum(values[: int(played)]) + values[int(played)] * (played % 1)) / speed
    measured = meter.energy(start_ns, start_ns + round(until_s * SECOND))
    assert measured.energy_uj == pytest.approx(expected_j * 1e6, abs=2)


def test_energy_goes_on_where_a_loop_closes(clock: FakeClock) -> None:
    board = replayed(recording(power([3.0, 5.0])), clock=clock, loop=True)
    start_ns = clock.now_ns
    meter = metered(board, clock, 9.0)
    assert meter.energy(start_ns, start_ns + 9 * SECOND).energy_uj == pytest.approx((4 * 8 + 3) * 1e6, abs=1)


@pytest.mark.parametrize("speed", [1.0, 1000.0])
def test_no_energy_across_a_gap_however_fast_it_passes(clock: FakeClock, speed: float) -> None:
    times = [*range(100), *range(200, 300)]
    board = replayed(recording(power([3.0] * 200, [float(t) for t in times])), clock=clock, speed=speed)
    start_ns = clock.now_ns
    meter = metered(board, clock, 299 / speed, 0.02 if speed == 1 else 0.01)

    def energy(begin_s: float, end_s: float) -> int | None:
        return meter.energy(
            start_ns + round(begin_s / speed * SECOND), start_ns + round(end_s / speed * SECOND)
        ).energy_uj

    assert energy(10, 90) == pytest.approx(80 * 3 / speed * 1e6, abs=1)
    assert energy(210, 290) == pytest.approx(80 * 3 / speed * 1e6, abs=1)
    assert energy(90, 210) is None
    assert energy(50, 250) is None


def test_a_gap_is_a_lost_sensor(clock: FakeClock) -> None:
    board = replayed(recording(power([3.0, 3.0, 3.0, 5.0], [0, 1, 2, 60])), clock=clock)
    clock.forward(2.9)
    assert value(board, "wall") == 3.0  # the last value before it holds one usual step
    clock.forward(0.2)
    with pytest.raises(SensorLost, match=r"nothing was recorded of wall at 3\.1 s"):
        value(board, "wall")
    clock.forward(57)
    assert value(board, "wall") == 5.0


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(0, 100), min_size=2, max_size=12),
    steps=st.lists(st.floats(0.5, 20), min_size=11, max_size=11),
    speed=st.floats(1, 20),
)
def test_windows_between_readings_have_the_recorded_energy_or_none(
    values: list[float], steps: list[float], speed: float
) -> None:
    clock = FakeClock()
    series = power(values, [0.0, *np.cumsum(steps[: len(values) - 1]).tolist()])
    board = replayed(recording(series), clock=clock, speed=speed)
    start_ns = clock.now_ns
    meter = metered(board, clock, series.ends_s[-1] / speed, 0.05)
    at_s = np.linspace(0.1, 0.9, 9) * series.ends_s[-1] / speed
    marks = [round(second / 0.05) * 50_000_000 for second in at_s]  # instants of readings
    for begin, end in pairwise(marks):
        from_s, to_s = begin / SECOND * speed, end / SECOND * speed
        lasts = np.minimum(to_s, series.ends_s) - np.maximum(from_s, series.times_s)
        expected_j = (np.maximum(lasts, 0) * values).sum() / speed
        found_uj = meter.energy(start_ns + begin, start_ns + end).energy_uj
        covered = np.maximum(lasts, 0).sum() >= to_s - from_s - 1e-6
        assert found_uj is not None or len(series.gap_indices) > 0
        if found_uj is not None:
            assert covered
            assert found_uj == pytest.approx(expected_j * 1e6, rel=1e-6, abs=2)


def test_of_several_powers_total_names_one(clock: FakeClock) -> None:
    other = Series("cpu", Quantity.POWER, np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    both = recording(power([3.0, 3.0]), other, energy=None)
    assert replayed(both, clock=clock).energy_channel is None
    board = replayed(both, clock=clock, total="cpu")
    assert board.energy_channel == "recorded-energy"
    assert board.info.rails_included == ("cpu",)
    with pytest.raises(BoardError, match="no power named 'gpu' was recorded; there are: wall, cpu"):
        replayed(both, clock=clock, total="gpu")


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan"), 1e7])
def test_a_speed_that_cannot_be_is_refused(clock: FakeClock, speed: float) -> None:
    with pytest.raises(BoardError, match="speed must be above 0"):
        replayed(recording(power([3.0, 5.0])), clock=clock, speed=speed)


def test_the_command_lines_words(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("time_s,cpu_w,gpu_w,battery_ratio\n0,1,2,0.5\n1,1,2,0.5\n2,1,2,0.4\n")
    board = open_board(f"replay:file={path},speed=2,loop=yes,total=gpu", clock=clock)
    clock.forward(3.5)
    assert value(board, "gpu") == 2.0
    assert value(board, "battery") == 0.5
    clock.forward(0.6)
    assert value(board, "battery") == 0.4
    for words, why in (
        ("speed=2", "needs file=PATH"),
        (f"file={path},spd=2", "no option 'spd' .did you mean 'speed'"),
        (f"file={path},loop=maybe", "loop must be yes or no"),
        (f"file={path},run=3", "run says nothing here; it belongs to recorded journals"),
        (f"file={path},cells=2.5", "cells must be a whole number"),
        (f"file={tmp_path}/none.csv", "No such file or directory"),
    ):
        with pytest.raises(BoardError, match=why):
            open_board(f"replay:{words}", clock=clock)


def test_readers_of_other_rooms_are_asked_first(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"SQLite")
    asked: list[tuple[Path, Mapping[str, str]]] = []

    def reads(place: Path, options: Mapping[str, str], /) -> Recording | None:
        asked.append((place, options))
        return recording(power([7.0, 7.0]))

    board = open_board(f"replay:file={path},run=3", clock=clock, recordings=(reads,))
    assert asked == [(path, {"run": "3"})]
    assert value(board, "wall") == 7.0
    assert open_replay(path, clock=clock, readers=(reads,)).info.name == "replay"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no traces at {DATA} (set JOULEPATH_DATA)")
def test_a_real_log_replayed_at_ten_times_its_speed_gives_a_tenth_of_its_joules(clock: FakeClock) -> None:
    board = open_board(f"replay:file={DATA}/rpi4-fan-off/spl.txt,speed=10", clock=clock)
    start_ns = clock.now_ns
    meter = metered(board, clock, 65.1)
    measured = meter.energy(start_ns, start_ns + round(65.1 * SECOND))
    assert measured.energy_uj == pytest.approx(368.65e6, abs=0.1e6)  # 3689.5 J in 652 s, the last second left out
    assert measured.uncertainty_uj is not None
    assert measured.uncertainty_uj < 0.001 * 368e6
