from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from boards.linux import open_linux
from boards.roots import Roots
from edge.cli import run
from edge.probe import find_cameras, probe_board, short_path

TREES = Path(__file__).parents[1] / "boards" / "trees"


@pytest.fixture
def laptop(tmp_path: Path) -> Roots:
    return Roots.under(Path(shutil.copytree(TREES / "laptop", tmp_path / "laptop")))


def test_every_channel_is_tried_at_its_own_rate(laptop: Roots) -> None:
    board = open_linux(laptop, load_percent=lambda: 50.0)
    finding = probe_board(board, 0.5, roots=laptop)
    board.close()
    by_name = {one.name: one for one in finding.channels}
    assert list(by_name) == [channel.name for channel in board.channels]
    assert (finding.energy_channel, finding.energy_method) == ("rapl-package", "counter")
    assert by_name["x86_pkg_temp"].value == 61.5
    assert by_name["x86_pkg_temp"].unit == "°C"
    assert by_name["x86_pkg_temp"].path == str(laptop.sys / "class/thermal/thermal_zone1/temp")
    assert by_name["rapl-package"].wanted_hz == 50
    reached = by_name["rapl-package"].reached_hz
    assert reached is not None
    assert 1 < reached <= 60
    assert all(one.failures == 0 and one.problem is None and (one.read_us or 0) > 0 for one in finding.channels)
    json.dumps(finding.as_dict())


def test_a_sensor_that_gives_nothing_is_told_with_its_reason(laptop: Roots) -> None:
    board = open_linux(laptop, load_percent=lambda: 50.0)
    hwmon = next((laptop.sys / "class/hwmon").glob("hwmon*/power1_input"))
    hwmon.write_text("")
    finding = probe_board(board, 0.3, roots=laptop)
    board.close()
    lost = next(one for one in finding.channels if one.path == str(hwmon))
    assert lost.value is None
    assert lost.reached_hz is None
    assert lost.read_us is None
    assert lost.failures > 0
    assert lost.problem == f"{hwmon}: empty"


def test_cameras_are_listed_with_the_right_to_use_them(tmp_path: Path) -> None:
    roots = Roots.under(tmp_path)
    for number, name, index in ((10, "HD Webcam", "0"), (2, "vivid", "0"), (11, "HD Webcam", "1")):
        folder = roots.sys / f"class/video4linux/video{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        (folder / "index").write_text(index + "\n")
    roots.dev.mkdir()
    (roots.dev / "video2").touch()
    cameras = find_cameras(roots)
    assert [(c.path, c.name, c.permitted) for c in cameras] == [
        (str(roots.dev / "video2"), "vivid", True),
        (str(roots.dev / "video10"), "HD Webcam", False),  # its node is not there
    ]


def test_the_command_prints_a_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["probe", "--board", "simulated:preset=demo", "--seconds", "0.2", "--json"]) == 0
    finding = json.loads(capsys.readouterr().out)
    assert finding["board"] == "simulated"
    assert finding["energy_method"] == "modelled"
    assert run(["probe", "--board", "simulated:preset=demo", "--seconds", "0.2"]) == 0
    told = capsys.readouterr().out
    assert all(one["name"] in told for one in finding["channels"])
    assert run(["probe", "--board", "toaster"]) == 2
    assert "unknown board 'toaster'" in capsys.readouterr().err


def test_a_long_path_is_shortened_for_the_table() -> None:
    assert short_path("/sys/class/thermal/thermal_zone0/temp") == "…/thermal/thermal_zone0/temp"
    assert short_path("psutil") == "psutil"
