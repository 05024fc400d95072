from __future__ import annotations

import math
import threading
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.board import Channel, Quantity
from boards.sensor import Method, NullSensor, Reading
from boards.waveform import Piece, Waveform, ramps
from edge.meter import CounterMeter, Meter, PowerMeter, WindowEnergy

MS = 1_000_000
NOTHING = (None, None, Method.UNAVAILABLE)


def power_meter(samples: list[tuple[int, float]], period_s: float = 0.01, **options: float) -> PowerMeter:
    meter = PowerMeter(Method.MEASURED, period_s, **options)  # type: ignore[arg-type]
    for at_ms, watts in samples:
        meter.add(Reading(watts, at_ms * MS))
    return meter


def parts(window: WindowEnergy) -> tuple[int | None, int | None, Method]:
    return window.energy_uj, window.uncertainty_uj, window.method


def test_a_trapezoid_between_samples_and_within_an_interval() -> None:
    meter = power_meter([(0, 2.0), (10, 4.0), (20, 4.0), (30, 1.0)])
    assert meter.energy(0, 10 * MS).energy_uj == 30_000
    assert meter.energy(0, 5 * MS).energy_uj == 12_500
    assert meter.energy(5 * MS, 15 * MS).energy_uj == 17_500 + 20_000
    assert meter.energy(0, 30 * MS) == WindowEnergy(95_000, meter.energy(0, 30 * MS).uncertainty_uj, 3, Method.MEASURED)
    assert meter.total_uj == 95_000
    assert meter.energy(7 * MS, 7 * MS) == WindowEnergy(0, 0, 0, Method.MEASURED)
    with pytest.raises(ValueError, match="cannot end"):
        meter.energy(2, 1)


def test_a_systematic_error_is_added_in_squares_and_does_not_average_out() -> None:
    samples = [(at, 4.0) for at in range(0, 1010, 10)]
    exact, off = power_meter(samples), power_meter(samples, relative_error=0.05)
    for end_ms in (100, 1000):
        energy_uj = 4000 * end_ms
        plain = exact.energy(0, end_ms * MS)
        assert plain.energy_uj == off.energy(0, end_ms * MS).energy_uj == energy_uj
        stated = off.energy(0, end_ms * MS).uncertainty_uj
        assert stated is not None
        assert plain.uncertainty_uj is not None
        assert stated == pytest.approx(math.hypot(plain.uncertainty_uj, 0.05 * energy_uj), abs=2)


def test_samples_are_counted_once_over_windows_that_tile() -> None:
    meter = power_meter([(at, 1.0) for at in range(0, 100, 10)])
    borders = [0, 10 * MS, 15 * MS, 40 * MS, 90 * MS]
    counts = [meter.energy(start, end).samples for start, end in pairwise(borders)]
    assert counts == [1, 1, 2, 5]


def test_outside_the_samples_nothing_is_known() -> None:
    meter = power_meter([(10, 1.0), (20, 1.0)])
    assert parts(meter.energy(5 * MS, 15 * MS)) == NOTHING
    assert parts(meter.energy(15 * MS, 25 * MS)) == NOTHING
    assert parts(PowerMeter(Method.MEASURED, 0.01).energy(0, 1)) == NOTHING
    assert PowerMeter(Method.MEASURED, 0.01).total_uj == 0


def test_a_gap_makes_windows_that_touch_it_unavailable_and_no_others() -> None:
    before = [(at, 2.0) for at in range(0, 50, 10)]
    after = [(at, 2.0) for at in range(200, 260, 10)]
    meter = power_meter(before + after)
    assert meter.energy(0, 40 * MS).energy_uj == 80_000
    assert meter.energy(200 * MS, 240 * MS).energy_uj == 80_000
    for start, end in ((30, 50), (30, 210), (60, 70), (150, 210), (40, 200)):
        assert parts(meter.energy(start * MS, end * MS)) == NOTHING
    assert meter.total_uj == 80_000 + 100_000  # the gap is no part of it


def test_an_interval_of_a_few_periods_is_bridged_with_a_wider_uncertainty() -> None:
    steady = [(at, 2.0) for at in range(0, 100, 10)]
    busy = [(at, 2.0 if at % 20 else 3.0) for at in range(0, 100, 10)]
    assert power_meter([*steady, (130, 2.0), (140, 2.0)]).energy(90 * MS, 130 * MS).energy_uj == 80_000
    whole = power_meter([*busy, (100, 3.0), (130, 3.0), (140, 3.0)]).energy(100 * MS, 130 * MS)
    assert whole.uncertainty_uj is not None
    assert whole.uncertainty_uj > 10_000  # a third of a watt-step's width could hide there


