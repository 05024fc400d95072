from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.sensor import Method, Reading
from edge.bench.energy import Case, cases, run, score
from edge.meter import PowerMeter
from edge.uncertainty import (
    NoiseEstimate,
    Spread,
    counter_edge_var,
    rounding_bias_var,
    step_share,
    unexplained_jump_sq,
)

MS = 1_000_000
CASES = {case.name: case for case in cases(200.0, seed=11)}
NOISY = [name for name in CASES if "noisy" in name or "register" in name]
CLEAN = [name for name in CASES if name not in NOISY]


@pytest.mark.parametrize("name", CLEAN)
def test_energy_and_its_uncertainty_hold_at_100_hz(name: str) -> None:
    found = score(CASES[name], seed=21)
    assert found.frames >= 1000
    assert abs(found.sum_error) <= 0.005
    assert found.telescopes
    assert found.coverage >= 0.95
    assert found.ratio <= 3.0


@pytest.mark.parametrize("name", NOISY)
def test_with_a_real_sensors_noise_coverage_holds(name: str) -> None:
    found = score(CASES[name], seed=22)
    assert abs(found.sum_error) <= 0.005
    assert found.telescopes
    assert found.coverage >= 0.94  # 95 %, less three times the scatter of a share over 1500 frames


def test_undersampled_bursts_are_admitted() -> None:
    narrow, wide = (score(CASES["bursts 50-60 ms"], rate_hz=rate, seed=5) for rate in (100.0, 25.0))
    assert wide.coverage >= 0.95
    assert wide.median_uncertainty_uj > 4 * narrow.median_uncertainty_uj


def test_the_score_notices_a_wrong_statement() -> None:
    # The yardstick itself: told that the sensor is quiet and exact while it is coarse, coverage must fall.
    case = CASES["ramps, random"]
    honest = score(Case(case.name, case.waveform, resolution=0.5), seed=3)
    assert not score(Case(case.name, case.waveform), rate_hz=100.0, seed=3).median_error_uj > 1
    assert honest.median_uncertainty_uj > 1000


@given(st.floats(0, 1), st.floats(0, 1))
def test_step_share_is_the_variance_of_a_jump_at_an_even_place(first: float, second: float) -> None:
    begin, end = sorted((first, second))
    mean = (end * end - begin * begin) / 2
    places = [(number + 0.5) / 2000 for number in range(2000)]
    errors = [end - min(max(place, begin), end) - mean for place in places]
    assert statistics.fmean(errors) == pytest.approx(0.0, abs=1e-6)
    assert step_share(begin, end) == pytest.approx(statistics.pvariance(errors), abs=1e-6)
    assert step_share(0.0, 1.0) == pytest.approx(1 / 12)


@given(st.floats(0, 1), st.floats(-100, 100))
def test_a_corner_of_a_ramp_is_covered_by_its_jump(place: float, bend: float) -> None:
    # Slope 0 up to the corner, `bend` W/s after it, in an interval of 1 s between neighbours of the two slopes.
    jump = unexplained_jump_sq(1.0, bend * (1 - place), [[(1.0, 0.0)] * 2, [(1.0, bend)] * 2], 0.0) ** 0.5
    assert jump / 2 + 1e-9 >= abs(bend) * place * (1 - place) / 2


def test_jumps_that_noise_explains_are_none() -> None:
    assert unexplained_jump_sq(1.0, 3.0, [[(1.0, 0.0)], [(1.0, 0.0)]], 1.0) == 0.0
    assert unexplained_jump_sq(1.0, 6.0, [[(1.0, 0.0)], [(1.0, 0.0)]], 1.0) == pytest.approx(36 - 18)
    assert unexplained_jump_sq(2.0, 3.0, [], 0.0) == 36.0


