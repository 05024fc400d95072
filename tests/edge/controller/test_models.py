"""The learnt models recover what is known to be true."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.controller.learn.battery import BatteryModel
from edge.controller.learn.draw import Draw
from edge.controller.learn.latency import LatencyModel, bases
from edge.controller.learn.power import PowerModel
from edge.controller.learn.surprise import Surprise
from edge.controller.learn.thermal import ThermalModel, _cut


def latencies(model: LatencyModel, variant: str, true_ms: float, count: int, rng: random.Random) -> LatencyModel:
    for _ in range(count):
        model = model.seen(variant, true_ms * math.exp(rng.gauss(0, 0.03)))
    return model


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_step_of_two_is_recognised_within_ten_frames(factor: float) -> None:
    for seed in range(30):
        rng = random.Random(seed)
        model = latencies(LatencyModel({"a": 100.0, "b": 50.0}), "a", 100.0, 100, rng)
        model = latencies(model, "a", 100.0 * factor, 10, rng)
        assert model.expected_ms("a") == pytest.approx(100.0 * factor, rel=0.06)
        # What slows one slows all: the other variant has not run.
        assert model.expected_ms("b") == pytest.approx(50.0 * factor, rel=0.10)


def test_a_single_outlier_hardly_moves_the_latency() -> None:
    model = latencies(LatencyModel({"a": 100.0}), "a", 100.0, 200, random.Random(0))
    before = model.expected_ms("a")
    after = model.seen("a", 300.0).expected_ms("a")
    assert before is not None
    assert after is not None
    assert after / before < 1.05


def test_variants_keep_what_is_their_own() -> None:
    rng, model = random.Random(1), LatencyModel({"a": 100.0, "b": 100.0})
    for _ in range(400):
        model = latencies(model, "a", 100.0, 2, rng)
        model = latencies(model, "b", 110.0, 2, rng)
    a, b = model.expected_ms("a"), model.expected_ms("b")
    assert a is not None
    assert b is not None
    assert b / a == pytest.approx(1.1, rel=0.03)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_latency_that_cannot_be_changes_nothing(value: float) -> None:
    model = LatencyModel({"a": 100.0})
    if not 1e-3 < value < 1e7:
        assert model.seen("a", value) is model
    assert model.seen("unknown", 10.0) is model


def test_bases_are_guessed_at_the_pace_of_those_measured() -> None:
    found, guessed = bases({"a": 100.0, "b": None, "c": 0.0}, {"a": 1000, "b": 500, "c": 250})
    assert found == {"a": 100.0, "b": 50.0, "c": 25.0}
    assert guessed == {"b", "c"}
    assert bases({"x": None}, {"x": 1_000_000_000}) == ({"x": 100.0}, frozenset({"x"}))


def test_idle_and_dynamic_power_are_told_apart() -> None:
    rng = random.Random(2)
    model = PowerModel.prior({"full": 3.0, "small": 2.0}, 3.0)
    for _ in range(600):
        for name, dynamic_w, infer_s in (("full", 2.4, 0.8), ("small", 1.6, 0.3)):
            joules = (3.5 + dynamic_w * infer_s) * (1 + rng.gauss(0, 0.01))
            model = model.seen(name, joules, 1.0, infer_s)
    assert model.idle_w == pytest.approx(3.5, abs=0.15)
    assert model.power_w("full", 0.8) == pytest.approx(3.5 + 2.4 * 0.8, rel=0.01)
    assert model.power_w("small", 0.3) == pytest.approx(3.5 + 1.6 * 0.3, rel=0.01)


def test_one_variant_at_one_pace_teaches_the_sum_and_leaves_the_parts_in_doubt() -> None:
    model = PowerModel.prior({"a": 2.8}, 3.0, frozenset({"a"}))
    for _ in range(300):
        model = model.seen("a", 5.0, 1.0, 0.5)
    assert model.power_w("a", 0.5) == pytest.approx(5.0, rel=0.005)
    assert model.spread_w("a", 0.5) < 0.05
    assert math.sqrt(model.idle_var) > 0.3


def test_a_reading_while_nothing_runs_is_the_idle_power() -> None:
    model = PowerModel.prior({"a": 2.8}, 3.0)
    known = model.idling(2.4)
    assert known.idle_w == pytest.approx(2.4, abs=0.02)
    assert known.idle_var < 0.011
    # The profile states idle + dynamic: what idle has less, dynamic has more.
    assert known.power_w("a", 1.0) == pytest.approx(5.8, abs=0.15)
    assert model.idling(math.nan) is model
    assert model.idling(-1.0) is model


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_power_never_becomes_impossible(energy: float, window: float, infer: float) -> None:
    model = PowerModel.prior({"a": 2.8}, 3.0).seen("a", energy, window, infer)
    watts = model.power_w("a", 1.0)
    assert watts is not None
    assert 0 <= watts < math.inf
    assert model.idle_w >= 0
    assert model.idle_var >= -1e-9


def warmed(
    seconds: int, *, resistance: float = 7.0, capacity: float = 60.0, chip: float = 1.5, ambient: float = 30.0,
    step_c: float = 0.1, noise_c: float = 0.15, seed: int = 1,
) -> tuple[ThermalModel, float]:  # fmt: skip
    """A model after a load that changes every 200 s, and the case's true temperature."""
    rng, model, case_c = random.Random(seed), ThermalModel(), ambient
    for second in range(seconds):
        watts = load_w(second)
        case_c += (watts - (case_c - ambient) / resistance) / capacity
        reading = round((case_c + chip * watts + rng.gauss(0, noise_c)) / step_c) * step_c
        model = model.seen(reading, watts, 1.0)
    return model, case_c


