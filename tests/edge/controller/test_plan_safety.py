"""What must hold whatever the board says: properties of the planning controller."""

from __future__ import annotations

import copy
import math
import pickle
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.controller.contract import Candidate, Decision, Observation
from edge.controller.goals import Goals
from edge.controller.plan import PlanningController, PlanState
from edge.controller.plan.options import choice
from edge.controller.sanity import believable
from tests.edge.controller.extent import extent
from tests.edge.controller.seen import SECOND, STEPS, VARIANTS, frames, observation

GOALS = st.builds(
    Goals,
    battery_hours=st.sampled_from([None, 0.5, 8.0]),
    max_temperature_c=st.sampled_from([None, 60.0, 75.0]),
    max_power_w=st.sampled_from([None, 4.0, 5.5]),
    deadline_ms=st.sampled_from([None, 60.0, 120.0, 300.0]),
    min_accuracy=st.sampled_from([None, 0.5]),
    dwell_s=st.sampled_from([0.0, 2.0, 5.0]),
)


def played(goals: Goals, steps: list[dict[str, Any]]) -> list[tuple[Observation, Decision, PlanState]]:
    """Decisions over observations that may say anything."""
    controller = PlanningController(goals)
    state, running, at_s, found = controller.initial(), None, 0.0, []
    for given_step in steps:
        values = dict(given_step)
        at_s += values.pop("step_s")
        usable = values.pop("usable")
        candidates = tuple(replace(c, usable=ok) for c, ok in zip(VARIANTS, usable, strict=True))
        seen = observation(at_s, running, candidates=candidates, **values)
        state, decision = controller.decide(state, seen)
        running = decision.variant
        found.append((seen, decision, state))
    return found


@settings(max_examples=150, deadline=None)
@given(GOALS, st.lists(STEPS, min_size=1, max_size=12))
def test_only_usable_variants_run_and_every_number_is_finite(goals: Goals, steps: list[dict[str, Any]]) -> None:
    for seen, decision, _ in played(goals, steps):
        assert decision.variant in {c.id for c in seen.candidates if c.usable}
        assert all(math.isfinite(value) for value in decision.expected.values())
        assert all(not isinstance(v, float) or math.isfinite(v) for v in decision.numbers.values())
        assert decision.reason


@settings(max_examples=150, deadline=None)
@given(GOALS, st.lists(STEPS, min_size=1, max_size=12))
def test_a_barred_variant_never_runs_while_one_that_fits_exists(goals: Goals, steps: list[dict[str, Any]]) -> None:
    for seen, decision, state in played(goals, steps):
        assert state.learnt is not None
        believed, _ = believable(seen)
        options = choice(replace(state, late=state.late), state.learnt, believed, goals)
        chosen = next(o for o in options.all if o.id == decision.variant)
        barred = set(options.hot) | set(options.hungry)
        free = [o for o in options.all if o.id not in barred]
        cheaper = [o for o in free if o.power_w < chosen.power_w]
        if decision.variant in barred and not decision.emergency and not options.gave_up:
            assert not cheaper


@settings(max_examples=150, deadline=None)
@given(GOALS, st.lists(STEPS, min_size=2, max_size=14))
def test_nothing_moves_up_within_a_dwell(goals: Goals, steps: list[dict[str, Any]]) -> None:
    since_s, last, at_s = -math.inf, None, 0.0
    for seen, decision, state in played(goals, steps):
        at_s = seen.monotonic_ns / SECOND
        if last is not None and decision.variant != last:
            usable = {c.id for c in seen.candidates if c.usable}
            assert state.learnt is not None
            before = state.learnt.latency.expected_ms(last) or 0.0
            after = state.learnt.latency.expected_ms(decision.variant) or 0.0
            if last in usable and at_s - since_s < goals.dwell_s:
                # Within a dwell only what is cheaper or faster may come.
                chosen = [state.learnt.power.dynamic_w(v) or 0.0 for v in (last, decision.variant)]
                assert after < before or chosen[1] * after <= chosen[0] * before
        if decision.variant != last:
            last, since_s = decision.variant, at_s


