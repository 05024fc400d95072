from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace

import pytest

from boards.board import Activity
from boards.detect import open_board
from boards.sensor import BoardError, Method, Reading
from boards.simulated import BUSY_W, IDLE_W, PRESETS, Settings, SimulatedBoard, power_table
from boards.waveform import Piece, Waveform, WaveformCounter, WaveformSensor, bursts, ramps, steps
from tests.boards.conftest import FakeClock

QUIET = Settings(noise_w=0.0)


def read(board: SimulatedBoard, name: str) -> Reading:
    return next(channel for channel in board.channels if channel.name == name).sensor.read()


def busy(board: SimulatedBoard, clock: FakeClock, variant: str | None = "full") -> None:
    board.note(Activity(variant, True, clock()))


def rest(board: SimulatedBoard, clock: FakeClock) -> None:
    board.note(Activity(None, False, clock()))


def test_energy_is_idle_plus_what_each_variant_takes(clock: FakeClock) -> None:
    board = SimulatedBoard(replace(QUIET, power_table={"full": 6.0, "light": 4.0}), clock=clock)
    begin = clock()
    clock.forward(1.0)
    busy(board, clock)
    assert read(board, "board").value == 6.0
    clock.forward(0.5)
    busy(board, clock, "light")
    clock.forward(0.25)
    rest(board, clock)
    clock.forward(1.25)
    assert read(board, "board").value == IDLE_W
    assert board.true_energy_j(begin, clock()) == pytest.approx(2.25 * IDLE_W + 0.5 * 6.0 + 0.25 * 4.0)
    middle = begin + 1_250_000_000
    assert board.true_energy_j(begin, middle) + board.true_energy_j(middle, clock()) == pytest.approx(
        board.true_energy_j(begin, clock())
    )


def test_everything_is_modelled(clock: FakeClock) -> None:
    board = SimulatedBoard(clock=clock)
    assert {channel.method for channel in board.channels} == {Method.MODELLED}
    assert board.energy_channel in {channel.name for channel in board.channels}
    with pytest.raises(BoardError, match="before its start"):
        board.true_energy_j(clock() - 1, clock())