def load_w(second: int) -> float:
    return 5.0 if (second // 200) % 2 else 3.5


@pytest.mark.parametrize(("step_c", "noise_c", "within_c"), [(0.1, 0.15, 0.7), (1.0, 0.0, 1.0), (0.5, 0.3, 1.0)])
def test_a_minute_ahead_is_foretold(step_c: float, noise_c: float, within_c: float) -> None:
    for seconds in (500, 900, 1500):
        model, case_c = warmed(seconds, step_c=step_c, noise_c=noise_c)
        watts = 4.2
        decay = math.exp(-60 / (7.0 * 60.0))
        settled_c = 30.0 + 7.0 * watts
        true_c = settled_c + (case_c - settled_c) * decay + 1.5 * watts
        expected_c, spread_c = model.expected_c(watts, 60.0)
        assert expected_c == pytest.approx(true_c, abs=within_c)
        assert abs(expected_c - true_c) < 4 * spread_c + 0.25


def test_ambient_and_resistance_are_learnt() -> None:
    model, _ = warmed(3000)
    assert model.resistance_k_per_w() == pytest.approx(8.5, abs=1.0)
    assert model.ambient_c() == pytest.approx(30.0, abs=4.0)


def test_a_lost_thermometer_widens_what_is_believed() -> None:
    model, _ = warmed(600)
    spreads = []
    for _ in range(5):
        spreads.append(model.expected_c(4.0, 0.0)[1])
        for _ in range(60):
            model = model.seen(None, 4.0, 1.0)
    assert spreads == sorted(spreads)
    assert spreads[-1] > 2 * spreads[0]


def test_a_change_of_place_is_doubted_at_once_and_followed() -> None:
    rng, model, case_c = random.Random(3), ThermalModel(), 30.0
    worst_c = 0.0
    for second in range(1800):
        ambient = 20.0 if second < 900 else 40.0
        case_c += (4.0 - (case_c - ambient) / 7.0) / 60.0
        true_c = case_c + 6.0
        if second > 930:
            worst_c = max(worst_c, true_c - model.expected_c(4.0, 1.0)[0] - model.above_c)
        model = model.seen(round(true_c + rng.gauss(0, 0.15), 1), 4.0, 1.0)
    assert worst_c < 0.6


def test_the_forecast_is_linear_in_power() -> None:
    model, _ = warmed(400)
    forecast = model.forecast(30.0)
    permitted_w = forecast.permitted_w(70.0)
    assert forecast.mean_c(permitted_w) == pytest.approx(70.0)
    assert model.expected_c(3.3, 30.0) == (forecast.mean_c(3.3), forecast.spread_c(3.3))
    with pytest.raises(ValueError, match="no temperature"):
        ThermalModel().forecast(1.0)


def drain(model: BatteryModel, capacity_j: float, watts: float, seconds: int, start: float = 0.9) -> BatteryModel:
    left_j = start * capacity_j
    for _ in range(0, seconds, 10):
        left_j -= watts * 10
        model = model.seen(round(left_j / capacity_j, 2), None, watts, 10.0, False)
    return model


def test_capacity_is_learnt_from_what_was_drawn() -> None:
    model = drain(BatteryModel.stated(60_000.0), 45_000.0, 5.0, 6000)
    assert model.capacity_j == pytest.approx(45_000.0, rel=0.05)
    assert model.left_j == pytest.approx(0.9 * 45_000.0 - 30_000.0, rel=0.12)
    assert model.left_spread < BatteryModel.stated(60_000.0).left_spread


def test_counted_joules_are_taken_as_they_are() -> None:
    model = BatteryModel().seen(0.5, 1234.0, 4.0, 1.0, False)
    assert model.left_j == 1234.0


def test_what_flows_in_is_learnt_from_a_counting_gauge() -> None:
    model, left_j = BatteryModel(), 20_000.0
    for _ in range(1200):
        left_j += 1.5 - 4.0
        model = model.seen(left_j / 40_000.0, left_j, 4.0, 1.0, False)
    assert model.expected_gain_w(600.0) == pytest.approx(1.5, abs=0.1)


def test_a_gauge_that_sticks_is_bridged_by_what_was_drawn() -> None:
    model, left_j = BatteryModel.stated(40_000.0), 36_000.0
    for _ in range(1500):
        left_j -= 5.0
        shown = math.ceil(left_j / 40_000.0 / 0.1 - 1e-9) * 0.1
        model = model.seen(shown, None, 5.0, 1.0, False)
    assert model.left_j == pytest.approx(left_j, abs=0.03 * 40_000.0)


def test_the_gauge_is_off_once_and_not_at_each_step() -> None:
    """The whole fall since the mark counts: a tenth of the charge tells the capacity to a few percent."""
    for start in (0.9, 0.894, 0.886):
        model = drain(BatteryModel.stated(60_000.0), 45_000.0, 5.0, 1100, start)  # 12 points of charge
        assert model.capacity_j == pytest.approx(45_000.0, rel=0.06)
        assert abs(model.capacity_j - 45_000.0) < 2 * math.sqrt(model.capacity_var)


def test_a_sky_that_was_watched_briefly_promises_little() -> None:
    model, left_j, promised = BatteryModel(), 20_000.0, []
    for second in range(1, 1801):
        left_j += 2.0 - 4.0
        model = model.seen(left_j / 40_000.0, left_j, 4.0, 1.0, False)
        if second in (60, 600, 1800):
            promised.append(model.expected_gain_w(7200.0))
    assert promised == sorted(promised)
    assert promised[0] < 0.2  # a minute of sun is no sunny day
    assert promised[-1] > 0.8
    # What may be hoped for is never less than what is counted on.
    assert model.hoped_gain_w(7200.0) >= promised[-1]


def test_an_unknown_battery_stays_unknown() -> None:
    assert BatteryModel().left_j is None
    assert BatteryModel().seen(None, None, 4.0, 1.0, False).left_j is None
    assert BatteryModel().seen(math.nan, -5.0, 4.0, 1.0, False).left_j is None


def test_noise_is_cleaned_from_power_and_a_jump_is_followed() -> None:
    rng, draw = random.Random(4), Draw()
    for _ in range(300):
        draw = draw.seen(5.0 + rng.gauss(0, 0.6), 4.8, 1.0)
    assert draw.power_w == pytest.approx(5.0, abs=0.3)
    assert draw.jump_w == 0.0
    quiet = Draw()
    for _ in range(60):
        quiet = quiet.seen(5.0 + rng.gauss(0, 0.03), 5.0, 1.0)
    jumps = []
    for _ in range(4):
        quiet = quiet.seen(6.0 + rng.gauss(0, 0.03), 5.0, 1.0)
        jumps.append(quiet.jump_w)
    assert quiet.power_w == pytest.approx(6.0, abs=0.1)
    assert max(jumps) > 0.3


def test_a_lost_power_sensor_leaves_the_model_and_never_reads_as_zero() -> None:
    draw = Draw()
    for _ in range(50):
        draw = draw.seen(5.5, 5.0, 1.0)
    lost = draw.seen(None, 5.0, 1.0)
    assert lost.power_w == pytest.approx(5.5, abs=0.05)
    assert lost.rest_var > draw.rest_var
    assert Draw().seen(None, None, 1.0).power_w is None


def test_surprise_keeps_the_largest_rise_and_forgets_slowly() -> None:
    surprise = Surprise().seen(0.8, 0.3, 1.0)
    later = surprise.seen(0.0, 0.0, 600.0)
    assert later.slow == pytest.approx(0.8 * math.exp(-600 / 3600))
    assert later.rest_w == pytest.approx(0.3 * math.exp(-600 / 3600))
    assert Surprise().seen(0.0, -1.0, 1e6).slow == 0.1
    # No processor is busier than all the time.
    assert surprise.worst_w(2.0, 0.9) <= 2.0 * 0.1 + 1.15 * 0.3 + 1e-9


def test_a_single_glitch_of_the_thermometer_hardly_moves_the_forecast() -> None:
    model, _ = warmed(600)
    before_c, _ = model.expected_c(4.0, 60.0)
    after_c, _ = model.seen(140.0, load_w(600), 1.0).expected_c(4.0, 60.0)
    assert abs(after_c - before_c) < 1.0


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.floats(-40, 150)), min_size=2, max_size=60))
def test_the_thermal_model_stays_finite(readings: list[float | None]) -> None:
    model = ThermalModel()
    for reading in readings:
        model = model.seen(reading, 4.0, 1.0)
    if model.mean is not None:
        expected_c, spread_c = model.expected_c(5.0, 60.0)
        assert math.isfinite(expected_c)
        assert 0 <= spread_c < 1e4
        assert float(model.weights().sum()) == pytest.approx(1.0)


