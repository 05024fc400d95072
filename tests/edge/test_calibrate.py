"""`joulepath calibrate`: readings typed in, from a table, from a log over a journal; a run on what comes of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from boards.board import Quantity
from boards.calibrated import CalibratedBoard
from boards.calibration import IDLE, AffineModel, Calibration, Point, TableModel, load_calibration, save_calibration
from boards.calibration_fit import Origin, fit_table
from boards.detect import open_board
from boards.roots import Roots
from boards.sensor import Method
from edge.calibrate import register
from edge.calibrate_load import ByHand, FlatOut, RunningDaemon
from edge.calibrate_readings import Readings, number_of, read_log, read_table, resolution_of, write_table
from edge.config import Config
from edge.control import ControlServer
from edge.daemon import Daemon, RunOptions
from edge.errors import JoulepathError, UsageError
from edge.journal import FrameRow, Journal, JournalReader
from tests.boards.conftest import TREES
from tests.edge.tiny import STREET, write_bundle

SECOND = 1_000_000_000
BOARD = ["--board", "linux"]  # this machine, whatever it is


def app() -> typer.Typer:
    made = typer.Typer()
    register(made)
    made.command("other")(lambda: None)  # so that calibrate stays a command of its own
    return made


def joulepath(*arguments: object, typed: str = "") -> Any:
    """The command line; a UsageError comes through as the exception."""
    result = CliRunner().invoke(app(), [str(each) for each in ("calibrate", *arguments)], input=typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "made.json"


# -- typed in -------------------------------------------------------------------------------------------------------


def test_a_typed_session_from_the_first_question_to_the_file(out: Path) -> None:
    typed = "3.0\n3,1 W\nthree\n9\nundo\n2.9\n\n" + "5.8\n6.0\n5.9\n\n" + "UM25C\n"
    result = joulepath(*BOARD, "--variants", "full", "--meter-error", 1, "--out", out, typed=typed)
    assert result.exit_code == 0, result.output
    assert "[1/2] idle: Let the board rest" in result.output
    assert "[2/2] full: Put the board at 'full'" in result.output
    assert "'three' is no number; type the watts that the meter shows, such as 5.83" in result.output
    made = load_calibration(out)
    assert [(point.state, point.watts, point.busy_share) for point in made.points] == [
        (IDLE, 3.0, 0.0), (IDLE, 3.1, 0.0), (IDLE, 2.9, 0.0),
        ("full", 5.8, 1.0), ("full", 6.0, 1.0), ("full", 5.9, 1.0),
    ]  # fmt: skip
    assert (made.meter, made.meter_error, made.meter_error_known, made.resolution_w) == ("UM25C", 0.01, True, 0.1)
    assert isinstance(made.model, TableModel)
    assert made.model.idle.watts == pytest.approx(3.0)
    assert made.model.variants["full"].watts == pytest.approx(5.9)
    assert 0.05 < made.relative_error < 0.2
    assert "energies by it are within" in result.output
    assert f"kept in {out}" in result.output
    assert f"linux:calibration={out}" in result.output
    assert made.board == "linux"


def test_too_few_typed_readings_are_kept_and_can_be_added_to(out: Path) -> None:
    with pytest.raises(
        UsageError, match=r"2 readings for 2 unknowns: 2 more are needed.*kept in .*made\.readings\.csv"
    ):
        joulepath(*BOARD, "--variants", "full", "--meter", "m", "--out", out, typed="3.0\n\n6.0\n\n")
    table = out.with_suffix(".readings.csv")
    assert table.read_text() == "state,watts,busy_share,sensor_w\nidle,3.0,0.000000,\nfull,6.0,1.000000,\n"
    assert not out.exists()
    with table.open("a") as file:
        file.write("idle,3.1\nfull,6.1\n")
    result = joulepath(*BOARD, "--readings", table, "--out", out)
    assert result.exit_code == 0, result.output
    assert len(load_calibration(out).points) == 4


def test_a_session_that_is_broken_off_leaves_nothing(out: Path) -> None:
    result = joulepath(*BOARD, "--variants", "full", "--out", out, typed="3.0\n3.1\n")
    assert result.exit_code == 1
    assert not out.exists()


def test_a_bundle_runs_by_itself_while_the_meter_is_read(tmp_path: Path, out: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", STREET[:5])
    typed = "3.0\n3.0\n3.1\n\n" + "5.0\n5.1\n\n" + "6.0\n6.1\n\n"
    result = joulepath(
        *BOARD, "--bundle", bundle, "--variants", "half,full", "--threads", 1, "--meter", "m", "--out", out, typed=typed
    )
    assert result.exit_code == 0, result.output
    assert "half runs without a pause now." in result.output
    made = load_calibration(out)
    shares = {point.state: point.busy_share for point in made.points}
    assert shares[IDLE] == 0.0
    assert 0.0 < shares["half"] <= 1.0
    assert isinstance(made.model, TableModel)
    assert set(made.model.variants) == {"half", "full"}


def test_the_load_says_how_busy_it_is_and_ends(tmp_path: Path) -> None:
    from edge.bundle import load_bundle

    load = FlatOut(load_bundle(write_bundle(tmp_path / "bundle", STREET[:5])), ("full",), threads=1)
    try:
        load.begin(IDLE)
        assert load.busy_share() == 0.0
        load.begin("full")
        assert 0.0 < load.busy_share() <= 1.0
        load.begin(IDLE)
        assert load.busy_share() == 0.0
    finally:
        load.close()


def test_a_sensor_is_read_beside_the_meter(out: Path) -> None:
    typed = "4.10\n4.12\n\n" + "4.11\n4.10\n\n" + "4.13\n\n"
    with pytest.raises(UsageError, match="readings do not tell the states apart"):
        # The simulated board rests all the while, so its channel says one thing only and no line goes through it.
        joulepath("--board", "simulated:noise_w=0", "--channel", "board", "--meter", "m", "--out", out, typed=typed)
    rows = out.with_suffix(".readings.csv").read_text().splitlines()
    assert rows[0] == "state,watts,busy_share,sensor_w"
    assert {row.split(",")[3] for row in rows[1:]} == {"3.000000"}
    assert [row.split(",")[0] for row in rows[1:]] == [IDLE, IDLE, "half-load", "half-load", "full-load"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "which variants"),
        (["--readings", "a.csv", "--log", "b.csv"], "exclude each other"),
        (["--interpolate", "--variants", "a"], "--interpolate needs --bundle"),
        (["--channel", "nothing"], "has no power channel 'nothing'"),
        (["--running", "--socket", "/nowhere/s.sock"], "/nowhere/s.sock"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_typed(out: Path, arguments: list[str], why: str) -> None:
    with pytest.raises(JoulepathError, match=why):
        joulepath(*BOARD, "--out", out, *arguments)


def test_a_calibration_that_is_there_is_not_replaced_unasked(tmp_path: Path, out: Path) -> None:
    out.write_text("precious")
    with pytest.raises(UsageError, match="is there already: --force replaces it"):
        joulepath(*BOARD, "--variants", "full", "--out", out)
    table = tmp_path / "r.csv"
    table.write_text("state,watts\nidle,3.0\nidle,3.1\nfull,6.0\nfull,6.2\n")
    assert joulepath(*BOARD, "--readings", table, "--out", out, "--force").exit_code == 0
    load_calibration(out)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written by this user"):
        joulepath(*BOARD, "--variants", "full", "--out", tmp_path / "file" / "c.json")


@pytest.fixture
def daemon_at(tmp_path: Path) -> Iterator[tuple[Path, list[object]]]:
    """A control socket that answers as a daemon at 10 fps does, and what it was asked to switch to."""
    switched: list[object] = []

    def handle(request: Any) -> dict[str, Any]:
        if request["command"] == "switch":
            switched.append(request["variant"])
            return {}
        status = {"variant": switched[-1] if switched else "full", "fps": 10.0, "infer_ms": 40.0}
        return {"status": status, "variants": ["full", "half"]}

    socket = tmp_path / "s.sock"
    server = ControlServer(socket, handle)
    yield socket, switched
    server.close()


def test_a_running_daemon_is_pinned_and_asked_how_busy_it_is(daemon_at: tuple[Path, list[object]]) -> None:
    socket, switched = daemon_at
    load = RunningDaemon(socket, (), sleep=lambda seconds: None)
    assert load.order == ("full", "half", IDLE)
    assert load.begin("half") == "The daemon is pinned to half."
    assert load.busy_share() == pytest.approx(0.4)
    assert "End the daemon now" in load.begin(IDLE)
    assert load.busy_share() == 0.0
    assert switched == ["half", None]
    with pytest.raises(UsageError, match="has no variant 'third'; it has: full, half"):
        RunningDaemon(socket, ("third",))


# -- from a table ---------------------------------------------------------------------------------------------------


def test_a_table_of_readings(tmp_path: Path) -> None:
    table = tmp_path / "r.csv"
    table.write_text("variant, watts, busy_share\nidle,3.00,\np0,5.5,0.8\np0,6,\n")
    taken = read_table(table)
    assert taken.resolution_w == pytest.approx(0.01)
    assert [(p.state, p.watts, p.busy_share) for p in taken.points] == [
        (IDLE, 3.0, 0.0), ("p0", 5.5, 0.8), ("p0", 6.0, 1.0),
    ]  # fmt: skip
    again = tmp_path / "again.csv"
    write_table(taken, again)
    assert read_table(again) == taken


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the header must name watts and state .* it names: nothing"),
        ("state,power\nidle,3\n", "it names: state, power"),
        ("watts\n3\n", "must name watts and state"),
        ("state,watts\nidle,x\n", "line 2: watts: 'x' is no number"),
        ("state,watts\nidle,3\n,4\n", "line 3: watts or state is missing"),
        ("state,watts,busy_share\np0,3,80\n", "line 2: busy_share: Input should be less than or equal to 1"),
        ("state,watts\nidle,-3\n", "line 2: watts: '-3' is no power"),
    ],
)
def test_a_table_that_is_wrong_says_where(tmp_path: Path, text: str, why: str) -> None:
    table = tmp_path / "r.csv"
    table.write_text(text)
    with pytest.raises(UsageError, match=why):
        read_table(table)
    with pytest.raises(UsageError, match="cannot be read as CSV"):
        read_table(tmp_path / "none.csv")


def test_numbers_as_people_type_them() -> None:
    assert [number_of(text) for text in ("5.83", " 5,83 ", "5.83 W", "5w", "0")] == [5.83, 5.83, 5.83, 5.0, 0.0]
    assert [resolution_of(texts) for texts in (["5", "6"], ["5.8", "6"], ["5,83 W"], [])] == [1.0, 0.1, 0.01, 0.0]


def test_a_partial_sensor_from_a_table(tmp_path: Path, out: Path) -> None:
    drawn = random.Random(2)
    table = tmp_path / "pi5.csv"
    rows = [(x / 2, 1.1451 * x / 2 + 0.5879 + drawn.gauss(0, 0.02)) for x in range(5, 20)]
    table.write_text("sensor_w,watts\n" + "".join(f"{x},{watts:.2f}\n" for x, watts in rows))
    result = joulepath("--board", "simulated", "--channel", "board", "--readings", table, "--out", out)
    assert result.exit_code == 0, result.output
    model = load_calibration(out).model
    assert isinstance(model, AffineModel)
    assert model.scale == pytest.approx(1.1451, abs=0.01)
    assert model.offset_w == pytest.approx(0.5879, abs=0.06)
    assert "* board" in result.output


def test_variants_between_those_read_by_their_cost(tmp_path: Path, out: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", STREET[:5])
    manifest = bundle / "manifest.json"
    body = json.loads(manifest.read_text())
    for variant, macs in zip(body["variants"], (3000, 1000, 2000), strict=True):  # full, half, alone
        variant["macs"] = macs
    manifest.write_text(json.dumps(body))
    table = tmp_path / "r.csv"
    table.write_text("state,watts\n" + "idle,3.0\nhalf,4.0\nfull,6.0\n" * 3)
    assert joulepath(*BOARD, "--readings", table, "--out", out).exit_code == 0
    assert "alone" not in load_calibration(out).model.model_dump()["variants"]
    result = joulepath(*BOARD, "--readings", table, "--bundle", bundle, "--interpolate", "--out", out, "--force")
    assert "between its neighbours" in result.output
    made = load_calibration(out).model
    assert isinstance(made, TableModel)
    assert made.variants["alone"].watts == pytest.approx(5.0)
    assert made.variants["alone"].error_w > 2.0


# -- from a log over a journal --------------------------------------------------------------------------------------

BEGAN_UTC_S = 1_800_000_000


def record_run(path: Path, busy_w: dict[str, float]) -> Callable[[float], float]:
    """A run from second 60: each variant for 60 s at 10 fps, busy for 60 % of each frame; returns true watts by UTC."""
    now_ns = [60 * SECOND]
    journal = Journal.open(
        path, monotonic_ns=lambda: now_ns[0], utc_ns=lambda: BEGAN_UTC_S * SECOND + now_ns[0], synchronised=lambda: True
    )
    journal.register_channel("rails", Quantity.POWER, Method.MEASURED)
    journal.start_run("linux", "b@1")
    spans: list[tuple[float, float, str]] = []
    for name, watts in busy_w.items():
        number = journal.register_variant(name)
        spans.append((now_ns[0] / SECOND, now_ns[0] / SECOND + 60, name))
        for sequence in range(600):
            journal.append_frame(
                FrameRow(
                    sequence, now_ns[0], now_ns[0] + SECOND // 10, number, 0, 0, 0, 60_000, 0, None, None, None, 0,
                    Method.UNAVAILABLE,
                )
            )  # fmt: skip
            journal.sample("rails", now_ns[0], (0.4 * 3.0 + 0.6 * watts - 0.5) / 1.25)
            now_ns[0] += SECOND // 10
    journal.end_run()
    assert journal.close()

    def true_w(utc_s: float) -> float:
        at_s = utc_s - BEGAN_UTC_S
        busy = next((busy_w[name] for begin, end, name in spans if begin <= at_s < end), None)
        return 3.0 if busy is None else 0.4 * 3.0 + 0.6 * busy

    return true_w


def write_log(path: Path, true_w: Callable[[float], float], *, noise_w: float = 0.0, shift_s: float = 0.0) -> None:
    """A meter's log of five minutes, a reading a second."""
    drawn = random.Random(5)
    with path.open("w") as file:
        file.write("time,power_w\n")
        for second in range(300):
            at = datetime.fromtimestamp(BEGAN_UTC_S + second + shift_s, timezone.utc)
            watts = true_w(BEGAN_UTC_S + second) + drawn.gauss(0, noise_w)
            file.write(f"{at.isoformat()},{max(0.0, watts):.3f}\n")