def test_the_same_seed_gives_the_same_readings_and_another_does_not() -> None:
    def run(seed: int) -> list[float]:
        clock = FakeClock()
        board = SimulatedBoard(Settings(seed=seed), clock=clock)
        return [(clock.forward(0.01), read(board, "board").value)[1] for _ in range(50)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert statistics.stdev(run(1)) == pytest.approx(0.058, rel=0.35)


def test_what_is_read_does_not_depend_on_how_often_it_is_read() -> None:
    hot = replace(PRESETS["demo"], noise_w=0.0, throttle_c=65.0)
    coarse_clock, fine_clock = FakeClock(), FakeClock()
    coarse, fine = SimulatedBoard(hot, clock=coarse_clock), SimulatedBoard(hot, clock=fine_clock)
    drawn = random.Random(4)
    for second in range(30):
        for board, clock in ((coarse, coarse_clock), (fine, fine_clock)):
            (rest if second % 5 == 4 else busy)(board, clock)
        coarse_clock.forward(1.0)
        end = fine_clock() + 1_000_000_000
        while fine_clock() < end:
            fine_clock.now_ns = min(end, fine_clock() + drawn.randrange(1, 40_000_000))
            read(fine, "cpu-thermal")
    for name in ("cpu-thermal", "battery", "throttled", "load"):
        assert read(coarse, name).value == pytest.approx(read(fine, name).value, abs=1e-9)
    begin = 1_000_000_000
    assert coarse.true_energy_j(begin, coarse_clock()) == pytest.approx(fine.true_energy_j(begin, fine_clock()))
    assert read(coarse, "throttled").value == 1.0


def test_heat_follows_the_closed_solution(clock: FakeClock) -> None:
    settings = replace(QUIET, resistance_k_per_w=5.0, capacity_j_per_k=20.0, start_c=25.0, throttle_c=200.0)
    board = SimulatedBoard(settings, clock=clock)
    busy(board, clock)
    for elapsed in (10.0, 100.0, 1000.0):
        clock.now_ns = 1_000_000_000 + round(elapsed * 1e9)
        expected = 25.0 + BUSY_W * 5.0 * (1 - math.exp(-elapsed / 100.0))
        assert read(board, "cpu-thermal").value == pytest.approx(expected, abs=1e-6)


def test_a_board_that_only_idles_stays_in_balance(clock: FakeClock) -> None:
    board = SimulatedBoard(QUIET, clock=clock)
    before = read(board, "cpu-thermal").value
    clock.forward(500.0)
    assert read(board, "cpu-thermal").value == pytest.approx(before)


def test_throttling_sets_in_slows_down_and_lets_go_with_hysteresis(clock: FakeClock) -> None:
    settings = replace(QUIET, start_c=79.0, throttle_c=80.0, ambient=((0.0, 60.0),), capacity_j_per_k=5.0)
    board = SimulatedBoard(settings, clock=clock)
    assert board.slowdown == 1.0
    busy(board, clock)
    clock.forward(60.0)
    assert board.slowdown == 1.5
    assert read(board, "throttled").value == 1.0
    assert read(board, "board").value == pytest.approx(IDLE_W + (BUSY_W - IDLE_W) / 1.5)
    cool = replace(settings, ambient=((0.0, 60.0), (60.0, 60.0), (61.0, 0.0)))
    later = FakeClock()
    board = SimulatedBoard(cool, clock=later)
    busy(board, later)
    seen = set()
    for _ in range(4000):
        later.forward(0.05)
        seen.add((read(board, "throttled").value, 75.0 < read(board, "cpu-thermal").value < 80.0))
    assert (1.0, True) in seen  # still throttled between 75 and 80 on the way down
    assert board.slowdown == 1.0


def test_the_battery_drains_by_what_is_drawn(clock: FakeClock) -> None:
    board = SimulatedBoard(replace(QUIET, battery=0.5, battery_wh=1.0, accelerate=10.0), clock=clock)
    clock.forward(30.0)
    assert read(board, "battery_energy_j").value == pytest.approx(180.0 - 30.0 * IDLE_W)
    assert read(board, "battery").value == pytest.approx(90.0 / 360.0)
    clock.forward(300.0)
    assert read(board, "battery").value == 0.0
    powered = SimulatedBoard(replace(QUIET, battery=0.5, on_mains=True), clock=clock)
    clock.forward(300.0)
    assert (read(powered, "battery").value, read(powered, "mains").value) == (0.5, 1.0)


@pytest.mark.parametrize(("duty", "hot"), [(0.1, False), (0.7, True)])
def test_the_demo_runs_hot_and_empty_unless_the_load_falls(duty: float, hot: bool, clock: FakeClock) -> None:
    board = SimulatedBoard(PRESETS["demo"], clock=clock)
    assert read(board, "battery").value == pytest.approx(0.6)
    begin = clock()
    for frame in range(40 * 15):
        clock.now_ns = begin + frame * 66_666_667
        busy(board, clock)
        clock.forward(duty / 15)
        rest(board, clock)
    clock.now_ns = begin + 40_000_000_000
    assert (read(board, "cpu-thermal").value > 70.0) is hot
    assert read(board, "load").value == pytest.approx(duty, abs=0.03)
    if hot:
        assert 0.05 < read(board, "battery").value < 0.15


def test_an_inference_noted_late_counts_from_what_was_already_seen(clock: FakeClock) -> None:
    board = SimulatedBoard(QUIET, clock=clock)
    begin = clock()
    clock.forward(1.0)
    read(board, "board")
    board.note(Activity("full", True, clock() - 500_000_000))
    clock.forward(1.0)
    assert board.true_energy_j(begin, clock()) == pytest.approx(IDLE_W + BUSY_W)


def test_a_power_table_from_costs() -> None:
    table = power_table({"full": 8.0, "half": 4.0, "none": 0.0}, idle_w=2.0, busy_w=7.0)
    assert table == {"full": 7.0, "half": pytest.approx(6.0), "none": 5.0}
    assert power_table({}) == {}


def test_open_board_reads_its_options(clock: FakeClock) -> None:
    board = open_board("simulated:preset=demo,seed=3,battery=0.4,on_mains=yes", clock=clock, relative_cost={"a": 2.0})
    assert isinstance(board, SimulatedBoard)
    assert (board.settings.seed, board.settings.battery, board.settings.on_mains) == (3, 0.4, True)
    assert board.settings.accelerate == PRESETS["demo"].accelerate
    assert board.settings.power_table == {"a": BUSY_W}
    warm = open_board("simulated:ambient_c=31", clock=clock)
    assert isinstance(warm, SimulatedBoard)
    assert warm.settings.ambient == ((0.0, 31.0),)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "simulatd",
            r"unknown board 'simulatd' \(did you mean 'simulated'\?\); known: auto, jetson, raspberry-pi, linux, "
            r"simulated, replay",
        ),
        ("", r"unknown board ''; known: auto, jetson, raspberry-pi, linux, simulated, replay"),
        ("simulated:sed=1", r"no option 'sed' \(did you mean 'seed'\?\)"),
        ("simulated:seed", r"'seed' is no option; write key=value"),
        ("simulated:seed=1,seed=2", r"seed is given twice"),
        ("simulated:seed=1.5", r"seed must be a whole number, not '1.5'"),
        ("simulated:battery=nan", r"battery must be finite"),
        ("simulated:battery=2", r"battery is a ratio from 0 to 1"),
        ("simulated:accelerate=0", r"accelerate must be above 0"),
        ("simulated:preset=dem", r"unknown preset 'dem'.*did you mean 'demo'"),
        ("simulated:on_mains=1", r"on_mains must be yes or no"),
        ("linux:totl=x", r"no option 'totl'.*did you mean 'total'"),
    ],
)
def test_open_board_names_mistakes(spec: str, message: str, clock: FakeClock) -> None:
    with pytest.raises(BoardError, match=message):
        open_board(spec, clock=clock)


