"""Energy at equal accuracy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.controller.goals import Goals
from edge.controller.plan import PlanningController
from edge.simulate.equal import saving
from edge.simulate.purse import Purse, energy_for
from edge.simulate.run import run
from tests.edge.controller.seen import observation
from tests.edge.simulate.worlds import HIGH_W, LOW_W, world


def test_energy_between_runs_is_interpolated() -> None:
    points = [(0.6, 500.0), (0.4, 300.0), (0.5, 380.0)]
    assert energy_for(points, 0.45) == pytest.approx(340.0)
    assert energy_for(points, 0.6) == 500.0
    assert energy_for(points, 0.61) is None
    assert energy_for(points, 0.39) is None


def test_a_purse_is_spent_and_not_more() -> None:
    scenario = world(seconds=900.0)
    joules = 900 * (LOW_W + 0.5 * (HIGH_W - LOW_W))
    goals = replace(scenario.goals, battery_hours=0.25, battery_critical=0.0)
    outcome = run(scenario, Purse(PlanningController(goals), joules), 0, "purse")
    assert outcome.energy_j == pytest.approx(joules, rel=0.01)
    assert outcome.accuracy == pytest.approx(0.5, abs=0.01)
    assert outcome.died_s is None  # the world has no battery: only the controller believes in one


def test_less_energy_for_what_tiers_reached() -> None:
    found = saving(("hot-box", 0))
    assert found is not None
    assert found.idle_j < found.ours_j < found.tiers_j * 1.02
    assert found.idle_j < found.oracle_j < found.ours_j * 1.005


def test_a_purse_is_no_part_of_what_a_panel_gives() -> None:
    """A run with a gauge that counts: the purse falls by what is drawn, whatever the board's own battery does."""
    controller = Purse(PlanningController(Goals(battery_hours=1.0)), 1000.0)
    state = controller.initial()
    for second in range(3):
        seen = observation(second, "full", power_w=4.0, battery_energy_j=500.0 + 10 * second)
        state, _ = controller.decide(state, seen)
    assert state.left_j == 992.0
    assert state.inner.learnt.battery.counted_j == 992.0