@settings(max_examples=60, deadline=None)
@given(GOALS, st.lists(STEPS, min_size=1, max_size=8))
def test_decide_is_pure(goals: Goals, steps: list[dict[str, Any]]) -> None:
    controller = PlanningController(goals)
    state = controller.initial()
    for _, __, reached in played(goals, steps):
        state = reached
    seen = observation(77.0, "mid", frames=frames("mid", 110.0))
    kept = pickle.dumps((state, seen))
    first = controller.decide(state, seen)
    second = PlanningController(goals).decide(copy.deepcopy(state), copy.deepcopy(seen))
    assert pickle.dumps((state, seen)) == kept
    assert first[1] == second[1]
    assert pickle.dumps(first[0]) == pickle.dumps(second[0])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([0.0, -3600.0, 10 * 86_400.0]), st.floats(30.0, 60.0))
def test_a_jump_of_the_wall_clock_changes_nothing(jump_s: float, temperature_c: float) -> None:
    controller, answers = PlanningController(Goals(battery_hours=8.0)), []
    for moved_s in (0.0, jump_s):
        state = controller.initial()
        for second in range(20):
            utc_s = 1.8e9 + second + (moved_s if second > 10 else 0.0)
            seen = observation(
                second, "full", temperature_c=temperature_c, utc_s=utc_s, battery_energy_j=60_000.0 - 4 * second
            )
            state, decision = controller.decide(state, seen)
            answers.append(decision.variant)
    assert answers[:20] == answers[20:]


@pytest.mark.parametrize("jump_s", [-500.0, 0.0])
def test_a_monotonic_clock_that_runs_back_or_stands_teaches_nothing(jump_s: float) -> None:
    controller = PlanningController(Goals(battery_hours=8.0))
    state = controller.initial()
    for second in range(60):
        state, _ = controller.decide(state, observation(second, "full", frames=frames("full", 170.0)))
    before = state.learnt
    after, decision = controller.decide(state, observation(59.0 + jump_s, "full"))
    assert before is not None
    assert after.learnt is not None
    assert after.learnt.thermal.steps == before.thermal.steps
    assert after.learnt.battery.drawn_j == before.battery.drawn_j
    assert after.last_ns == state.last_ns
    assert decision.variant in {c.id for c in VARIANTS}


def test_lost_sensors_are_unknown_and_never_zero() -> None:
    controller = PlanningController(Goals(max_temperature_c=60.0, battery_hours=8.0, max_power_w=9.0))
    state, spreads = controller.initial(), []
    for second in range(100):
        known = second < 60
        seen = observation(
            second, "full", temperature_c=52.0 if known else None, power_w=4.5 if known else None,
            battery=0.8 if known else None, frames=frames("full", 170.0),
        )  # fmt: skip
        state, decision = controller.decide(state, seen)
        if not known:
            assert state.learnt is not None
            spreads.append(state.learnt.thermal.expected_c(4.5, 0.0)[1])
    assert state.learnt is not None
    assert spreads == sorted(spreads)
    assert state.learnt.thermal.power_w > 3.0  # what the model makes of it, not zero
    assert state.learnt.battery.charge == 0.8
    assert {g.goal: g.state for g in decision.goals}["temperature"] == "unknown"


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature_c", math.nan), ("temperature_c", 900.0), ("power_w", -3.0), ("battery", 1.7), ("power_w", math.inf)],
)
def test_impossible_readings_are_refused_and_told_once(name: str, value: float) -> None:
    controller = PlanningController(Goals())
    state, told = controller.initial(), []
    for second in range(10):
        seen = observation(second, "full", **({name: value} if second >= 3 else {}))
        state, decision = controller.decide(state, seen)
        told += decision.notes
    assert len(told) == 1
    assert name in told[0]