def test_where_nobody_measured_anything_what_runs_teaches_of_what_never_ran() -> None:
    macs = {"full": 1_200_000_000, "small": 600_000_000}
    base_ms, guessed = bases({"full": None, "small": None}, macs)
    latency = latencies(LatencyModel.prior(base_ms, guessed), "full", 25.0, 300, random.Random(2))
    full_ms, small_ms = latency.expected_ms("full"), latency.expected_ms("small")
    assert full_ms == pytest.approx(25.0, rel=0.03)
    # Half the work: half the time, as far as anybody can know; not what a stranger's guess of the board's pace says.
    assert small_ms == pytest.approx(12.5, rel=0.03)
    # A rail that never moves teaches nothing of either; the one with less work must still be the cheaper one.
    power = PowerModel.prior({"full": 2.8, "small": 2.3}, 3.0, guessed)
    rng = random.Random(3)
    for _ in range(400):
        infer_s = 0.025 * rng.lognormvariate(0.2, 0.3)
        power = power.seen("full", 8.0 * 0.05, 0.05, min(0.05, infer_s))
    full_w, small_w = power.power_w("full", 0.5), power.power_w("small", 0.25)
    assert full_w is not None
    assert small_w is not None
    assert full_w == pytest.approx(8.0, rel=0.03)
    assert small_w < full_w