def test_ready_means_that_waiting_changes_nothing() -> None:
    meter = power_meter([(0, 1.0), (10, 1.0), (20, 5.0)])
    assert meter.ready(10 * MS)
    assert not meter.ready(11 * MS)
    early = meter.energy(0, 10 * MS)
    meter.add(Reading(5.0, 30 * MS))
    assert meter.energy(0, 10 * MS) == early
    assert not meter.ready(25 * MS)
    assert not meter.ready(25 * MS, now_ns=70 * MS)
    assert meter.ready(25 * MS, now_ns=90 * MS)  # the next sample is overdue by a gap


def test_ready_after_a_loss_that_lasts() -> None:
    meter = power_meter([(0, 1.0), (10, 1.0)])
    meter.lost(30 * MS)  # one failed read is not yet a gap
    assert not meter.ready(20 * MS)
    meter.lost(70 * MS)
    assert meter.ready(20 * MS)
    assert parts(meter.energy(5 * MS, 20 * MS)) == NOTHING
    assert meter.power_w(70 * MS, 1_000 * MS) is None
    meter.add(Reading(1.0, 75 * MS))
    meter.add(Reading(1.0, 85 * MS))
    assert parts(meter.energy(5 * MS, 80 * MS)) == NOTHING
    assert meter.energy(75 * MS, 85 * MS).energy_uj == 10_000
    never = PowerMeter(Method.MEASURED, 0.01)
    assert not never.ready(0)
    never.lost(0)
    assert never.ready(0)


def test_samples_out_of_order_or_not_finite_are_left_out_and_counted() -> None:
    meter = power_meter([(0, 1.0), (10, 1.0), (10, 9.0), (5, 9.0)])
    meter.add(Reading(float("inf"), 20 * MS))
    assert meter.rejected == 3
    assert meter.energy(0, 10 * MS).energy_uj == 10_000


def test_the_ring_is_bounded_and_what_it_holds_stays_right() -> None:
    meter = PowerMeter(Method.MEASURED, 0.01, capacity=16)
    for at in range(1000):
        meter.add(Reading(2.0 + at % 2, at * 10 * MS))
    assert parts(meter.energy(0, 10 * MS)) == NOTHING
    window = meter.energy(9_850 * MS, 9_950 * MS)
    assert window.energy_uj == 250_000
    fresh = power_meter([(at * 10, 2.0 + at % 2) for at in range(1000)])
    assert abs((window.uncertainty_uj or 0) - (fresh.energy(9_850 * MS, 9_950 * MS).uncertainty_uj or 0)) <= 1
    assert meter.total_uj == 2_500_000 * 10 - 25_000


def test_recent_power() -> None:
    meter = power_meter([(at, 3.0) for at in range(0, 100, 10)])
    assert meter.power_w(95 * MS, 50 * MS) == pytest.approx(3.0)
    assert meter.power_w(200 * MS, 50 * MS) is None
    meter.add(Reading(7.0, 500 * MS))
    assert meter.power_w(501 * MS, 1_000 * MS) == 7.0  # nothing from before the gap
    meter.add(Reading(5.0, 510 * MS))
    assert meter.power_w(511 * MS, 1_000 * MS) == pytest.approx(6.0)


def test_the_meter_for_a_channel() -> None:
    def channel(quantity: Quantity, method: Method) -> Channel:
        return Channel("x", quantity, NullSensor("none"), 0.02, method)

    power = Meter.for_channel(channel(Quantity.POWER, Method.MODELLED))
    assert (type(power), power.method, power.gap_ns) == (PowerMeter, Method.MODELLED, 100 * MS)
    assert type(Meter.for_channel(channel(Quantity.ENERGY, Method.COUNTER))) is CounterMeter
    with pytest.raises(ValueError, match="no energy"):
        Meter.for_channel(channel(Quantity.TEMPERATURE, Method.MEASURED))


def test_a_counter_gives_differences_and_straight_lines_between() -> None:
    meter = CounterMeter(Method.COUNTER, 0.01)
    for at, joules in ((0, 100.0), (10, 100.03), (20, 100.09), (30, 100.09)):
        meter.add(Reading(joules, at * MS))
    assert meter.energy(0, 30 * MS).energy_uj == 90_000
    assert meter.energy(5 * MS, 15 * MS).energy_uj == 15_000 + 30_000
    assert meter.energy(0, 10 * MS).method is Method.COUNTER
    assert meter.energy(20 * MS, 30 * MS).energy_uj == 0
    assert meter.power_w(30 * MS, 20 * MS) == pytest.approx(3.0)