@given(st.floats(0, 1))
def test_a_step_that_a_reading_caught_half_way_is_no_ramp(share: float) -> None:
    # Flat, then `share` of the step, then the rest, then flat: each part counts in full.
    flat, first, rest = (1.0, 0.0), (1.0, share), (1.0, 1 - share)
    assert unexplained_jump_sq(1.0, share, [[flat, flat], [rest, flat]], 0.0) >= share**2 - 1e-9
    assert unexplained_jump_sq(1.0, 1 - share, [[first, flat], [flat, flat]], 0.0) >= (1 - share) ** 2 - 1e-9
    lasting = [(1.0, 1.0)] * 2
    assert unexplained_jump_sq(1.0, 1.0, [lasting, [(1.0, share), flat]], 0.0) == 0.0


def test_a_window_that_ends_within_a_caught_step_is_covered() -> None:
    meter = PowerMeter(Method.MEASURED, 0.02)
    for number in range(40):
        watts = 3.0 if number < 20 else 4.5 if number == 20 else 6.0  # at 400 ms the step was being converted
        meter.add(Reading(watts, number * 20 * MS))
    window = meter.energy(300 * MS, 400 * MS)
    assert window.energy_uj is not None
    assert window.uncertainty_uj is not None
    assert abs(window.energy_uj - 300_000) <= window.uncertainty_uj <= 20_000


@pytest.mark.parametrize(
    ("parts", "factor"), [(1, 1.68), (2, 1.92), (1000, 2.0)]
)  # even errors of one height, and how many deviations hold 95 %
def test_the_factor_fits_the_number_of_errors(parts: int, factor: float) -> None:
    spread = Spread(float(parts), float(parts))
    assert spread.half_width() == pytest.approx(factor * parts**0.5, rel=1e-3)
    drawn = random.Random(1)
    errors = [abs(sum(drawn.uniform(-(3**0.5), 3**0.5) for _ in range(parts))) for _ in range(4000 // parts + 400)]
    held = sum(error <= spread.half_width() for error in errors) / len(errors)
    assert 0.93 <= held <= 0.985
    assert Spread(0.0, 0.0).half_width() == 0.0


def test_noise_is_found_among_steps() -> None:
    drawn = random.Random(2)
    estimate = NoiseEstimate()
    for number in range(512):
        estimate.add(drawn.gauss(0.0, 0.05) + (3.0 if number % 3 == 0 else 0.0))
    assert estimate.variance**0.5 == pytest.approx(0.05, rel=0.15)
    quiet = NoiseEstimate()
    for number in range(100):
        quiet.add(2.0 if number % 4 == 0 else 0.0)
    assert quiet.variance == 0.0


def test_noise_of_the_registers_step_removes_its_bias() -> None:
    assert rounding_bias_var(0.0, 1.0) == 0.0
    assert rounding_bias_var(0.6, 0.0) == pytest.approx(0.03)
    assert rounding_bias_var(0.6, 0.36) < 1e-15


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 1), st.floats(0, 1))
def test_a_counters_straight_line_is_off_by_its_tent(before: float, after: float, place: float, at: float) -> None:
    # One step at `place`: the true course is known, and the stated variance is a third of its error squared.
    mean = before * place + after * (1 - place)
    true = before * min(at, place) + after * max(0.0, at - place)
    variance = counter_edge_var(before, mean, after, 1.0, at, 0.0)
    assert variance == pytest.approx((true - mean * at) ** 2 / 3, abs=1e-6)


def test_a_counter_at_the_end_of_what_is_known() -> None:
    assert counter_edge_var(None, 5.0, None, 1.0, 0.5, 0.0) == 0.0
    assert counter_edge_var(3.0, 5.0, None, 1.0, 0.5, 0.0) == pytest.approx(1.0)
    assert counter_edge_var(3.0, 5.0, 3.0, 1.0, 0.5, 0.0) == pytest.approx(1.0)


def test_run_prints_and_writes(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    import json
    from pathlib import Path

    out = Path(str(tmp_path)) / "energy.json"
    summaries = run(total_s=6.0, seeds=(1, 2), out=out)
    written = json.loads(out.read_text())
    assert [row["name"] for row in written["summaries"]] == [row.name for row in summaries]
    assert len(written["scores"]) == 2 * len(summaries)
    assert all(row.coverage[0] <= row.coverage[1] for row in summaries)
    assert "steps, regular" in capsys.readouterr().out