def test_a_waveform_knows_its_integral() -> None:
    wave = Waveform([Piece(1_000_000_000, 2.0, 4.0), Piece(500_000_000, 10.0, 10.0)], start_ns=5)
    assert wave.power_w(5) == 2.0
    assert wave.power_w(500_000_005) == 3.0
    assert wave.power_w(1_000_000_005) == 10.0
    assert wave.energy_j(5, 1_000_000_005) == pytest.approx(3.0)
    assert wave.energy_j(500_000_005, 1_250_000_005) == pytest.approx(1.75 + 2.5)
    assert wave.energy_j(-999_999_995, 2_500_000_005) == pytest.approx(2.0 + 3.0 + 5.0 + 10.0)


def test_waveforms_are_what_they_say() -> None:
    assert [piece.first_w for piece in steps([1.0, 2.0], 0.5).pieces] == [1.0, 2.0]
    assert ramps([1.0, 3.0, 2.0], 0.5).energy_j(0, 1_000_000_000) == pytest.approx(1.0 + 1.25)
    wave = bursts(3.0, 6.0, 20.0, seed=1)
    assert min(piece.duration_ns for piece in wave.pieces) >= 50_000_000
    assert {piece.first_w for piece in wave.pieces} == {3.0, 6.0}
    with pytest.raises(ValueError, match="needs pieces"):
        Waveform([])


def test_waveform_sensors(clock: FakeClock) -> None:
    wave = steps([1.0, 2.0], 1.0, start_ns=clock())
    assert WaveformSensor(wave, clock, resolution_w=0.3).read().value == pytest.approx(0.9)
    counter = WaveformCounter(wave, clock, resolution_j=0.1)
    clock.forward(1.26)
    assert counter.read().value == pytest.approx(1.5)
    noisy = WaveformSensor(wave, clock, noise_w=0.1, seed=5)
    assert statistics.stdev(noisy.read().value for _ in range(400)) == pytest.approx(0.1, rel=0.15)
