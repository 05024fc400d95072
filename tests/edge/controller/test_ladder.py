from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.controller import Candidate, LadderController, Limits, Observation, PinnedController, ladder_of
from edge.controller.ladder import LadderState

S = 1_000_000_000
FOUR = (
    Candidate("full", accuracy=0.60, latency_ms=80),
    Candidate("mid", accuracy=0.57, latency_ms=60),
    Candidate("low", accuracy=0.50, latency_ms=40),
    Candidate("min", accuracy=0.40, latency_ms=30),
)


def see(t_s: float, **values: object) -> Observation:
    base = Observation(monotonic_ns=round(t_s * S) + S, running=None, candidates=FOUR)
    return replace(base, **values)  # type: ignore[arg-type]


def run(limits: Limits, seen: list[Observation]) -> list[str]:
    controller, chosen = LadderController(limits), []
    state = controller.initial()
    for one in seen:
        state, decision = controller.decide(state, one)
        chosen.append(decision.variant)
    return chosen


def test_with_every_limit_met_the_most_accurate_runs() -> None:
    assert run(Limits(), [see(0, battery=0.9, temperature_c=50.0)]) == ["full"]


def test_undervoltage_walks_down_and_back_with_or_without_a_power_limit() -> None:
    sagging = [see(t, undervoltage=True) for t in (0, 6)] + [see(t, undervoltage=False) for t in (12, 18)]
    assert run(Limits(), sagging) == ["mid", "low", "mid", "full"]
    assert run(Limits(max_power_w=5.0), [see(0, power_w=None, undervoltage=True)]) == ["mid"]


def test_dominated_variants_never_stand_on_the_ladder() -> None:
    slow_and_bad = Candidate("bad", accuracy=0.5, latency_ms=90)
    assert [c.id for c in ladder_of((slow_and_bad, *FOUR))] == ["full", "mid", "low", "min"]
    assert [c.id for c in ladder_of((FOUR[0], replace(FOUR[1], usable=False)))] == ["full"]


def test_the_deadline_picks_the_most_accurate_that_meets_it() -> None:
    assert run(Limits(deadline_ms=65), [see(0)]) == ["mid"]
    assert run(Limits(deadline_ms=10), [see(0)]) == ["min"]


def test_heat_walks_down_a_rung_a_dwell_and_back_after_hysteresis() -> None:
    limits = Limits(max_temperature_c=70, temperature_hysteresis_c=5, dwell_s=2)
    hot = [see(t, temperature_c=71.0) for t in (0, 1, 2, 3, 4)]
    assert run(limits, hot) == ["mid", "mid", "low", "low", "min"]
    between = [see(0, temperature_c=71.0), see(4, temperature_c=68.0), see(8, temperature_c=66.0)]
    assert run(limits, between) == ["mid", "mid", "mid"]
    cooled = [see(0, temperature_c=71.0), see(4, temperature_c=64.0)]
    assert run(limits, cooled) == ["mid", "full"]


def test_an_emergency_skips_the_dwell() -> None:
    limits = Limits(max_temperature_c=70, emergency_temperature_c=80, dwell_s=60)
    assert run(limits, [see(0, temperature_c=50.0), see(0.1, temperature_c=81.0)]) == ["full", "min"]
    assert run(limits, [see(0, battery=0.8), see(0.1, battery=0.04)]) == ["full", "min"]


def test_a_falling_battery_asks_for_cheaper_and_cheaper_variants() -> None:
    limits = Limits(battery_saving_from=0.5, battery_critical=0.05, dwell_s=0)
    levels = [0.8, 0.49, 0.34, 0.19, 0.04]
    assert run(limits, [see(t, battery=b) for t, b in enumerate(levels)]) == ["full", "mid", "low", "min", "min"]


def test_mains_power_lifts_the_battery_limit() -> None:
    assert run(Limits(), [see(0, battery=0.01, on_mains=True)]) == ["full"]


def test_reasons_are_sentences_with_the_numbers() -> None:
    controller = LadderController(Limits(max_temperature_c=70))
    _, decision = controller.decide(controller.initial(), see(0, temperature_c=71.25))
    assert decision.reason == "temperature 71.2 °C (limit 70 °C)"
    assert decision.numbers["temperature_c"] == 71.25
    assert decision.numbers["expected_latency_ms"] == 60


def test_lost_sensors_keep_the_last_careful_choice() -> None:
    limits = Limits(max_temperature_c=70, dwell_s=1)
    assert (
        run(limits, [see(0, temperature_c=71.0), see(5, temperature_c=None), see(9, temperature_c=math.nan)])
        == ["mid"] * 3
    )


def test_a_pin_wins_except_over_an_emergency() -> None:
    controller = PinnedController(LadderController(Limits(emergency_temperature_c=80, max_temperature_c=70)), "low")
    state, decision = controller.decide(controller.initial(), see(0, temperature_c=40.0))
    assert (decision.variant, decision.reason) == ("low", "pinned by hand")
    assert (decision.numbers, decision.expected) == ({"temperature_c": 40.0}, {})  # none that are another variant's
    state, decision = controller.decide(state, see(1, temperature_c=90.0))
    assert (decision.variant, decision.emergency) == ("min", True)
    gone = PinnedController(LadderController(Limits()), "gone")
    assert gone.decide(gone.initial(), see(0))[1].variant == "full"


def test_no_usable_variant_is_an_error() -> None:
    with pytest.raises(ValueError, match="no usable variant"):
        LadderController(Limits()).decide(LadderState(), see(0, candidates=()))


sensor = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))
steps = st.lists(
    st.tuples(st.floats(0.01, 3), sensor, sensor, sensor, st.booleans(), st.permutations([80.0, 60.0, 40.0, 30.0])),
    min_size=1,
    max_size=60,
)  # fmt: skip


@given(steps, st.floats(0, 5))
def test_whatever_the_sensors_say_the_choice_is_usable_and_dwells(
    world: list[tuple[float, float | None, float | None, float | None, bool, list[float]]], dwell_s: float
) -> None:
    limits = Limits(dwell_s=dwell_s, max_power_w=5, deadline_ms=70)
    controller = LadderController(limits)
    state, now, last_switch, running = controller.initial(), 0.0, None, None
    for dt, temperature, battery, power, throttled, latencies in world:
        now += dt
        candidates = tuple(replace(c, latency_ms=ms) for c, ms in zip(FOUR, latencies, strict=True))
        seen = see(
            now, temperature_c=temperature, battery=battery, power_w=power, throttled=throttled, candidates=candidates
        )
        state, decision = controller.decide(state, seen)
        assert decision.variant in {c.id for c in FOUR}
        if running is not None and decision.variant != running:
            assert decision.emergency or last_switch is None or now - last_switch >= dwell_s - 1e-6
            last_switch = now
        elif running is None:
            last_switch = now
        running = decision.variant


def test_unknown_latencies_are_guessed_at_the_pace_of_the_known_ones() -> None:
    known = Candidate("full", accuracy=0.6, latency_ms=80, macs=800)
    untried = Candidate("small", accuracy=0.5, macs=400)
    slower = Candidate("odd", accuracy=0.5, macs=900)
    assert [c.id for c in ladder_of((known, untried, slower))] == ["full", "small"]
