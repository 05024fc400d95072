"""The simulated world against closed forms and against the simulated board."""

from __future__ import annotations

import math

import pytest

from boards.board import Activity
from boards.simulated import Settings, SimulatedBoard
from edge.controller.pinned import StaticController
from edge.simulate.run import run
from edge.simulate.world import first_state, flat, step
from tests.edge.simulate.worlds import HIGH, HIGH_W, LOW, LOW_W, physics, world


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def __call__(self) -> int:
        return self.now_ns


def test_the_case_follows_the_closed_form_however_it_is_stepped() -> None:
    case = physics(capacity_j_per_k=60.0, chip_k_per_w=1.5, start_c=40.0)
    settled_c, tau_s = 25.0 + 7.0 * 5.0, 7.0 * 60.0
    for step_s in (0.5, 1.0, 10.0):
        state = first_state(case)
        for number in range(round(300 / step_s)):
            state = step(case, state, 5.0, number * step_s, step_s)
        expected_c = settled_c + (40.0 - settled_c) * math.exp(-300 / tau_s)
        assert state.case_c == pytest.approx(expected_c, abs=1e-9)
        assert state.chip_c == pytest.approx(expected_c + 1.5 * 5.0, abs=1e-9)


def test_it_is_the_simulated_board_in_steps() -> None:
    clock = Clock()
    settings = Settings(
        idle_w=3.0, busy_w=6.0, noise_w=0.0, resistance_k_per_w=9.0, capacity_j_per_k=124.0, start_c=50.0,
        throttle_c=60.0, battery_wh=2.0,
    )  # fmt: skip
    board = SimulatedBoard(settings, clock=clock)
    board.note(Activity("high", True, clock.now_ns))
    same = physics(
        resistance=flat(9.0), capacity_j_per_k=124.0, chip_k_per_w=0.0, start_c=50.0, throttle_c=60.0,
        battery_j=7200.0, full_j=7200.0,
    )  # fmt: skip
    state, energy_j = first_state(same), 0.0
    start_ns = clock.now_ns
    for number in range(1200):
        watts = same.power_w(HIGH, 1.0, float(number), state.throttled)
        state = step(same, state, watts, float(number), 1.0)
        energy_j += watts
        clock.now_ns += 1_000_000_000
        looked = board.look()
        # The board throttles on a grid of 10 ms, the world at the end of a second.
        assert state.case_c == pytest.approx(looked.temperature_c, abs=0.05)
    assert energy_j == pytest.approx(board.true_energy_j(start_ns, clock.now_ns), rel=0.005)
    assert state.left_j == pytest.approx(7200.0 - energy_j)


def test_throttling_has_hysteresis_and_takes_power() -> None:
    hot = physics(throttle_c=60.0, throttle_hysteresis_c=5.0, chip_k_per_w=0.0, start_c=61.0)
    state = step(hot, first_state(hot), 5.0, 0.0, 0.001)
    assert state.throttled
    assert hot.power_w(HIGH, 0.5, 0.0, True) == pytest.approx(3.0 + 3.0 / 1.5 * 0.5)
    assert hot.slowdown(0.0, True) == 1.5
    cooler = step(hot, state, 0.0, 0.0, 7 * 60.0 * math.log((61 - 25) / (56 - 25)))
    assert cooler.case_c == pytest.approx(56.0, abs=0.01)
    assert cooler.throttled
    assert not step(hot, cooler, 0.0, 0.0, 60.0).throttled


def test_a_battery_neither_overflows_nor_goes_below_empty() -> None:
    sunny = physics(battery_j=95.0, full_j=100.0, solar_w=flat(20.0))
    assert step(sunny, first_state(sunny), 5.0, 0.0, 1.0).left_j == 100.0
    dark = physics(battery_j=3.0, full_j=100.0)
    assert step(dark, first_state(dark), 5.0, 0.0, 1.0).left_j == 0.0


def test_one_variant_for_ever_costs_and_serves_what_it_must() -> None:
    for variant, watts in ((HIGH, HIGH_W), (LOW, LOW_W)):
        outcome = run(world(), StaticController(variant.id), 0, variant.id)
        assert outcome.frames == 500
        assert outcome.accuracy == pytest.approx(variant.accuracy)
        assert outcome.energy_j == pytest.approx(100 * watts, rel=1e-6)
        assert (outcome.late, outcome.switches, outcome.hot_s) == (0, 0, 0.0)


def test_a_source_faster_than_the_engine_loses_frames() -> None:
    outcome = run(world(fps=10.0), StaticController("high"), 0, "high")  # 150 ms an inference, 100 ms a frame
    assert outcome.frames == 1000
    assert outcome.late / outcome.frames == pytest.approx(1 / 3, abs=0.01)
    assert outcome.energy_j == pytest.approx(600.0, rel=0.01)  # always busy


def test_an_empty_battery_serves_nothing_more() -> None:
    outcome = run(world(battery_j=50 * LOW_W, full_j=1e4), StaticController("low"), 0, "low")
    assert outcome.died_s == pytest.approx(50.0, abs=1.0)
    assert outcome.accuracy == pytest.approx(0.2, abs=0.005)


def test_the_pace_of_the_source_is_followed() -> None:
    outcome = run(world(pace=lambda at_s: 0.5 if at_s >= 50 else 1.0), StaticController("low"), 0, "low")
    assert outcome.frames == 375


def test_noise_comes_from_the_seed_alone() -> None:
    noisy = world(latency_noise=0.1)
    one, two, other = (run(noisy, StaticController("high"), seed, "x") for seed in (1, 1, 2))
    assert one.energy_j == two.energy_j
    assert one.energy_j != other.energy_j
