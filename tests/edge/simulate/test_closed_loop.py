"""The planner in random worlds: hard limits hold, and nothing swings faster than a dwell."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.controller.goals import Goals
from edge.controller.plan import PlanningController
from edge.simulate.draw import draw
from edge.simulate.held_out import HELD_OUT
from edge.simulate.kit import Kit
from edge.simulate.run import Outcome, run
from edge.simulate.scenario import Scenario
from edge.simulate.scenarios import SCENARIOS, base_physics, between, warm
from edge.simulate.world import Physics


def random_world(seed: int, goal: str) -> Scenario:
    """Ten minutes of a random board that starts close to the limit in question."""
    rng = random.Random(f"closed-{seed}")
    physics: Physics = base_physics(rng, Kit())
    if goal == "heat":
        ambient = warm(physics, 70.0, rng.uniform(0.1, 0.9))
        close_c = 70.0 - rng.uniform(3.0, 25.0)
        physics = replace(physics, ambient_c=lambda at_s: ambient, start_c=close_c - 5.5 * physics.chip_k_per_w)
        return Scenario("random", physics, Goals(max_temperature_c=70.0), seconds=600.0)
    goals = Goals(max_power_w=between(physics, rng.uniform(0.1, 0.95)), max_temperature_c=None)
    return Scenario("random", physics, goals, seconds=300.0)


def moves(outcome: Outcome) -> list[tuple[float, str, str]]:
    """When, from what, to what."""
    rows = outcome.trace
    return [
        (float(after["at_s"]), str(before["variant"]), str(after["variant"]))
        for before, after in pairwise(rows)
        if before["variant"] != after["variant"]
    ]


@pytest.mark.parametrize("goal", ["heat", "power"])
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_hard_limits_hold_and_moves_up_wait_for_the_dwell(goal: str, seed: int) -> None:
    scenario = random_world(seed, goal)
    outcome = run(scenario, PlanningController(scenario.goals), seed, "plan", keep_trace=True)
    assert outcome.avoidable_s == 0.0
    latency = {v.id: v.latency_ms for v in scenario.physics.variants}
    since_s = 0.0
    for at_s, before, after in moves(outcome):
        if latency[after] > latency[before]:
            assert at_s - since_s >= scenario.goals.dwell_s
        since_s = at_s


def test_every_scenario_can_be_drawn_and_is_the_same_for_a_seed() -> None:
    for name in (*SCENARIOS, *HELD_OUT):
        one, two, other = draw(name, 1), draw(name, 1), draw(name, 2)
        assert one.name == name
        assert one.physics.idle_w == two.physics.idle_w != other.physics.idle_w
        assert one.about


def test_a_battery_lasts_and_is_used_up() -> None:
    scenario = draw("battery", 0)
    outcome = run(scenario, PlanningController(scenario.goals), 0, "plan", keep_trace=True)
    assert outcome.died_s is None
    left = float(outcome.trace[-1]["left_j"]) / scenario.physics.battery_j
    assert 0.0 <= left < 0.02


def test_a_battery_that_cannot_last_is_called_so_early() -> None:
    scenario = draw("hopeless", 0)
    outcome = run(scenario, PlanningController(scenario.goals), 0, "plan")
    assert outcome.died_s is not None
    assert outcome.told_s is not None
    assert outcome.told_s < 0.05 * scenario.seconds


def test_a_battery_that_is_barely_enough_is_not_called_too_small() -> None:
    for seed in (0, 13):
        scenario = replace(draw("weak-battery", seed), seconds=600.0)
        assert run(scenario, PlanningController(scenario.goals), seed, "plan").told_s is None


def test_a_panel_is_counted_on_before_hope_is_given_up() -> None:
    scenario = replace(draw("solar", 0), seconds=300.0)
    assert run(scenario, PlanningController(scenario.goals), 0, "plan").told_s is None


@pytest.mark.parametrize("seed", [4, 7])
def test_a_thermometer_in_steps_of_five_keeps_its_limit(seed: int) -> None:
    """A reading of 70 °C may be 72.4 °C: what cannot be seen is kept clear of."""
    scenario = replace(draw("coarse-heat", seed), seconds=900.0)
    outcome = run(scenario, PlanningController(scenario.goals), seed, "plan")
    assert outcome.avoidable_s == 0.0