def test_a_log_over_a_journal_finds_the_states(tmp_path: Path) -> None:
    true_w = record_run(tmp_path / "j.db", {"full": 8.0, "half": 6.0})
    write_log(tmp_path / "log.csv", true_w)
    points = read_log(tmp_path / "log.csv", tmp_path / "j.db", None).points
    by_state = {state: [p for p in points if p.state == state] for state in (IDLE, "full", "half")}
    assert [len(found) for found in by_state.values()] == [14, 5, 5]
    assert {round(p.watts, 9) for p in by_state[IDLE]} == {3.0}
    assert {round(p.watts, 9) for p in by_state["full"]} == {6.0}
    assert all(p.busy_share == pytest.approx(0.6, abs=0.011) for p in (*by_state["full"], *by_state["half"]))
    made = fit_table(points, Origin("linux", "x", "m", 0.0, True, 0.0, "0"))
    assert isinstance(made.model, TableModel)
    assert made.model.variants["full"].watts == pytest.approx(8.0, rel=0.01)
    assert made.model.variants["half"].watts == pytest.approx(6.0, rel=0.01)


def test_the_command_fits_a_log_and_covers_the_truth(tmp_path: Path, out: Path) -> None:
    true_w = record_run(tmp_path / "j.db", {"full": 8.0, "half": 6.0})
    write_log(tmp_path / "log.csv", true_w, noise_w=0.2, shift_s=-3600)
    arguments = (*BOARD, "--log", tmp_path / "log.csv", "--journal", tmp_path / "j.db", "--out", out)
    result = joulepath(*arguments, "--meter-error", 0.5, "--log-offset", 3600)
    assert result.exit_code == 0, result.output
    made = load_calibration(out)
    assert isinstance(made.model, TableModel)
    for name, watts in (("full", 8.0), ("half", 6.0)):
        assert abs(made.model.variants[name].watts - watts) <= made.relative_error * watts
    assert made.relative_error < 0.1


