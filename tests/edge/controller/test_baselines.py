"""What the planner is held against does what its paper or its rule says."""

from __future__ import annotations

import math

import pytest

from edge.controller.baselines import AlertController, StaticController, TierController, Tiers
from edge.controller.goals import Goals
from tests.edge.controller.seen import frames, observation

COOL = {"temperature_c": 40.0, "battery": 0.9}


def test_tiers_go_down_at_their_thresholds_and_come_back_with_hysteresis() -> None:
    controller = TierController(Goals(max_temperature_c=70.0, dwell_s=1.0), Tiers(heat_below_limit_c=(8.0, 3.0)))
    state, ran = controller.initial(), []
    for second, temperature_c in enumerate([40.0, 61.9, 62.0, 66.9, 67.0, 65.0, 64.1, 63.9, 60.0, 58.9]):
        state, decision = controller.decide(
            state, observation(2.0 * second, None, temperature_c=temperature_c, battery=0.9)
        )
        ran.append(decision.variant)
    assert ran == ["full", "full", "mid", "mid", "small", "small", "small", "mid", "mid", "full"]


def test_tiers_follow_the_charge_except_on_mains() -> None:
    controller = TierController(Goals(dwell_s=0.0), Tiers(charge=(0.5, 0.2)))
    state, ran = controller.initial(), []
    for second, (charge, mains) in enumerate([(0.9, False), (0.5, False), (0.2, False), (0.1, True)]):
        seen = observation(second, None, temperature_c=40.0, battery=charge, on_mains=mains)
        state, decision = controller.decide(state, seen)
        ran.append(decision.variant)
    assert ran == ["full", "mid", "small", "full"]


def test_tiers_go_down_while_frames_are_late_and_try_again_later() -> None:
    controller = TierController(Goals(deadline_ms=120.0, dwell_s=1.0))
    state, ran = controller.initial(), ["full"]
    for second in range(0, 24, 2):
        latency = {"full": 170.0, "mid": 100.0, "small": 50.0}[ran[-1]]
        state, decision = controller.decide(state, observation(second, None, frames=frames(ran[-1], latency), **COOL))
        ran.append(decision.variant)
    # Late at once: a tier down; six dwells without a late frame: up again, late again.
    assert ran[1:6] == ["mid", "mid", "mid", "mid", "full"]
    assert ran[6] == "mid"


def test_alert_learns_one_slow_down_for_all() -> None:
    controller = AlertController(Goals(deadline_ms=400.0, max_temperature_c=None))
    state = controller.initial()
    for second in range(30):
        state, _ = controller.decide(state, observation(second, "full", frames=frames("full", 255.0)))
    assert state.xi == pytest.approx(1.5, rel=0.02)


def test_alert_takes_the_best_that_is_likely_in_time_and_affordable() -> None:
    late = AlertController(Goals(deadline_ms=120.0, max_temperature_c=None, dwell_s=0.0))
    state = late.initial()
    for second in range(10):
        state, decision = late.decide(state, observation(second, "mid", frames=frames("mid", 100.0)))
    assert decision.variant == "mid"
    poor = AlertController(Goals(battery_hours=1.0, max_temperature_c=None, dwell_s=0.0))
    _, decision = poor.decide(poor.initial(), observation(0.0, None, battery_energy_j=3600 * 3.9, power_w=None))
    assert decision.variant == "small"


def test_alert_is_guarded_against_heat_by_the_usual_governor() -> None:
    controller = AlertController(Goals(max_temperature_c=70.0, dwell_s=1.0))
    state, ran = controller.initial(), []
    for second in range(0, 20, 2):
        state, decision = controller.decide(state, observation(second, None, temperature_c=69.0))
        ran.append(decision.variant)
    assert ran[-1] == "small"
    assert ran == sorted(ran, key=["full", "mid", "small"].index)


def test_static_stays_and_says_when_it_cannot() -> None:
    state, decision = StaticController("mid").decide(None, observation())
    assert (state, decision.variant) == (None, "mid")
    with pytest.raises(ValueError, match="not usable"):
        StaticController("gone").decide(None, observation())


def test_nothing_usable_is_an_error_everywhere() -> None:
    for controller in (TierController(Goals()), AlertController(Goals())):
        with pytest.raises(ValueError, match="no usable variant"):
            controller.decide(controller.initial(), observation(candidates=()))  # type: ignore[arg-type]


def test_odd_readings_do_not_stop_the_baselines() -> None:
    for controller in (TierController(Goals()), AlertController(Goals())):
        _, decision = controller.decide(  # type: ignore[attr-defined]
            controller.initial(), observation(temperature_c=None, battery=None, power_w=None, fps=math.nan)
        )
        assert decision.variant == "full"
