from __future__ import annotations

import json
import shutil
import socket
from contextlib import closing
from pathlib import Path

import pytest

from boards.roots import Roots
from edge.cli import run
from edge.control import ControlServer
from edge.doctor import Finding, examine
from edge.doctor.hardware import board_findings, camera_findings, pace_findings
from edge.doctor.service import service_findings
from edge.doctor.storage import bundle_findings, storage_findings
from edge.journal import Journal
from tests.edge.tiny import write_bundle

TREES = Path(__file__).parents[2] / "boards" / "trees"


@pytest.fixture
def laptop(tmp_path: Path) -> Roots:
    return Roots.under(Path(shutil.copytree(TREES / "laptop", tmp_path / "laptop")))


def about(findings: list[Finding]) -> dict[str, Finding]:
    return {one.about: one for one in findings}


def test_a_board_that_knows_its_energy_is_fine(laptop: Roots) -> None:
    found = about(list(board_findings("linux", laptop)))
    assert found["energy"] == Finding("ok", "energy", "counter, from rapl-package (package-0)")
    assert found["board"].text.startswith("ThinkBook 14 (linux)")


def test_a_board_without_energy_is_told_how_to_get_some(tmp_path: Path) -> None:
    found = about(list(board_findings("linux", Roots.under(tmp_path))))
    assert found["energy"].state == "warning"
    assert "joulepath calibrate" in found["energy"].remedy


def test_heat_and_dead_sensors_are_warnings(laptop: Roots) -> None:
    (laptop.sys / "class/thermal/thermal_zone1/temp").write_text("91500\n")
    rail = next((laptop.sys / "class/hwmon").glob("hwmon*/power1_input"))
    findings = list(board_findings("linux", laptop))
    assert Finding("warning", "x86_pkg_temp", "91.5 °C", "cool the board: boards throttle from about 80 °C") in findings
    rail.write_text("rubbish")
    assert any("not an integer" in one.text and one.state == "warning" for one in board_findings("linux", laptop))


def test_an_unknown_board_is_wrong(laptop: Roots) -> None:
    (found,) = board_findings("toaster", laptop)
    assert found.state == "wrong"
    assert "unknown board" in found.text


def test_a_configured_camera_that_is_absent_or_forbidden(tmp_path: Path) -> None:
    roots = Roots.under(tmp_path)
    (missing,) = camera_findings("/dev/video0:480x640@30", roots)
    assert (missing.state, missing.about) == ("warning", "camera")
    folder = roots.sys / "class/video4linux/video0"
    folder.mkdir(parents=True)
    (folder / "name").write_text("vivid\n")
    (forbidden,) = camera_findings("0", roots)
    assert forbidden.state == "wrong"
    assert "usermod -aG video" in forbidden.remedy
    roots.dev.mkdir()
    (roots.dev / "video0").touch()
    (fine,) = camera_findings("/dev/video0", roots)
    assert fine.state == "ok"
    assert list(camera_findings("synthetic", Roots.under(tmp_path / "none"))) == []


def test_a_camera_by_its_lasting_name_and_one_that_is_no_camera(tmp_path: Path) -> None:
    roots = Roots.under(tmp_path)
    (missing,) = camera_findings("/dev/v4l/by-id/usb-cam-index0:480x640@30", roots)
    assert missing.state == "warning"
    assert missing.text.startswith(str(tmp_path / "dev/v4l/by-id/usb-cam-index0,"))
    (roots.dev / "v4l/by-id").mkdir(parents=True)
    (roots.dev / "v4l/by-id/usb-cam-index0").touch()
    assert list(camera_findings("/dev/v4l/by-id/usb-cam-index0:480x640@30", roots)) == []
    (unreadable,) = camera_findings("/dev/video0:0x0", roots)
    assert unreadable.state == "wrong"


def test_a_raspberry_pi_without_energy_is_told_of_its_bus(tmp_path: Path) -> None:
    roots = Roots.under(Path(shutil.copytree(TREES / "raspberry-pi-4", tmp_path / "pi")))

    def said() -> Finding:
        return about(list(board_findings("auto", roots)))["i2c"]

    assert "dtparam=i2c_arm=on" in said().remedy
    bus = roots.sys / "bus/i2c/devices"
    (bus / "i2c-1").mkdir(parents=True)
    assert "new_device" in said().remedy
    (bus / "1-0068").mkdir()
    (bus / "1-0068/name").write_text("ds3231\n")
    assert "ds3231" in said().text
    with_hat = about(list(board_findings("auto", Roots.under(TREES / "hat-ina219"))))
    assert with_hat["energy"].state == "ok"
    assert "i2c" not in with_hat


def test_the_disk_is_compared_with_the_configured_bound(tmp_path: Path) -> None:
    path, roots = tmp_path / "journal.db", Roots.under(tmp_path)
    assert about(list(storage_findings(path, roots, 1_000_000)))["disk"].state == "ok"
    tight = about(list(storage_findings(path, roots, 1 << 60)))["disk"]
    assert (tight.state, tight.remedy) == ("warning", "free some space, or lower journal.max_bytes")


def test_a_capped_or_idling_processor(tmp_path: Path) -> None:
    policy = tmp_path / "sys/devices/system/cpu/cpufreq/policy0"
    policy.mkdir(parents=True)
    for name, text in (
        ("scaling_governor", "powersave"),
        ("scaling_driver", "cpufreq-dt"),
        ("cpuinfo_max_freq", "1800000"),
        ("scaling_max_freq", "600000"),
    ):
        (policy / name).write_text(text + "\n")
    states = [(one.state, one.about) for one in pace_findings(Roots.under(tmp_path))]
    assert states == [("warning", "processor"), ("note", "processor")]


def test_a_bundle_is_checked_to_its_hashes(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    assert next(iter(bundle_findings(bundle))).state == "ok"
    with (bundle / "tiny_plain.tflite").open("r+b") as file:
        file.write(b"xxxx")
    (bad,) = bundle_findings(bundle)
    assert bad.state == "wrong"
    assert "tiny_plain.tflite" in bad.text


def test_a_damaged_journal_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    Journal.open(path).close()
    assert about(list(storage_findings(path, Roots.under(tmp_path))))["journal"].state == "ok"
    path.write_bytes(b"no database at all" * 100)
    assert about(list(storage_findings(path, Roots.under(tmp_path))))["journal"].state == "warning"


def test_a_running_daemon_is_asked(tmp_path: Path) -> None:
    place = tmp_path / "control.sock"
    status = {"variant": "p1", "frames": 12, "camera": "streaming", "journal": "writing"}
    server = ControlServer(place, lambda request: {"status": status})
    try:
        (found,) = service_findings(place, Roots.under(tmp_path))
        assert (found.state, found.text) == ("ok", "runs p1, 12 frames, camera streaming, journal writing")
        status["camera"] = "camera lost"
        assert next(iter(service_findings(place, Roots.under(tmp_path)))).state == "warning"
    finally:
        server.close()
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    (refused,) = service_findings(tmp_path / "dead.sock", Roots.under(tmp_path))
    assert refused.state == "warning"


def test_a_wrong_configuration_is_named_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("boar = 'linux'\n")
    findings = examine(config=config, board="simulated")
    assert findings[0].state == "wrong"
    assert "did you mean 'board'" in findings[0].text
    assert {"engine", "energy", "disk"} <= {one.about for one in findings}
    assert run(["doctor", "--config", str(config), "--board", "simulated", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["state"] == "wrong"
    config.write_text("board = 'simulated'\n")
    assert run(["doctor", "--config", str(config)]) == 0
    told = capsys.readouterr().out
    assert "energy: modelled, from" in told