def test_a_log_of_another_time_is_refused_with_both_times(tmp_path: Path) -> None:
    true_w = record_run(tmp_path / "j.db", {"full": 8.0})
    write_log(tmp_path / "log.csv", true_w)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join(lines[:5]) + "\n")
    with pytest.raises(UsageError, match=r"no ten seconds of it lie within.*2027-01-15 08:00:00 UTC.*--log-offset"):
        read_log(tmp_path / "short.csv", tmp_path / "j.db", None)
    (tmp_path / "plain.csv").write_text("time_s,power_w\n0,1\n1,2\n")
    with pytest.raises(UsageError, match=r"needs one column of watts .* and time stamps"):
        read_log(tmp_path / "plain.csv", tmp_path / "j.db", None)


def test_a_channel_of_the_journal_is_corrected_by_the_log(tmp_path: Path, out: Path) -> None:
    true_w = record_run(tmp_path / "j.db", {"full": 8.0, "half": 6.0, "none": 3.0})
    write_log(tmp_path / "log.csv", true_w)
    points = read_log(tmp_path / "log.csv", tmp_path / "j.db", 1, channel="rails").points
    assert len(points) == 15
    assert all(p.sensor_w is not None and p.watts == pytest.approx(1.25 * p.sensor_w + 0.5, abs=1e-5) for p in points)


