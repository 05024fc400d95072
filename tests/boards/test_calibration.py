"""Calibrations: the fit, what it says of its own error, the file, and the board that uses it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.board import Activity, Board, BoardInfo, Channel, Quantity
from boards.calibrated import CalibratedBoard
from boards.calibration import (
    IDLE,
    AffineModel,
    Calibration,
    Point,
    TableModel,
    load_calibration,
    mismatch,
    save_calibration,
)
from boards.calibration_fit import Origin, fit_affine, fit_table
from boards.detect import open_board
from boards.least_squares import Underdetermined, fit_linear, student_t
from boards.raspberry_pi import open_raspberry_pi
from boards.recordings.spl import read_spl
from boards.roots import Roots
from boards.sensor import BoardError, Method, Reading, SensorLost
from edge.meter import Meter
from tests.boards.conftest import FakeClock
from tests.boards.firmware import RAILS_W, SWEEP, FakeFirmware

DATA = Path(os.environ.get("JOULEPATH_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "traces"
SECOND = 1_000_000_000
PI = ("raspberry-pi", "Raspberry Pi 4 Model B Rev 1.4")


def origin(
    *, meter_error: float = 0.0, known: bool = True, resolution_w: float = 0.0, board: tuple[str, str] = PI
) -> Origin:
    return Origin(*board, "a meter", meter_error, known, resolution_w, "0.0", "2026-11-20T12:00:00Z")


def table_points(states: dict[str, tuple[float, ...]], busy_share: float = 1.0) -> list[Point]:
    return [
        Point(state=state, watts=watts, busy_share=0.0 if state == IDLE else busy_share)
        for state, readings in states.items()
        for watts in readings
    ]


def pi_table(idle_w: float = 3.0, busy_w: float = 6.0, **changes: object) -> Calibration:
    made = fit_table(table_points({IDLE: (idle_w,) * 3, "full": (busy_w,) * 3}), origin(resolution_w=0.1))
    return made.model_copy(update=changes)


# -- the fit --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("freedom", "t95", "t999"),
    [(1, 12.706, 636.619), (2, 4.303, 31.599), (3, 3.182, 12.924), (10, 2.228, 4.587), (120, 1.980, 3.373)],
)
def test_students_t_is_that_of_the_tables(freedom: int, t95: float, t999: float) -> None:
    assert student_t(0.95, freedom) == pytest.approx(t95, abs=6e-4)
    assert student_t(0.999, freedom) == pytest.approx(t999, abs=6e-4)


@settings(deadline=None)
@given(
    idle_w=st.floats(0.5, 20),
    busy_w=st.lists(st.floats(0.5, 60), min_size=1, max_size=4),
    shares=st.lists(st.floats(0.3, 1.0), min_size=3, max_size=3),
)
def test_readings_without_noise_give_the_table_back(idle_w: float, busy_w: list[float], shares: list[float]) -> None:
    points = [Point(watts=idle_w)] * 3
    for number, watts in enumerate(busy_w):
        for share in shares:
            mean_w = (1 - share) * idle_w + share * watts
            points.append(Point(state=f"v{number}", watts=mean_w, busy_share=share))
    model = fit_table(points, origin()).model
    assert isinstance(model, TableModel)
    assert model.idle.watts == pytest.approx(idle_w, rel=1e-9)
    assert [model.variants[f"v{n}"].watts for n in range(len(busy_w))] == pytest.approx(busy_w, rel=1e-6)
    assert max(state.error_w for state in model.variants.values()) < 1e-6


@settings(deadline=None)
@given(scale=st.floats(0.2, 5), offset_w=st.floats(0, 10), sensor=st.lists(st.floats(1, 50), min_size=4, max_size=9))
def test_readings_without_noise_give_the_line_back(scale: float, offset_w: float, sensor: list[float]) -> None:
    sensor = [*sensor, min(sensor) + 3]
    points = [Point(watts=scale * x + offset_w, sensor_w=x) for x in sensor]
    model = fit_affine(points, "rails", origin()).model
    assert isinstance(model, AffineModel)
    assert model.scale == pytest.approx(scale, rel=1e-6)
    assert model.offset_w == pytest.approx(offset_w, abs=1e-5)
    assert model.low_w <= min(sensor)
    assert model.high_w >= max(sensor)


def test_the_error_is_a_prediction_interval_worked_by_hand() -> None:
    made = fit_table(table_points({IDLE: (2.9, 3.1), "full": (5.9, 6.1)}), origin())
    model = made.model
    assert isinstance(model, TableModel)
    # Residuals are all 0.1 W, two readings to spare: s = sqrt(4 * 0.01 / 2); sqrt(1 + 1/2) for one further reading.
    expected_w = 4.302653 * np.sqrt(0.02) * np.sqrt(1.5)
    assert (made.scatter_w, made.freedom) == (pytest.approx(np.sqrt(0.02)), 2)
    assert model.idle.error_w == pytest.approx(expected_w)
    assert made.error_w == pytest.approx(expected_w)
    assert made.relative_error == pytest.approx(expected_w / 3.0)
    assert made.left_out_w == pytest.approx(0.2)  # without it, the other reading alone predicts it


def test_the_meters_own_error_is_added_in_squares() -> None:
    points = table_points({IDLE: (2.9, 3.1), "full": (5.9, 6.1)})
    without, with_it = fit_table(points, origin()), fit_table(points, origin(meter_error=0.03))
    assert with_it.relative_error == pytest.approx(np.hypot(without.relative_error, 0.03))
    assert with_it.error_w == without.error_w


def test_a_meter_of_few_digits_cannot_be_exact() -> None:
    made = fit_table(table_points({IDLE: (3.0,) * 5, "full": (6.0,) * 5}), origin(resolution_w=0.1))
    assert made.scatter_w == pytest.approx(0.1 / np.sqrt(12))
    assert made.relative_error > 0.02


@pytest.mark.parametrize("kind", ["table", "affine"])
@pytest.mark.parametrize("readings", [2, 3, 8])
def test_the_stated_error_covers_what_was_not_read(kind: str, readings: int) -> None:
    """Noisy meters with an accuracy of their own, drawn anew each time: at least 90 % of the truths lie inside."""
    drawn = np.random.default_rng(7 * readings)
    inside = total = 0
    for _ in range(300):
        idle_w, first_w, second_w = 3.0, drawn.uniform(4, 6), drawn.uniform(6, 9)
        gain = 1 + 0.02 / 1.96 * drawn.standard_normal()
        noise_w = drawn.uniform(0.02, 0.3)

        def read(truth_w: float, gain: float = gain, noise_w: float = noise_w) -> float:
            return round(truth_w * gain + noise_w * drawn.standard_normal(), 2)

        made_origin = origin(meter_error=0.02, resolution_w=0.01)
        if kind == "table":
            truths = {IDLE: idle_w, "a": first_w, "b": second_w}
            made = fit_table(
                table_points({name: tuple(read(watts) for _ in range(readings)) for name, watts in truths.items()}),
                made_origin,
            )
            assert isinstance(made.model, TableModel)
            states = {IDLE: made.model.idle, **made.model.variants}
            found = [(states[name].watts, watts) for name, watts in truths.items()]
        else:
            sensors = [watts * 0.6 for watts in (idle_w, first_w, second_w)] * readings
            made = fit_affine([Point(watts=read(1.2 * x + 1.0), sensor_w=x) for x in sensors], "rails", made_origin)
            assert isinstance(made.model, AffineModel)
            held_out = drawn.uniform(made.model.low_w, made.model.high_w, 3)
            found = [(made.model.scale * x + made.model.offset_w, 1.2 * x + 1.0) for x in held_out]
        inside += sum(abs(says - truth) <= made.relative_error * says for says, truth in found)
        total += len(found)
    assert inside / total >= 0.90
    assert made.relative_error < 1.0  # covers, and says something


@pytest.mark.parametrize(
    ("states", "why"),
    [
        ({IDLE: (3.0,), "full": (6.0,)}, "2 readings for 2 unknowns: 2 more are needed"),
        ({IDLE: (3.0,), "full": (6.0,), "half": (5.0,)}, "3 readings for 3 unknowns: 2 more"),
        ({IDLE: (3.0, 3.1), "full": (6.0,)}, "3 readings for 2 unknowns: 1 more"),
        ({IDLE: (3.0,) * 5}, "no reading of a running variant"),
        ({"full": (6.0,) * 5}, "no reading of the board at rest .*1 more reading"),
    ],
)
def test_too_few_readings_are_refused_with_their_number(states: dict[str, tuple[float, ...]], why: str) -> None:
    with pytest.raises(BoardError, match=why):
        fit_table(table_points(states), origin())


def test_readings_that_tell_nothing_apart_are_refused() -> None:
    with pytest.raises(BoardError, match="busy share of 0"):
        fit_table(table_points({IDLE: (3.0,) * 3, "full": (3.0,) * 3}, busy_share=0.0), origin())
    with pytest.raises(BoardError, match="all at one load"):
        fit_affine([Point(watts=4.0 + i / 10, sensor_w=2.0) for i in range(5)], "rails", origin())
    with pytest.raises(BoardError, match=r"2 readings for 2 unknowns: 2 more are needed, of at other loads|2 more"):
        fit_affine([Point(watts=4.0, sensor_w=2.0), Point(watts=8.0, sensor_w=4.0)], "rails", origin())
    with pytest.raises(BoardError, match="fall as rails's rise"):
        fit_affine([Point(watts=8.0 - i, sensor_w=2.0 + i) for i in range(5)], "rails", origin())
    with pytest.raises(BoardError, match="2 readings have no value of rails"):
        fit_affine([Point(watts=8.0)] * 2, "rails", origin())
    with pytest.raises(Underdetermined):
        fit_linear(np.ones((2, 1)), np.ones(2))


def test_what_looks_wrong_is_warned_of() -> None:
    slip = fit_table(table_points({IDLE: (3.0, 3.02, 2.98, 3.01), "full": (6.0, 6.01, 5.99, 60.0)}), origin())
    assert any("reading 8 (full, 60 W)" in warning for warning in slip.warnings)
    assert any(warning.startswith("poor: ") for warning in slip.warnings)
    asleep = fit_table(table_points({IDLE: (3.0, 3.01, 3.02), "full": (2.5, 2.51, 2.52)}), origin())
    assert any("less than idle" in warning for warning in asleep.warnings)
    rare = fit_table(table_points({IDLE: (3.0, 3.01, 3.02), "full": (3.2, 3.21, 3.2)}, busy_share=0.1), origin())
    assert any("less than 20% of the time" in warning for warning in rare.warnings)
    unknown = fit_table(table_points({IDLE: (3.0,) * 3, "full": (6.0,) * 3}), origin(meter_error=0.02, known=False))
    assert any("2% is assumed" in warning for warning in unknown.warnings)
    narrow = fit_affine([Point(watts=5 + i / 100, sensor_w=4 + i / 100) for i in range(5)], "rails", origin())
    assert any("span only 0.04 W" in warning for warning in narrow.warnings)
    good = fit_table(table_points({IDLE: (3.0, 3.01, 2.99), "full": (6.0, 6.01, 5.99)}), origin())
    assert good.warnings == ()


def test_a_variant_between_two_that_were_read_may_be_interpolated_never_beyond() -> None:
    points = table_points({IDLE: (3.0,) * 3, "low": (4.0,) * 3, "high": (6.0,) * 3})
    costs = {"low": 1e9, "middle": 2e9, "high": 3e9, "higher": 4e9}
    plain, asked = fit_table(points, origin()).model, fit_table(points, origin(), costs).model
    assert isinstance(plain, TableModel)
    assert isinstance(asked, TableModel)
    assert set(plain.variants) == {"low", "high"}
    assert set(asked.variants) == {"low", "middle", "high"}
    middle = asked.variants["middle"]
    assert (middle.watts, middle.origin, middle.readings) == (pytest.approx(5.0), "interpolated", 0)
    assert middle.error_w >= 2.0  # all of the difference between its neighbours


# -- the file -------------------------------------------------------------------------------------------------------


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    made = pi_table()
    path = tmp_path / "etc/joulepath/calibration.json"
    save_calibration(made, path)
    assert load_calibration(path) == made
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda body: body.update(schema_version=2), "its schema version is not 1: another version of Joulepath"),
        (lambda body: body.update(colour="red"), "colour: Extra inputs"),
        (lambda body: body["model"]["idle"].update(watts=-1), r"model\.table\.idle\.watts"),
        (lambda body: body["model"].update(kind="spline"), "model: .*spline"),
        (lambda body: body.update(relative_error="much"), "relative_error"),
        (lambda body: body.pop("points"), "points: Field required"),
    ],
)
def test_a_damaged_file_is_refused_by_field(
    tmp_path: Path, change: Callable[[dict[str, object]], object], why: str
) -> None:
    path = tmp_path / "c.json"
    body = json.loads(pi_table().model_dump_json())
    change(body)
    path.write_text(json.dumps(body))
    with pytest.raises(BoardError, match=why):
        load_calibration(path)


@settings(deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(BoardError, match=r"any\.json"):
        load_calibration(path)


def test_a_file_that_is_not_there_or_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="joulepath calibrate makes one"):
        load_calibration(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(BoardError, match="name another file with --out"):
        save_calibration(pi_table(), tmp_path / "file" / "c.json")


def test_revisions_of_a_model_are_one_board_others_are_not() -> None:
    made = pi_table()
    assert mismatch(made, BoardInfo("raspberry-pi", "Raspberry Pi 4 Model B Rev 1.5")) is None
    assert mismatch(made, BoardInfo("linux", "Raspberry Pi 4 Model B Rev 1.4")) is not None
    why = mismatch(made, BoardInfo("raspberry-pi", "Raspberry Pi 3 Model B Rev 1.2"))
    assert why is not None
    assert "made for Raspberry Pi 4 Model B Rev 1.4" in why
    assert "this is Raspberry Pi 3 Model B Rev 1.2" in why


# -- the board ------------------------------------------------------------------------------------------------------


class Bare:
    """A board with what a test gives it."""

    def __init__(self, *channels: Channel, energy: str | None = None) -> None:
        self.info = BoardInfo(*PI)
        self.channels = channels
        self.energy_channel = energy
        self.noted: list[Activity] = []
        self.closed = False

    def note(self, activity: Activity) -> None:
        self.noted.append(activity)

    def close(self) -> None:
        self.closed = True


class Line:
    """A sensor whose value a test sets."""

    def __init__(self, clock: FakeClock, value: float) -> None:
        self.clock, self.value = clock, value

    def read(self) -> Reading:
        return Reading(self.value, self.clock())


def read(board: Board, name: str) -> Reading:
    return next(c for c in board.channels if c.name == name).sensor.read()


def test_a_table_counts_each_state_exactly_however_rarely_it_is_read(clock: FakeClock) -> None:
    inner = Bare()
    board = CalibratedBoard(inner, pi_table(3.0, 6.0), clock)
    first = read(board, "board-energy")
    for _ in range(100):  # 100 inferences of 7 ms, 13 ms apart: no sampling at 50 Hz would see them
        board.note(Activity("full", True, clock()))
        clock.forward(0.007)
        board.note(Activity("full", False, clock()))
        clock.forward(0.013)
    board.note(Activity("full", True, clock()))
    last = read(board, "board-energy")
    assert last.value - first.value == pytest.approx(100 * (0.007 * 6.0 + 0.013 * 3.0), rel=1e-9)
    assert read(board, "board-power").value == pytest.approx((0.007 * 6 + 0.013 * 3) / 0.02, rel=1e-9)
    assert len(inner.noted) == 201


def test_it_says_that_it_models_how_well_and_by_which_file(clock: FakeClock) -> None:
    made = pi_table()
    board = CalibratedBoard(Bare(), made, clock, "/etc/joulepath/calibration.json")
    energy, power = board.channels
    assert (energy.name, energy.quantity, energy.method, energy.period_s) == (
        "board-energy", Quantity.ENERGY, Method.MODELLED, 0.02,
    )  # fmt: skip
    assert (power.name, power.quantity, power.method) == ("board-power", Quantity.POWER, Method.MODELLED)
    assert energy.relative_error == power.relative_error == made.relative_error
    assert board.energy_channel == "board-energy"
    assert board.info.rails_included == ("board-energy",)
    assert board.info.details["calibration"] == (
        f"/etc/joulepath/calibration.json: table model of 2026-11-20 after a meter, 6 readings, "
        f"within {made.relative_error:.1%} (95 %)"
    )


def test_frames_get_the_models_energy_and_its_error(clock: FakeClock) -> None:
    made = pi_table(3.0, 6.0, relative_error=0.05)
    board = CalibratedBoard(Bare(), made, clock)
    meter = Meter.for_channel(board.channels[0])
    drawn = random.Random(3)
    frames: list[tuple[int, float]] = []
    begin_ns, next_read_ns = clock.now_ns, clock.now_ns
    edges: list[tuple[int, bool]] = []
    at_ns = begin_ns
    for _ in range(200):
        busy_ns, rest_ns = round(drawn.uniform(0.03, 0.06) * SECOND), round(drawn.uniform(0.005, 0.04) * SECOND)
        frames.append((at_ns, 6e-9 * busy_ns + 3e-9 * rest_ns))
        edges += [(at_ns, True), (at_ns + busy_ns, False)]
        at_ns += busy_ns + rest_ns
    for edge_ns, busy in edges:
        while next_read_ns <= edge_ns:
            clock.now_ns = next_read_ns
            meter.add(board.channels[0].sensor.read())
            next_read_ns += 20_000_000
        clock.now_ns = edge_ns
        board.note(Activity("full", busy, edge_ns))
    for (start_ns, joules), (end_ns, _) in list(pairwise(frames))[5:-3]:
        found = meter.energy(start_ns, end_ns)
        assert found.method is Method.MODELLED
        assert found.energy_uj == pytest.approx(joules * 1e6, abs=2)  # readings lie where windows begin
        assert found.uncertainty_uj is not None
        assert found.uncertainty_uj >= 0.05 * joules * 1e6 - 1


def test_an_unread_variant_has_no_energy_and_spoils_none_before_and_after(clock: FakeClock) -> None:
    board = CalibratedBoard(Bare(), pi_table(3.0, 6.0), clock)
    meter = Meter.for_channel(board.channels[0])
    start_ns = clock.now_ns
    lost: set[str] = set()

    def run(variant: str | None, seconds: float, busy: bool = True) -> None:
        board.note(Activity(variant, busy, clock()))
        for _ in range(round(seconds / 0.02)):
            clock.forward(0.02)
            try:
                meter.add(board.channels[0].sensor.read())
            except SensorLost as error:
                lost.add(str(error))
                meter.lost(clock())

    run("full", 1.0)
    run("new", 0.04)  # shorter than any gap that a meter would notice by time alone
    run("new", 0.02, busy=False)
    run("full", 1.0)
    assert lost == {"variant 'new' is not in the calibration: joulepath calibrate reads the meter for it"}
    for begin_s, end_s, joules in ((0.1, 0.9, 4.8), (1.2, 1.9, 4.2)):
        found = meter.energy(start_ns + round(begin_s * SECOND), start_ns + round(end_s * SECOND))
        assert found.energy_uj == pytest.approx(joules * 1e6, abs=2)
    across = meter.energy(start_ns + SECOND // 2, start_ns + 3 * SECOND // 2)
    assert (across.energy_uj, across.method) == (None, Method.UNAVAILABLE)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 50_000_000),  # ns that pass
        st.sampled_from(["busy", "rest", "read", "late"]),
        st.sampled_from(["full", "half", "new"]),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps=STEPS)
def test_whatever_is_noted_and_read_a_meter_never_counts_what_the_table_does_not_know(
    steps: list[tuple[int, str, str]],
) -> None:
    clock = FakeClock()
    states = {IDLE: (3.0,) * 3, "full": (6.0,) * 3, "half": (5.0,) * 3}
    board = CalibratedBoard(Bare(), fit_table(table_points(states), origin(resolution_w=0.1)), clock)
    meter = Meter.for_channel(board.channels[0])
    sensor = board.channels[0].sensor
    watts: float | None = 3.0
    unknown_ran = False  # since the last reading
    pending_j = 0.0
    before: Reading | None = None
    for passed_ns, what, variant in steps:
        clock.now_ns += passed_ns
        pending_j += (watts or 0.0) * passed_ns * 1e-9
        unknown_ran |= watts is None
        if what == "read":
            try:
                reading = sensor.read()
            except SensorLost:
                assert watts is None
                continue
            assert watts is not None
            meter.add(reading)
            assert reading.monotonic_ns <= clock.now_ns
            if before is not None:
                assert reading.monotonic_ns >= before.monotonic_ns
                fell = reading.value < before.value
                assert fell == unknown_ran
            before, unknown_ran = reading, False
            continue
        # A late note tells of an instant that was read already: what was read stands, the rest counts.
        at_ns = clock.now_ns if what != "late" else clock.now_ns - 1_000_000
        busy = what != "rest"
        board.note(Activity(variant, busy, at_ns))
        known = {"full": 6.0, "half": 5.0}.get(variant)
        watts = None if known is None else known if busy else 3.0
        unknown_ran |= watts is None
    assert meter.total_uj <= (pending_j + 0.001 * 6.0 * len(steps)) * 1e6 + 2


def affine(channel: str, scale: float = 1.2, offset_w: float = 0.5) -> Calibration:
    points = [Point(watts=scale * x + offset_w, sensor_w=x) for x in (2.0, 4.0, 6.0, 8.0, 3.0)]
    return fit_affine(points, channel, origin(resolution_w=0.01))


def test_a_partial_sensor_is_scaled_and_its_raw_value_kept(clock: FakeClock) -> None:
    line = Line(clock, 5.0)
    raw = Channel("pmic-rails", Quantity.POWER, line, 0.02, resolution=0.01)
    heat = Channel("cpu", Quantity.TEMPERATURE, Line(clock, 50.0), 1.0)
    board = CalibratedBoard(Bare(raw, heat, energy="pmic-rails"), affine("pmic-rails"), clock)
    assert [(c.name, c.period_s) for c in board.channels] == [("board-power", 0.02), ("pmic-rails", 0.2), ("cpu", 1.0)]
    assert board.energy_channel == "board-power"
    assert board.channels[0].method is Method.MODELLED
    assert board.channels[0].resolution == pytest.approx(0.012)
    assert read(board, "board-power").value == pytest.approx(6.5)
    assert read(board, "pmic-rails").value == 5.0
    # Believed from a quarter of the readings' span below them to half of it above.
    line.value = 9.0
    assert read(board, "pmic-rails").value == 5.0  # the same reading, not a second one
    for value, believed in ((0.6, True), (0.4, False), (10.9, True), (11.1, False)):
        line.value = value
        if believed:
            assert read(board, "board-power").value == pytest.approx(1.2 * value + 0.5)
        else:
            with pytest.raises(SensorLost, match=r"outside the 0\.500 to 11\.000 W that the calibration holds for"):
                read(board, "board-power")


def test_the_rails_of_a_pi_5_become_the_whole_board(roots_of: Callable[[str], Roots], clock: FakeClock) -> None:
    firmware = FakeFirmware(sweep=SWEEP)
    roots = roots_of("raspberry-pi-5")
    plain = open_raspberry_pi(roots, clock=clock, load_percent=lambda: 25.0, ioctl=firmware)
    # A correction that people use for this board; the readings lie on it within a meter's last digit.
    points = [Point(watts=round(1.1451 * x + 0.5879, 2), sensor_w=x) for x in (2.6, 4.0, 5.5, 7.1, 8.0, 9.9)]
    made = fit_affine(points, "pmic-rails", origin(resolution_w=0.01, board=(plain.info.name, plain.info.model)))
    board = CalibratedBoard(plain, made, clock, "pi5.json")
    power, raw = (next(c for c in board.channels if c.name == name) for name in ("board-power", "pmic-rails"))
    assert (board.energy_channel, power.method, power.period_s) == ("board-power", Method.MODELLED, 0.1)
    before = len(firmware.calls)
    assert power.sensor.read().value == pytest.approx(1.1451 * RAILS_W + 0.5879, abs=0.02)
    asked = len(firmware.calls) - before
    assert raw.sensor.read().value == pytest.approx(RAILS_W)
    assert len(firmware.calls) - before == asked  # the firmware was not asked twice
    assert made.relative_error < 0.02
    board.close()


def test_a_counter_is_scaled_with_its_offset_growing_in_time(clock: FakeClock) -> None:
    line = Line(clock, 100.0)
    raw = Channel("rapl-package", Quantity.ENERGY, line, 0.02, Method.COUNTER)
    board = CalibratedBoard(Bare(raw, energy="rapl-package"), affine("rapl-package"), clock)
    first = read(board, "board-energy").value
    clock.forward(0.5)
    line.value += 2.5
    assert read(board, "board-energy").value - first == pytest.approx(1.2 * 2.5 + 0.5 * 0.5)
    clock.forward(1.0)
    line.value += 50.0  # 35 W over the time since the mark: beyond what was read
    with pytest.raises(SensorLost, match="outside the"):
        read(board, "board-energy")
    clock.forward(0.02)
    line.value += 0.1
    assert read(board, "board-energy").value < first + 1.2 * 2.5 + 0.5 * 0.5  # a new stretch


def test_another_boards_calibration_is_refused(clock: FakeClock) -> None:
    other = fit_table(
        table_points({IDLE: (3.0,) * 3, "full": (6.0,) * 3}), origin(board=("jetson", "NVIDIA Jetson Nano"))
    )
    with pytest.raises(BoardError, match=r"made for NVIDIA Jetson Nano \(jetson\), this is Raspberry Pi 4"):
        CalibratedBoard(Bare(), other, clock)
    with pytest.raises(
        BoardError, match="corrects the channel 'pmic-rails', which this board does not have; it has: none"
    ):
        CalibratedBoard(Bare(), affine("pmic-rails"), clock)


def test_closing_closes_the_board_inside(clock: FakeClock) -> None:
    inner = Bare()
    CalibratedBoard(inner, pi_table(), clock).close()
    assert inner.closed


# -- on the command line's words ------------------------------------------------------------------------------------


@pytest.fixture
def pi(roots_of: Callable[[str], Roots]) -> Roots:
    return roots_of("raspberry-pi-4")


def made_for(roots: Roots, clock: FakeClock) -> Calibration:
    info = open_board("auto", roots=roots, clock=clock).info
    return fit_table(
        table_points({IDLE: (3.0,) * 3, "full": (6.0,) * 3}),
        origin(resolution_w=0.1, board=(info.name, info.model)),
    )


def test_the_calibration_under_etc_is_used_where_it_fits(pi: Roots, clock: FakeClock) -> None:
    save_calibration(made_for(pi, clock), pi.etc / "joulepath/calibration.json")
    board = open_board("auto", roots=pi, clock=clock)
    assert (board.info.name, board.energy_channel) == ("raspberry-pi", "board-energy")
    assert open_board("raspberry-pi:calibration=no", roots=pi, clock=clock).energy_channel is None


@pytest.mark.parametrize("content", ["another board", "garbage"])
def test_one_that_does_not_fit_is_passed_over_and_told(pi: Roots, clock: FakeClock, content: str) -> None:
    path = pi.etc / "joulepath/calibration.json"
    path.parent.mkdir(parents=True)
    if content == "garbage":
        path.write_text("{")
    else:
        save_calibration(pi_table(board_model="Raspberry Pi 3 Model B"), path)
    board = open_board("auto", roots=pi, clock=clock)
    assert board.energy_channel is None
    assert "is not used: " in board.info.details["calibration"]
    assert [c.name for c in board.channels] == [
        c.name for c in open_board("auto:calibration=no", roots=pi, clock=clock).channels
    ]


def test_a_named_one_must_fit(pi: Roots, clock: FakeClock, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    save_calibration(made_for(pi, clock), path)
    board = open_board(f"auto:calibration={path}", roots=pi, clock=clock)
    assert board.info.details["calibration"].startswith(f"{path}: table model")
    save_calibration(pi_table(board_model="Raspberry Pi 3 Model B"), path)
    with pytest.raises(BoardError, match="was made for Raspberry Pi 3 Model B"):
        open_board(f"raspberry-pi:calibration={path}", roots=pi, clock=clock)
    with pytest.raises(BoardError, match="cannot be read"):
        open_board(f"linux:calibration={tmp_path}/none.json", roots=pi, clock=clock)
    with pytest.raises(BoardError, match="did you mean 'calibration'"):
        open_board(f"linux:calibraton={path}", roots=pi, clock=clock)
    with pytest.raises(BoardError, match="no option 'calibration'"):
        open_board(f"simulated:calibration={path}", roots=pi, clock=clock)


def test_a_table_does_not_take_the_place_of_a_sensor_unasked(
    roots_of: Callable[[str], Roots], clock: FakeClock
) -> None:
    roots = roots_of("laptop")
    assert open_board("linux", roots=roots, clock=clock).energy_channel == "rapl-package"
    path = roots.etc / "joulepath/calibration.json"
    save_calibration(made_for(roots, clock), path)
    board = open_board("linux", roots=roots, clock=clock)
    assert board.energy_channel == "rapl-package"
    assert "measures its own energy" in board.info.details["calibration"]
    assert open_board(f"linux:calibration={path}", roots=roots, clock=clock).energy_channel == "board-energy"


# -- a real meter ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no traces at {DATA} (set JOULEPATH_DATA)")
@pytest.mark.parametrize(("name", "idle_w", "busy_w"), [("rpi4-fan-off", 3.0, 5.83), ("rpi4-fan-on", 3.87, 6.7)])
def test_a_real_wall_meter_over_a_real_pi_4(name: str, idle_w: float, busy_w: float) -> None:
    """A few readings calibrate, as a person would take them; the stated error holds for nine in ten of the others."""
    watts = read_spl(DATA / name / "spl.txt").series[0].values
    rest = np.concatenate((watts[9:13], watts[-7:]))  # before the model is loaded, and after the run
    busy = np.flatnonzero(watts > (idle_w + busy_w) / 2)
    load = watts[busy[0] + 20 : busy[-1] - 5]
    made = fit_table(
        table_points({IDLE: tuple(rest[::4]), "resnet50": tuple(load[::100])}),
        origin(meter_error=0.005, resolution_w=0.01),
    )
    assert isinstance(made.model, TableModel)
    busy_state = made.model.variants["resnet50"]
    assert made.model.idle.watts == pytest.approx(idle_w, abs=0.05)
    assert busy_state.watts == pytest.approx(busy_w, abs=0.1)
    held_out = np.delete(load, np.arange(0, len(load), 100))
    assert (np.abs(held_out - busy_state.watts) <= busy_state.error_w).mean() >= 0.9
    assert made.relative_error < 0.1
    assert made.warnings == ()
    # What the model makes of the loaded ten minutes against what the meter counted.
    assert busy_state.watts * len(load) == pytest.approx(load.sum(), rel=made.relative_error)
