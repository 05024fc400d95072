"""What may be spent: by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.controller.contract import GoalStatus
from edge.controller.goals import Goals
from edge.controller.hull import Option
from edge.controller.learn.battery import BatteryModel
from edge.controller.plan import PlanningController
from edge.controller.plan.budget import (
    battery_budget,
    battery_status,
    heat_budget,
    next_instant,
    patient,
    saving_budget,
    seconds_to_last,
)
from edge.controller.plan.learn import first_beliefs
from edge.controller.plan.options import POWER_SPREADS, choice, spread_w, worst_w
from edge.controller.plan.state import Learnt, PlanState, Standstill
from tests.edge.controller.seen import SECOND, VARIANTS, observation
from tests.edge.controller.test_models import warmed

START = PlanState(start_ns=1000 * SECOND)
HOURS = Goals(battery_hours=2.0, battery_critical=0.0)


def learnt(**parts: object) -> Learnt:
    return replace(first_beliefs(VARIANTS, HOURS), **parts)  # type: ignore[arg-type]


def test_what_is_left_over_the_time_that_is_left() -> None:
    counted = learnt(battery=BatteryModel(counted_j=14_400.0))
    budget = battery_budget(START, counted, observation(3600.0), HOURS)
    assert budget.power_w == pytest.approx(14_400.0 / 3600, rel=0.01)
    assert "4.0 Wh for 1.0 h" in budget.text


def test_nobody_asks_nothing_binds() -> None:
    counted = learnt(battery=BatteryModel(counted_j=14_400.0))
    assert battery_budget(START, counted, observation(), Goals()).power_w is None
    assert battery_budget(START, counted, observation(on_mains=True), HOURS).power_w is None
    assert battery_budget(START, learnt(), observation(), HOURS).power_w is None  # the charge is unknown: not zero
    assert battery_budget(START, counted, observation(9000.0), HOURS).power_w is None  # it has lasted


def test_the_charge_kept_for_an_emergency_is_not_spent() -> None:
    model = BatteryModel.stated(40_000.0).seen(0.5, None, 4.0, 1.0, False)
    with_reserve = battery_budget(START, learnt(battery=model), observation(), replace(HOURS, battery_critical=0.1))
    without = battery_budget(START, learnt(battery=model), observation(), HOURS)
    assert without.power_w is not None
    assert with_reserve.power_w is not None
    assert without.power_w - with_reserve.power_w == pytest.approx(4000.0 / 7200)


def test_the_earlier_end_holds_and_an_unknown_clock_asks_nothing() -> None:
    goals = Goals(battery_hours=2.0, last_until_s=6 * 3600.0)
    state = replace(START, until_utc_s=1.8e9 + 1800)
    assert seconds_to_last(state, observation(utc_s=1.8e9), goals) == pytest.approx(1800.0)
    assert seconds_to_last(state, observation(), goals) == pytest.approx(7200.0)
    only = Goals(last_until_s=6 * 3600.0)
    assert seconds_to_last(START, observation(), only) is None
    status = battery_status(START, learnt(), observation(), only, 4.0, 3.0)
    assert status is not None
    assert status.state == "unknown"
    assert "clock" in status.text


def test_the_next_six_o_clock() -> None:
    goals = Goals(last_until_s=6 * 3600.0)
    midnight = 20_000 * 86_400.0
    assert next_instant(observation(utc_s=midnight + 5 * 3600), goals) == midnight + 6 * 3600
    assert next_instant(observation(utc_s=midnight + 7 * 3600), goals) == midnight + 30 * 3600
    assert next_instant(observation(), goals) is None


def test_saving_without_a_horizon_falls_from_dearest_to_cheapest() -> None:
    options = [Option("a", 0.5, 10.0, 6.0), Option("b", 0.4, 5.0, 4.0)]
    goals = Goals(battery_saving_from=0.5, battery_critical=0.1)
    assert saving_budget(options, observation(battery=0.6), goals).power_w is None
    assert saving_budget(options, observation(battery=0.3), goals).power_w == pytest.approx(5.0)
    assert saving_budget(options, observation(battery=0.1), goals).power_w == pytest.approx(4.0)
    assert saving_budget(options, observation(battery=0.3), replace(goals, battery_hours=1.0)).power_w is None


def test_status_says_in_words_how_it_stands() -> None:
    counted = learnt(battery=BatteryModel(counted_j=2 * 3600 * 4.0))
    told = {
        watts: battery_status(START, counted, observation(), HOURS, watts, least_w)
        for watts, least_w in ((3.9, 3.0), (5.0, 3.0), (6.0, 5.0))
    }
    assert [status.state for status in told.values() if status is not None] == ["met", "at risk", "not feasible"]
    first = told[3.9]
    assert first is not None
    assert first.text == "on course, 2.1 h expected of 2.0 h wanted"


def test_heat_permits_less_the_nearer_the_limit_is() -> None:
    model, _ = warmed(900)
    goals = Goals(max_temperature_c=70.0)
    permitted = [
        heat_budget(learnt(thermal=model), replace(goals, max_temperature_c=limit), 30.0).power_w or 0.0
        for limit in (62.0, 66.0, 70.0, 80.0)
    ]
    assert permitted == sorted(permitted)
    assert permitted[-1] > 2 * permitted[0]
    assert heat_budget(learnt(thermal=model), Goals(max_temperature_c=None), 30.0).power_w is None


def test_before_heat_is_learnt_only_the_nearness_counts() -> None:
    near, far = (learnt(standstill=Standstill(value)) for value in (66.0, 40.0))
    goals = Goals(max_temperature_c=70.0)
    assert heat_budget(near, goals, 30.0).power_w == 0.0
    assert heat_budget(far, goals, 30.0).power_w is None


def told(battery: BatteryModel, least_w: float, spread_w: float = 0.0) -> GoalStatus:
    status = battery_status(START, learnt(battery=battery), observation(), HOURS, 9.0, least_w, spread_w)
    assert status is not None
    return status


def test_only_what_no_doubt_can_save_is_called_not_feasible() -> None:
    sure = BatteryModel(counted_j=2 * 3600 * 4.0)
    assert told(sure, 4.3).state == "not feasible"
    assert told(sure, 4.3, spread_w=0.3).state == "at risk"  # the cheapest may draw 4 W after all
    # A capacity that somebody stated is right to a fifth: 15 % too little may be enough.
    stated = BatteryModel.stated(2 * 3600 * 4.0).seen(1.0, None, 4.0, 1.0, False)
    assert told(stated, 4.7).state == "at risk"
    assert told(stated, 7.0).state == "not feasible"
    assert "at the most of 2.0 h wanted" in told(stated, 7.0).text


def test_the_last_hour_is_told_in_minutes() -> None:
    late = battery_status(START, learnt(battery=BatteryModel(counted_j=7200.0)), observation(5400.0), HOURS, 3.0, 3.0)
    assert late == GoalStatus("battery", "met", "on course, 40 min expected of 30 min wanted")


def test_a_power_limit_that_only_doubt_or_a_surprise_would_break_is_at_risk() -> None:
    known = learnt()
    cheapest = choice(PlanState(), known, observation(), Goals()).all[-1]
    for limit_w, state, told_of in (
        (cheapest.power_w - 0.1, "not feasible", "no variant draws less"),
        (cheapest.power_w + 0.01, "at risk", "by what is known so far"),
        (9.0, "met", "of 9 W"),
    ):
        goals = Goals(max_power_w=limit_w)
        _, decision = PlanningController(goals).decide(PlanState(), observation())
        status = next(status for status in decision.goals if status.goal == "power")
        assert status.state == state
        assert told_of in status.text


def test_why_the_most_accurate_does_not_run_is_said_in_figures() -> None:
    for goals, words in ((Goals(max_power_w=5.5), "full may draw"), (Goals(deadline_ms=150.0), "full may take")):
        _, decision = PlanningController(goals).decide(PlanState(), observation())
        assert decision.reason.startswith(words)
        assert ("of 5.5 W; " in decision.reason) or ("of 150 ms; " in decision.reason)
        assert decision.reason.endswith(f"{decision.variant} is the most accurate that surely keeps the limit")


def test_more_flows_in_than_is_drawn() -> None:
    sunny = BatteryModel(counted_j=1e4, gain_w=20.0, recent_gain_w=20.0, gain_seen_s=3600.0)
    assert told(sunny, 4.0) == GoalStatus("battery", "met", "on course, more flows in than is drawn")


def test_a_panel_is_given_half_a_minute_to_show_itself() -> None:
    hopeless = GoalStatus("battery", "not feasible", "1.0 h at the most of 2.0 h wanted")
    other = GoalStatus("temperature", "met", "50 °C")
    fresh, watched = (learnt(battery=BatteryModel(counted_j=1e4, gain_seen_s=seen_s)) for seen_s in (5.0, 30.0))
    assert [status.state for status in patient(fresh, (hopeless, other))] == ["at risk", "met"]
    assert patient(watched, (hopeless, other)) == (hopeless, other)
    assert patient(learnt(), (hopeless, other)) == (hopeless, other)  # no gauge that counts: nothing to wait for


def test_a_limit_on_power_keeps_clear_of_doubt_and_of_surprise() -> None:
    """As independent errors are added: never less than the larger one, never more than their sum."""
    known = learnt()
    for option in choice(PlanState(), known, observation(), Goals()).all:
        doubt_w, surprise_w = (
            POWER_SPREADS * spread_w(option, known, observation()),
            worst_w(option, known, observation()),
        )
        assert doubt_w > 0.05
        for kept_w, barred in (
            (0.99 * max(doubt_w, surprise_w), True),
            (doubt_w + surprise_w, False),
        ):
            goals = Goals(max_power_w=option.power_w + kept_w)
            assert (option.id in choice(PlanState(), known, observation(), goals).hungry) is barred


def test_a_goal_in_one_line() -> None:
    on_course = GoalStatus("battery", "met", "on course, 9.1 h expected of 8.0 h wanted")
    assert str(on_course) == "battery: on course, 9.1 h expected of 8.0 h wanted"
    assert str(GoalStatus("rate", "met", "3.0 of 2 fps")) == "rate: met, 3.0 of 2 fps"
    assert str(GoalStatus("battery", "at risk", "7.0 h expected")) == "battery: at risk, 7.0 h expected"
