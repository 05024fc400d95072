"""The oracle against optima found by hand and by trying everything."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from edge.controller.goals import Goals
from edge.simulate.oracle import NoPlanError, least_energy, on_time, solve
from edge.simulate.world import flat
from tests.edge.simulate.worlds import HIGH, HIGH_W, LOW, LOW_W, world

pytest.importorskip("scipy", reason="the oracle needs scipy: pip install 'joulepath[simulate]'")
FREE = Goals(max_temperature_c=None, emergency_temperature_c=None)


def test_without_limits_the_dearest_runs() -> None:
    plan = solve(world())
    assert plan.accuracy == pytest.approx(0.6)
    assert plan.energy_j == pytest.approx(100 * HIGH_W)
    assert plan.feasible


def test_a_battery_is_shared_exactly() -> None:
    watts = LOW_W + 0.3 * (HIGH_W - LOW_W)
    plan = solve(world(battery_j=100 * watts, full_j=1e4))
    assert plan.accuracy == pytest.approx(0.4 + 0.3 * 0.2, abs=1e-5)
    assert plan.energy_j == pytest.approx(100 * watts)


def test_a_full_battery_loses_what_the_sun_gives() -> None:
    sun = world(battery_j=100.0, full_j=100.0, solar_w=lambda at_s: 10.0 if at_s < 50 else 0.0)
    # In the dark half only the 100 J are left: 2 W, less than the board draws idle.
    assert not solve(sun).feasible
    lit = world(battery_j=50 * LOW_W, full_j=50 * LOW_W, solar_w=lambda at_s: 10.0 if at_s < 50 else 0.0)
    plan = solve(lit)
    assert plan.feasible
    assert plan.accuracy == pytest.approx(0.5, abs=1e-4)


def test_a_battery_that_cannot_last_serves_while_it_lasts() -> None:
    plan = solve(world(battery_j=60 * LOW_W, full_j=1e4))
    assert not plan.feasible
    assert 0.239 <= plan.accuracy <= 0.6


def test_a_power_limit_leaves_variants_out() -> None:
    assert solve(world(replace(FREE, max_power_w=HIGH_W - 0.01))).accuracy == pytest.approx(0.4)
    assert solve(world(replace(FREE, max_power_w=HIGH_W + 0.01))).accuracy == pytest.approx(0.6)
    # The cheapest stays even where it breaks the limit: nothing else can be done.
    assert solve(world(replace(FREE, max_power_w=1.0))).accuracy == pytest.approx(0.4)


def test_settled_heat_permits_one_power() -> None:
    kelvin, watts = 7.0 + 1.0, LOW_W + 0.5 * (HIGH_W - LOW_W)
    hot = world(
        Goals(max_temperature_c=25.0 + kelvin * watts), seconds=400.0, capacity_j_per_k=0.5, chip_k_per_w=1.0,
        start_c=25.0 + 7.0 * watts,
    )  # fmt: skip
    assert solve(hot).accuracy == pytest.approx(0.5, abs=1e-3)


def test_the_chance_to_be_on_time() -> None:
    noisy = world(replace(FREE, deadline_ms=150.0), latency_noise=0.1)
    assert on_time(noisy, HIGH, 0.0) == pytest.approx(0.5)
    assert on_time(noisy, LOW, 0.0) == pytest.approx(1.0)
    late = world(replace(FREE, deadline_ms=150.0 * math.exp(0.1)), latency_noise=0.1)
    assert on_time(late, HIGH, 0.0) == pytest.approx(0.8413, abs=1e-4)
    assert on_time(world(fps=10.0), HIGH, 0.0) == pytest.approx(2 / 3)


def test_everything_tried_on_a_small_instance_is_no_better() -> None:
    """Three epochs of 10 s, a battery and a temperature limit: shares of a fine grid, judged by the world's physics."""
    limit_c = 60.0
    small = world(
        Goals(max_temperature_c=limit_c), seconds=30.0, capacity_j_per_k=8.0, chip_k_per_w=1.0, start_c=52.0,
        ambient_c=lambda at_s: 25.0 + 0.4 * at_s, battery_j=30 * (LOW_W + 0.55 * (HIGH_W - LOW_W)), full_j=1e4,
        resistance=flat(7.0),
    )  # fmt: skip
    best = 0.0
    for shares in itertools.product([n / 40 for n in range(41)], repeat=3):
        case_c, left_j, fine = 52.0, small.physics.battery_j, True
        for k, share in enumerate(shares):
            watts = LOW_W + share * (HIGH_W - LOW_W)
            settled_c = 25.0 + 0.4 * (10 * k + 5) + 7.0 * watts
            after_c = settled_c + (case_c - settled_c) * math.exp(-10 / (7.0 * 8.0))
            left_j -= 10 * watts
            fine = fine and max(case_c, after_c) + watts <= limit_c + 1e-9 and left_j >= -1e-9
            case_c = after_c
        if fine:
            best = max(best, sum(0.4 + 0.2 * share for share in shares) / 3)
    plan = solve(small)
    assert plan.feasible
    assert best - 1e-3 <= plan.accuracy <= best + 0.006
    assert 0.41 < best < 0.59  # the limits bind


def test_switching_costs_something() -> None:
    steady = solve(world(battery_j=100 * (LOW_W + 0.5 * (HIGH_W - LOW_W)), full_j=1e4))
    shares = [row[0] for row in steady.shares]
    assert max(shares) - min(shares) < 1e-6  # no reason to change, so it does not


def test_the_fewest_joules_for_an_accuracy() -> None:
    free = world()
    assert least_energy(free, 0.4) == pytest.approx(100 * LOW_W)
    assert least_energy(free, 0.45) == pytest.approx(100 * (LOW_W + 0.25 * (HIGH_W - LOW_W)))
    assert least_energy(free, 0.6) == pytest.approx(100 * HIGH_W)
    # Every frame is computed: leaving some out would be cheaper and as accurate on the mean.
    assert least_energy(free, 0.2) == pytest.approx(100 * LOW_W)
    with pytest.raises(NoPlanError, match="not solved"):
        least_energy(free, 0.61)


def test_what_the_oracle_reaches_it_cannot_have_for_less() -> None:
    watts = LOW_W + 0.3 * (HIGH_W - LOW_W)
    short = world(battery_j=100 * watts, full_j=1e4)
    assert least_energy(short, solve(short).accuracy - 1e-6) == pytest.approx(100 * watts, rel=1e-3)
