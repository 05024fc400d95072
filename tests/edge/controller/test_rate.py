"""Fewer frames a second: when, how few, how often it changes; and never where nobody allowed it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.controller.contract import Candidate, Decision, Observation
from edge.controller.goals import Goals
from edge.controller.pinned import PinnedController
from edge.controller.plan import PlanningController, PlanState
from edge.controller.plan.rate import ladder, paced, turned
from edge.simulate.draw import draw
from edge.simulate.run import run
from tests.edge.controller.seen import SECOND, STEPS, VARIANTS, observation

RATE_FIRST = ("temperature", "power", "deadline", "battery", "accuracy", "rate")
SLOW = Goals(min_fps=1.0, allow_lower_fps=True, max_temperature_c=75.0)


def played(goals: Goals, steps: list[dict[str, Any]]) -> list[tuple[Observation, Decision]]:
    controller = PlanningController(goals)
    state, running, at_s, found = controller.initial(), None, 0.0, []
    for given_step in steps:
        values = dict(given_step)
        at_s += values.pop("step_s")
        usable = values.pop("usable")
        candidates = tuple(replace(c, usable=ok) for c, ok in zip(VARIANTS, usable, strict=True))
        seen = observation(at_s, running, candidates=candidates, **values)
        _, again = controller.decide(state, seen)
        state, decision = controller.decide(state, seen)
        assert again == decision  # pure: the state before is as it was
        running = decision.variant
        found.append((seen, decision))
    return found


GOALS = st.builds(
    Goals,
    battery_hours=st.sampled_from([None, 0.5, 8.0]),
    max_temperature_c=st.sampled_from([None, 60.0, 75.0]),
    max_power_w=st.sampled_from([None, 3.2, 4.0, 5.5]),
    deadline_ms=st.sampled_from([None, 120.0]),
    min_fps=st.sampled_from([0.5, 1.0, 4.0, 30.0]),
    allow_lower_fps=st.just(True),
    dwell_s=st.sampled_from([0.0, 2.0, 5.0]),
    priorities=st.sampled_from([Goals().priorities, RATE_FIRST]),
)


@settings(max_examples=80, deadline=None)
@given(GOALS, st.lists(STEPS, min_size=1, max_size=12))
def test_never_below_the_lowest_rate_and_never_changed_within_a_dwell_but_for_emergencies(
    goals: Goals, steps: list[dict[str, Any]]
) -> None:
    rate, since_ns = None, None
    for seen, decision in played(goals, steps):
        assert goals.min_fps is not None
        assert decision.max_fps is None or decision.max_fps >= goals.min_fps
        assert all(not isinstance(v, float) or math.isfinite(v) for v in decision.numbers.values())
        if since_ns is not None and decision.max_fps != rate:
            assert decision.emergency or seen.monotonic_ns - since_ns >= goals.dwell_s * SECOND
        if since_ns is None or decision.max_fps != rate:
            rate, since_ns = decision.max_fps, seen.monotonic_ns


@settings(max_examples=30, deadline=None)
@given(GOALS, st.lists(STEPS, min_size=1, max_size=8))
def test_nobody_who_did_not_allow_it_loses_a_frame(goals: Goals, steps: list[dict[str, Any]]) -> None:
    forbidden = replace(goals, allow_lower_fps=False)
    assert all(decision.max_fps is None for _, decision in played(forbidden, steps))


@given(st.floats(0.1, 30.0), st.floats(0.05, 200.0))
def test_a_ladder_begins_with_every_frame_and_ends_with_the_lowest_rate(min_fps: float, full_fps: float) -> None:
    rates = ladder(full_fps, replace(SLOW, min_fps=min_fps))
    assert rates[0] is None
    rungs = [rate for rate in rates[1:] if rate is not None]
    assert rungs == sorted(rungs, reverse=True)
    if full_fps > 1.02 * min_fps:
        assert rungs[-1] == min_fps
        assert rungs[0] < full_fps
        assert len(rungs) < 150
    else:
        assert rungs == []


def test_rungs_stay_where_they_are_while_the_source_is_measured_anew() -> None:
    assert set(ladder(14.8, SLOW)) <= set(ladder(15.2, SLOW))


def test_a_source_that_waits_is_taken_to_give_no_more_than_the_rate() -> None:
    seen = observation(camera_fps=None)
    assert paced(seen, None) is seen
    assert paced(seen, 2.0).camera_fps == 2.0
    assert paced(observation(camera_fps=1.5), 2.0).camera_fps == 1.5


def decided(goals: Goals, state: PlanState | None = None, **values: Any) -> tuple[PlanState, Decision]:
    controller = PlanningController(goals)
    return controller.decide(controller.initial() if state is None else state, observation(**values))


def test_the_rate_gives_way_last_unless_it_is_named_after_accuracy() -> None:
    # Idle 3 W: the cheapest variant draws 3.45 W with every frame, the dearest 5.38 W.
    tight = replace(SLOW, max_temperature_c=None, battery_hours=1.0, battery_capacity_wh=4.5, battery_critical=0.0)
    _, middling = decided(tight, battery=0.9)  # 4.05 W
    assert middling.max_fps is None
    assert middling.variant != "full"
    _, kept = decided(replace(tight, priorities=RATE_FIRST), battery=0.9)
    assert kept.variant == "full"
    assert kept.max_fps is not None
    assert 1.0 < kept.max_fps < 5.0
    assert "frames a second" in kept.reason
    assert kept.numbers["max_fps"] == round(kept.max_fps, 3)
    _, scarce = decided(tight, battery=0.72)  # 3.24 W: too little for any variant with every frame
    assert scarce.variant == "small"
    assert scarce.max_fps is not None
    assert 1.0 < scarce.max_fps < 5.0
    assert {"rate", "battery"} <= {status.goal for status in scarce.goals}
    assert next(s for s in scarce.goals if s.goal == "battery").state == "met"


def test_what_even_the_lowest_rate_cannot_do_is_said() -> None:
    goals = replace(SLOW, max_temperature_c=None, battery_hours=4.0, battery_capacity_wh=4.5, battery_critical=0.0)
    _, decision = decided(goals, battery=0.9)
    assert (decision.variant, decision.max_fps) == ("small", 1.0)
    assert next(s for s in decision.goals if s.goal == "battery").state == "not feasible"


def test_an_emergency_slows_at_once_and_the_way_back_waits_for_the_dwell() -> None:
    state, before = decided(SLOW, at_s=0.0)
    assert before.max_fps is None
    state, hot = decided(SLOW, state, at_s=0.25, temperature_c=90.0)
    assert (hot.variant, hot.max_fps, hot.emergency) == ("small", 1.0, True)
    state, cooler = decided(SLOW, state, at_s=3.0, temperature_c=60.0, running="small")
    assert cooler.max_fps == 1.0
    state, after = decided(SLOW, state, at_s=5.5, temperature_c=60.0, running="small")
    assert after.max_fps is None


def test_a_turn_of_the_rate_waits_for_the_dwell() -> None:
    seen = observation(at_s=2.0)
    begun = replace(PlanState(), max_fps=4.0, rate_ns=observation().monotonic_ns)
    assert turned(begun, 2.0, seen, 5.0, at_once=False) is begun
    assert turned(begun, 2.0, seen, 2.0, at_once=False).max_fps == 2.0
    assert turned(begun, 2.0, seen, 5.0, at_once=True).rate_ns == seen.monotonic_ns
    assert turned(begun, 4.0, seen, 0.0, at_once=True) is begun


def test_a_pin_by_hand_means_every_frame() -> None:
    goals = replace(SLOW, max_temperature_c=None, battery_hours=4.0, battery_capacity_wh=4.5)
    controller = PinnedController(PlanningController(goals), "full")
    _, decision = controller.decide(controller.initial(), observation(battery=0.9))
    assert (decision.variant, decision.max_fps) == ("full", None)
    assert "max_fps" not in decision.numbers


def test_a_lone_variant_is_slowed_too() -> None:
    goals = replace(SLOW, max_temperature_c=None, max_power_w=4.0)
    alone = (Candidate("full", 0.55, 170.0, 5.8, 1_700_000_000),)
    _, decision = decided(goals, candidates=alone)
    assert decision.max_fps is not None
    assert 1.0 <= decision.max_fps < 5.0


@pytest.mark.parametrize("seed", [0, 1])
def test_too_little_for_every_frame_lasts_with_fewer(seed: int) -> None:
    drawn = replace(draw("battery-slower", seed), seconds=1800.0)
    short = replace(
        drawn,
        physics=replace(drawn.physics, battery_j=drawn.physics.battery_j / 2, full_j=drawn.physics.full_j / 2),
        goals=replace(drawn.goals, battery_hours=0.5, battery_capacity_wh=(drawn.goals.battery_capacity_wh or 0) / 2),
    )
    outcome = run(short, PlanningController(short.goals), seed, "plan")
    assert outcome.died_s is None
    assert outcome.energy_j > 0.97 * short.physics.battery_j
    assert outcome.dropped > 0
    without = replace(short, goals=replace(short.goals, allow_lower_fps=False))
    assert run(without, PlanningController(without.goals), seed, "plan").died_s is not None


def test_the_most_accurate_variant_is_kept_where_frames_give_way_first() -> None:
    drawn = replace(draw("battery-rate", 0), seconds=600.0)
    outcome = run(drawn, PlanningController(drawn.goals), 0, "plan", keep_trace=True)
    best = max(drawn.physics.variants, key=lambda v: v.accuracy)
    assert outcome.accuracy_of_served == pytest.approx(best.accuracy, abs=0.005)
    assert 0 < outcome.dropped < outcome.frames
    assert outcome.frames - outcome.dropped >= 600  # never below one a second