# -- shown ----------------------------------------------------------------------------------------------------------


def made_for(model: str, name: str = "raspberry-pi", error: float | None = None) -> Calibration:
    points = [Point(watts=watts) for watts in (2.98, 3.0, 3.02)]
    points += [
        Point(state=state, watts=watts + extra, busy_share=1.0)
        for state, watts in (("full", 6.0), ("half", 5.0), ("alone", 4.0))
        for extra in (-0.02, 0.0, 0.02)
    ]
    made = fit_table(points, Origin(name, model, "UM25C", 0.01, True, 0.01, "0.1", "2026-11-20T12:00:00Z"))
    return made if error is None else made.model_copy(update={"relative_error": error})


def test_show_says_what_it_is_and_how_far_off(out: Path) -> None:
    save_calibration(made_for("Raspberry Pi 4 Model B Rev 1.4"), out)
    text = joulepath("show", out).output
    for part in (
        "Raspberry Pi 4 Model B Rev 1.4 (raspberry-pi)",
        "UM25C, 1.0%",
        "idle",
        "3.000",
        "full",
        "12 readings",
    ):
        assert part in text
    assert json.loads(joulepath("show", out, "--json").output)["schema_version"] == 1
    with pytest.raises(JoulepathError, match="joulepath calibrate makes one"):
        joulepath("show", out.with_name("none.json"))