def test_a_frozen_thermometer_is_told_once_and_not_believed() -> None:
    controller = PlanningController(Goals(max_temperature_c=70.0))
    state, told, case_c = controller.initial(), [], 30.0
    for second in range(900):
        watts = 3.5 if second < 400 else 6.5
        case_c += (watts - (case_c - 25.0) / 7.0) / 40.0
        true_c = round(case_c + 1.5 * watts, 1)
        stuck_c = true_c if second < 400 else 58.3
        state, decision = controller.decide(
            state, observation(second, "full", temperature_c=stuck_c, power_w=watts, frames=frames("full", 170.0))
        )
        told += decision.notes
    assert [note for note in told if "stands at 58.3" in note] == told
    assert len(told) == 1
    assert state.learnt is not None
    assert state.learnt.thermal.expected_c(6.5, 0.0)[0] > 66.0


def test_emergencies_need_no_model() -> None:
    for values in ({"temperature_c": 86.0}, {"battery": 0.04}, {"undervoltage": True}):
        _, decision = PlanningController(Goals()).decide(PlanState(), observation(0.0, "full", **values))
        assert decision.emergency
        assert decision.variant != "full"
    _, calm = PlanningController(Goals()).decide(PlanState(), observation(0.0, "full", battery=0.04, on_mains=True))
    assert not calm.emergency


def test_no_usable_variant_is_an_error() -> None:
    dead = tuple(replace(c, usable=False) for c in VARIANTS)
    with pytest.raises(ValueError, match="no usable variant"):
        PlanningController(Goals()).decide(PlanState(), observation(0.0, None, candidates=dead))


def test_unknown_figures_are_lived_with() -> None:
    nameless = tuple(Candidate(c.id, macs=c.macs) for c in VARIANTS)
    state = PlanState()
    for second in range(30):
        state, decision = PlanningController(Goals(deadline_ms=500.0)).decide(
            state, observation(second, "full", candidates=nameless, frames=frames("full", 170.0))
        )
    assert decision.variant == "full"  # more multiply-accumulates are taken for better


def test_goals_that_cannot_be_met_are_called_so() -> None:
    goals = Goals(battery_hours=8.0, battery_capacity_wh=10.0)
    state = PlanState()
    for second in range(40):
        state, decision = PlanningController(goals).decide(
            state, observation(second, "small", battery=0.5, frames=frames("small", 50.0))
        )
    said = {status.goal: status for status in decision.goals}
    assert said["battery"].state == "not feasible"
    assert "of 8.0 h wanted" in said["battery"].text
    assert decision.variant == "small"


def grown(count: int) -> tuple[int, int]:
    """Bytes of the state after a tenth of the decisions, and after all of them."""
    controller = PlanningController(Goals(battery_hours=200.0, deadline_ms=190.0, max_temperature_c=60.0))
    state, running, early = controller.initial(), "full", 0
    for number in range(count):
        latency = {"full": 170.0, "mid": 100.0, "small": 50.0}[running] * (1.6 if number % 700 < 90 else 1.0)
        seen = observation(
            number, running, temperature_c=55.0 + 6 * math.sin(number / 300), power_w=4.5 + 0.3 * math.sin(number),
            battery=1 - number / count, frames=frames(running, latency, 1),
        )  # fmt: skip
        state, decision = controller.decide(state, seen)
        running = decision.variant
        if number == count // 10:
            early = extent(state)
    return early, extent(state)


def test_the_state_does_not_grow() -> None:
    early, late = grown(5_000)
    assert late <= early + 100


def test_too_hot_it_stays_on_one_of_two_that_draw_alike() -> None:
    """Estimates move with every frame: none of that is a reason to switch to and fro while it cools."""
    controller = PlanningController(Goals(dwell_s=0.1, max_temperature_c=75.0))
    state, ran = controller.initial(), []
    rng = random.Random(4)
    for second in range(200):
        running = ran[-1] if ran else "full"
        hot_c = 45.0 + rng.gauss(0, 0.2) if second < 60 else 80.0 + rng.gauss(0, 0.2)
        seen = observation(
            second, running, temperature_c=hot_c, power_w=8.0, frames=frames(running, 20.0 * rng.lognormvariate(0, 0.2))
        )
        state, decision = controller.decide(state, seen)
        ran.append(decision.variant)
    assert len(set(ran[62:])) == 1