def test_a_thermometer_that_jumped_once_is_no_coarse_one() -> None:
    model = ThermalModel()
    for second in range(120):
        model = model.seen(45.0 if second < 60 else 80.0, 8.0, 1.0)
    assert model.step_c == 5.0


def test_a_thermometer_in_steps_of_five_hides_what_it_hides() -> None:
    """Within a step nothing is seen: the doubt must mostly cover the truth while the reading stands."""
    outside = looked = 0
    for seed in range(8):
        rng, model, case_c = random.Random(seed), ThermalModel(), 55.0
        resistance, ambient = rng.uniform(5.0, 9.0), rng.uniform(25.0, 45.0)
        for second in range(1500):
            watts = load_w(second) - 0.5 + rng.uniform(-0.1, 0.1)
            case_c += (watts - (case_c - ambient) / resistance) / 60.0
            true_c = case_c + 1.5 * watts
            model = model.seen(5.0 * round((true_c + rng.gauss(0, 0.3)) / 5.0), watts, 1.0)
            expected_c, spread_c = model.expected_c(watts, 0.0)
            looked += second > 300
            outside += second > 300 and true_c > expected_c + 3 * spread_c + 0.25
        assert model.blind_c == 2.5
    assert outside <= 0.08 * looked


def test_a_fine_thermometer_is_never_blind() -> None:
    model, _ = warmed(300)
    assert model.blind_c == 0.0
    standing = ThermalModel()
    for _ in range(60):
        standing = standing.seen(50.0, 4.0, 1.0)
    assert standing.blind_c == 2.5  # it has not moved yet: it may be as coarse as any


@given(st.floats(-30.0, 30.0), st.floats(0.01, 20.0))
def test_what_is_cut_off_a_normal_distribution_leaves_one_within_the_bounds(low: float, width: float) -> None:
    mean, var, log_mass = _cut(low, low + width)
    assert 0.0 <= var <= 1.0
    assert log_mass <= 0.0
    if abs(low) < 4 and abs(low + width) < 4:
        assert low <= mean <= low + width
        grid = [low + width * (k + 0.5) / 2000 for k in range(2000)]
        weights = [math.exp(-(x**2) / 2) for x in grid]
        assert mean == pytest.approx(sum(x * w for x, w in zip(grid, weights, strict=True)) / sum(weights), abs=0.01)
