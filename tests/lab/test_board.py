"""An arm64 board: the package installs, sensors read exactly, frames flow, heat and a low battery switch variants."""

from __future__ import annotations

import json

import pytest

from tests.lab.fixtures import Fresh
from tests.lab.subject import PYTHON, Subject

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

MEASURED = 2
RAIL_W = 8.0


@pytest.fixture(scope="module")
def board(fresh: Fresh) -> Subject:
    """The board with every driver loaded, the service serving frames."""
    fresh.subject.machine.call("board.load_all", timeout_s=120)
    fresh.subject.configure()
    return fresh.subject


@pytest.fixture(autouse=True)
def cool_and_charged(request: pytest.FixtureRequest) -> None:
    if "board" in request.fixturenames:
        board: Subject = request.getfixturevalue("board")
        board.machine.call("board.set_temperature", celsius=45.0)
        board.machine.call("board.set_battery", capacity=90, ac_online="off")
        board.machine.call("board.set_gauge", microvolts=3_800_000, percent=90)


def test_the_package_installs_and_its_service_starts_by_itself(fresh: Fresh) -> None:
    done = fresh.installation
    print(f"boot {fresh.boot_s:.1f} s, dpkg -i {done.seconds:.1f} s")
    assert done.rc == 0, done.out
    assert {name: done.unit[name] for name in ("ActiveState", "UnitFileState", "NRestarts")} == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "NRestarts": "0",
    }
    assert "camera /dev/video0: no such device" in done.unit["StatusText"]


def test_whose_the_state_is(fresh: Fresh) -> None:
    machine = fresh.subject.machine
    shown = machine.ok(
        "stat -c '%n %U %G %a' /var/lib/joulepath /var/lib/joulepath/journal.db /run/joulepath/control.sock"
    )
    assert shown.splitlines() == [
        "/var/lib/joulepath joulepath joulepath 750",
        "/var/lib/joulepath/journal.db joulepath joulepath 640",
        "/run/joulepath/control.sock joulepath joulepath 660",
    ]
    pid = fresh.subject.daemon()
    assert machine.ok(f"ps -o user= -p {pid}") == "joulepath"
    assert "video" in machine.ok("id -nG joulepath").split()


def test_sensors_read_exactly_through_the_kernels_drivers(board: Subject) -> None:
    rows = json.loads(board.machine.ok(f"{PYTHON} -B /mnt/host/guest/exact.py", timeout_s=300))
    assert len(rows) >= 15
    for what, wanted, read in rows:
        assert read == pytest.approx(wanted, rel=1e-9, abs=1e-9), what
    folders = board.machine.call("board.hwmon")
    raw = [
        board.machine.call("board.read", path=f"{folders['ina3221']}/{name}") for name in ("in1_input", "curr1_input")
    ]
    assert raw == ["5000", "0"]  # the script's last value


def test_probe_finds_them_all(board: Subject) -> None:
    board.machine.call("board.set_rail", channel=1, millivolts=5000, milliamperes=1600)
    board.machine.call("board.set_monitor", millivolts=5000, milliamperes=1600)
    found = json.loads(board.machine.ok("joulepath probe --json --board linux --seconds 1", timeout_s=300))
    values = {channel["name"]: channel["value"] for channel in found["channels"]}
    expected = {"ina3221-1": RAIL_W, "ina219": RAIL_W, "battery": 0.9, "mains": 0.0, "cpu-thermal": 45.0}
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    assert found["energy_channel"] == "ina219"
    assert [camera["path"] for camera in found["cameras"]] == ["/dev/video0"]


def test_frames_flow_and_their_energy_is_the_rails(board: Subject) -> None:
    board.machine.call("board.set_monitor", millivolts=5000, milliamperes=1600)
    board.restart()  # a run at one power from its first frame
    board.until("frames", lambda s: s["frames"] > 30)
    assert "'YUYV'" in board.machine.ok("v4l2-ctl -d /dev/video0 --get-fmt-video")
    board.machine.ok("systemctl stop joulepath", timeout_s=300)
    seen = board.journal("frames")
    (run,) = board.journal("runs")[-1:]
    board.restart()
    assert (run["outcome"], run["rails"]) == ("finished", ["ina219"])
    assert seen["count"] > 30
    assert seen["gaps"] == 0
    assert MEASURED in seen["methods"]
    assert seen["known_energy_uj"] == pytest.approx(RAIL_W * seen["known_duration_ns"] / 1e3, rel=1e-3)
    print(
        f"{seen['count']} frames, {seen['unknown_energy']} without energy, first inference {seen['first_infer_us']} us"
    )


def test_start_to_first_frame_is_reported(board: Subject) -> None:
    board.restart()
    unit = board.show("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    seconds = (int(unit["ActiveEnterTimestampMonotonic"]) - int(unit["ExecMainStartTimestampMonotonic"])) / 1e6
    print(f"service start to first frame: {seconds:.1f} s under emulation")
    assert seconds > 0


def test_heat_switches_to_a_cheaper_variant_and_the_journal_explains(board: Subject) -> None:
    board.until("the best variant", lambda s: s["variant"] == "full")
    since_ns = board.now_ns()
    board.machine.call("board.set_lively_temperature", celsius=80.0)
    board.until("a cheaper variant", lambda s: s["variant"] != "full")
    switch = board.switch("80.0 °C", since_ns)
    assert switch["before"] == "full"
    assert "limit 75 °C" in switch["reason"]
    board.frames_flow()
    board.machine.call("board.set_lively_temperature", celsius=45.0)
    board.until("the best variant again", lambda s: s["variant"] == "full")


def test_a_draining_battery_switches_to_a_cheaper_variant_and_the_journal_explains(board: Subject) -> None:
    board.until("the best variant", lambda s: s["variant"] == "full")
    since_ns = board.now_ns()
    for percent in (60, 40, 20):
        board.machine.call("board.set_battery", capacity=percent)
        board.machine.call("board.set_gauge", microvolts=3_600_000, percent=percent)
    board.until("a cheaper variant", lambda s: s["variant"] != "full")
    switch = board.switch("battery", since_ns)
    assert switch["before"] == "full"
    assert "20 %" in switch["reason"]
    board.frames_flow()
    board.machine.call("board.set_battery", ac_online="on")
    board.until("the best variant on mains", lambda s: s["variant"] == "full")


def test_the_systems_own_packages_are_imported_beside_ours(board: Subject) -> None:
    script = (
        "import json, numpy, cv2, bottleneck, gi, edge;"
        "print(json.dumps([numpy.__file__, cv2.__file__, bottleneck.__file__, gi.__file__,"
        " float(bottleneck.nanmean(numpy.array([1.0, numpy.nan, 3.0])))]))"
    )
    ours, vision, compiled, binding, mean = json.loads(board.machine.ok(f"{PYTHON} -c '{script}'", timeout_s=120))
    assert ours.startswith("/usr/lib/joulepath/")
    assert vision.startswith("/usr/lib/joulepath/")
    assert compiled.startswith("/usr/lib/python3/dist-packages/")  # built by Debian against its own, older numpy
    assert binding.startswith("/usr/lib/python3/dist-packages/")
    assert mean == 2.0