# -- a run on it ----------------------------------------------------------------------------------------------------


def test_frames_of_a_run_are_modelled_and_carry_the_models_error(tmp_path: Path) -> None:
    """The daemon on a Raspberry Pi 4's tree, which has no sensor of power: every joule comes from the table."""
    roots = Roots.under(TREES / "raspberry-pi-4")
    plain = open_board("auto:calibration=no", roots=roots)
    assert plain.energy_channel is None
    made = made_for(plain.info.model, error=0.04)
    import time

    board = CalibratedBoard(plain, made, time.monotonic_ns, "pi4.json")
    journal = tmp_path / "j.db"
    options = RunOptions(
        bundle=write_bundle(tmp_path / "bundle", STREET[:5]), camera="synthetic:48x64@20", board="", journal=journal,
        config=Config(), frames=40, pin="full", threads=1,
    )  # fmt: skip
    with Daemon(options, board=board) as daemon:
        summary = daemon.run()
    assert (summary.frames, summary.energy_method) == (40, "modelled")
    with JournalReader(journal) as reader:
        (run,) = reader.runs()
        frames = list(reader.frames())
        channels = {row.name: row for row in reader.channels().values()}
    assert run.rails_included == ("board-energy",)
    assert channels["board-energy"].method is Method.MODELLED
    assert channels["board-power"].quantity is Quantity.POWER
    known = [frame for frame in frames if frame.energy_uj is not None]
    assert len(known) >= 30
    for frame in known:
        energy_uj, uncertainty_uj = frame.energy_uj or 0, frame.uncertainty_uj or 0
        assert frame.method == Method.MODELLED
        watts = energy_uj / (frame.end_ns - frame.start_ns) * 1e3
        assert 2.99 <= watts <= 6.01  # between idle and busy
        assert uncertainty_uj >= 0.04 * energy_uj - 1
    # Energy by the table from the journal's own busy times: the daemon counts from submit to answer, a little more.
    window_s = sum(frame.end_ns - frame.start_ns for frame in known) / 1e9
    busy_s = sum(frame.infer_us for frame in known) / 1e6
    least_uj = (3.0 * window_s + 3.0 * busy_s) * 1e6
    assert sum(frame.energy_uj or 0 for frame in known) >= 0.99 * least_uj


def test_by_hand_is_what_it_says() -> None:
    load = ByHand((IDLE, "a"), share=0.7)
    load.begin("a")
    assert load.busy_share() == 0.7
    load.begin(IDLE)
    assert load.busy_share() == 0.0
    assert Readings((), 0.0).points == ()