def test_a_counter_that_begins_anew_is_a_gap() -> None:
    meter = CounterMeter(Method.COUNTER, 0.01)
    for at, joules in ((0, 50.0), (10, 50.1), (20, 0.0), (30, 0.1)):
        meter.add(Reading(joules, at * MS))
    assert parts(meter.energy(5 * MS, 25 * MS)) == NOTHING
    assert meter.energy(20 * MS, 30 * MS).energy_uj == 100_000
    assert meter.total_uj == 200_000


_SAMPLES = st.lists(
    st.tuples(st.integers(1, 40 * MS), st.floats(0, 100)), min_size=3, max_size=40
)  # distance to the one before, watts
_CUTS = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def _filled(meter: Meter, steps: list[tuple[int, float]]) -> tuple[int, int]:
    now_ns, joules = 0, 0.0
    meter.add(Reading(joules if isinstance(meter, CounterMeter) else steps[0][1], 0))
    for width_ns, value in steps:
        now_ns += width_ns
        joules += value
        meter.add(Reading(joules if isinstance(meter, CounterMeter) else value, now_ns))
    return 0, now_ns


@settings(deadline=None)
@given(steps=_SAMPLES, cuts=_CUTS, counter=st.booleans())
def test_windows_that_tile_add_up_exactly_and_never_go_below_zero(
    steps: list[tuple[int, float]], cuts: list[float], counter: bool
) -> None:
    meter: Meter = CounterMeter(Method.COUNTER, 0.01) if counter else PowerMeter(Method.MEASURED, 0.01)
    begin, end = _filled(meter, steps)
    borders = sorted({begin, end, *(round(begin + cut * (end - begin)) for cut in cuts)})
    windows = [meter.energy(start, stop) for start, stop in pairwise(borders)]
    assert all(window.energy_uj is not None and window.energy_uj >= 0 for window in windows)
    assert all(window.uncertainty_uj is not None and window.uncertainty_uj >= 0 for window in windows)
    assert sum(window.energy_uj or 0 for window in windows) == meter.energy(begin, end).energy_uj == meter.total_uj
    assert sum(window.samples for window in windows) == len(steps)  # all but the one at the very end


@settings(deadline=None)
@given(
    knots=st.lists(st.tuples(st.integers(1, 40 * MS), st.integers(0, 100_000_000)), min_size=3, max_size=20),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_power_that_is_straight_between_samples_is_exact(
    knots: list[tuple[int, int]], cuts: tuple[float, float]
) -> None:
    levels = [level * 1e-6 for _, level in knots]
    pieces = [Piece(width, levels[i - 1] if i else levels[0], levels[i]) for i, (width, _) in enumerate(knots)]
    wave = Waveform(pieces)
    meter = PowerMeter(Method.MEASURED, 0.01)
    _filled(meter, [(width, level) for (width, _), level in zip(knots, levels, strict=True)])
    start, stop = sorted(round(cut * wave.end_ns) for cut in cuts)
    energy_uj = meter.energy(start, stop).energy_uj
    assert energy_uj is not None
    assert abs(energy_uj - wave.energy_j(start, stop) * 1e6) <= 1.01


def test_a_ramp_costs_no_uncertainty_and_a_step_its_height() -> None:
    wave = ramps([1.0, 9.0], 1.0)
    ramp = power_meter([(at, wave.power_w(at * MS)) for at in range(0, 1000, 10)])
    assert (ramp.energy(203 * MS, 477 * MS).uncertainty_uj or 0) <= 2
    step = power_meter([(at, 3.0 if at < 500 else 5.0) for at in range(0, 1000, 10)])
    assert (step.energy(203 * MS, 477 * MS).uncertainty_uj or 0) <= 1
    unseen = step.energy(303 * MS, 603 * MS).uncertainty_uj
    # 2 W somewhere within 10 ms: off by at most 10 mJ, 9.7 mJ = 1.68/sqrt(12)*20 mJ stated.
    assert unseen == pytest.approx(9_700, abs=10)


def test_reading_while_another_thread_writes() -> None:
    meter = PowerMeter(Method.MEASURED, 0.01, capacity=64)
    done = threading.Event()

    def write() -> None:
        for at in range(20_000):
            meter.add(Reading(2.0, at * 10 * MS))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not done.is_set() or not seen:
        end = meter.total_uj // 2 * 1000  # 2 W: the integral tells the time
        window = meter.energy(max(0, end - 50 * MS), end)
        if window.energy_uj is not None:
            assert abs(window.energy_uj - 2 * (end - max(0, end - 50 * MS)) // 1000) <= 1
            seen += 1
    writer.join()
