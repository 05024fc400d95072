from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boards.board import Board, Channel, Quantity
from boards.detect import open_board
from boards.linux import open_linux
from boards.rails import find_hwmon_rails, find_rapl
from boards.roots import Roots
from boards.sensor import BoardError, Method, SensorLost
from tests.boards.conftest import FakeClock

Tree = Callable[[str], Path]
RAPL = "class/powercap/intel-rapl:0"


def channels(board: Board) -> dict[str, Channel]:
    return {channel.name: channel for channel in board.channels}


def values(board: Board) -> dict[str, float]:
    return {name: channel.sensor.read().value for name, channel in channels(board).items()}


def board_of(root: Path, clock: FakeClock, total: str | None = None) -> Board:
    return open_linux(Roots(sys=root, proc=root / "proc"), clock=clock, load_percent=lambda: 25.0, total=total)


def test_a_laptop(tree: Tree, clock: FakeClock) -> None:
    board = board_of(tree("laptop"), clock)
    assert values(board) == {
        "rapl-package": 0.0,
        "ina219": pytest.approx(7.34),
        "x86_pkg_temp": 61.5,
        "acpitz": 45.0,
        "throttled": 0.0,
        "mains": 0.0,
        "battery": pytest.approx(41.1 / 60),
        "battery_energy_j": pytest.approx(41.1 * 3600),
        "battery-discharge": pytest.approx(8.25),
        "load": 0.25,
    }
    assert list(channels(board))[2] == "x86_pkg_temp"  # the first temperature is the processor's
    assert board.energy_channel == "rapl-package"
    assert channels(board)["rapl-package"].method is Method.COUNTER
    assert channels(board)["rapl-package"].quantity is Quantity.ENERGY
    assert board.info.model == "ThinkBook 14"
    assert board.info.rails_included == ("package-0",)
    assert "iwlwifi_1" in board.info.details["thermal zones ignored"]
    board.close()


def test_a_raspberry_pi_4_has_no_energy_and_says_so(tree: Tree, clock: FakeClock) -> None:
    board = board_of(tree("raspberry-pi-4"), clock)
    assert values(board) == {"cpu-thermal": 48.686, "load": 0.25}
    assert board.energy_channel is None
    assert board.info.details["energy"].startswith("unavailable")
    assert board.info.model == "Raspberry Pi 4 Model B Rev 1.4"


def test_an_ina3221_by_its_labels(tree: Tree, clock: FakeClock) -> None:
    board = board_of(tree("ina3221"), clock)
    assert values(board) == {
        "VDD_IN": pytest.approx(8.0),
        "VDD_CPU_GPU_CV": pytest.approx(2.0),
        "load": 0.25,
    }
    assert board.energy_channel == "VDD_IN"
    assert channels(board)["VDD_IN"].period_s < channels(board)["VDD_CPU_GPU_CV"].period_s
    assert channels(board)["VDD_IN"].resolution == pytest.approx(0.04)  # 8 mA at 5 V


def test_where_energy_comes_from_in_order(tree: Tree, clock: FakeClock) -> None:
    root = tree("laptop")
    (root / RAPL / "max_energy_range_uj").unlink()
    board = board_of(root, clock)
    assert (board.energy_channel, board.info.rails_included) == ("ina219", ("ina219",))
    assert channels(board)["ina219"].resolution == pytest.approx(0.02)  # 20 current steps of 1 mA, times 1 V
    (root / "class/hwmon/hwmon3/power1_input").unlink()
    (root / "class/hwmon/hwmon3/curr1_input").unlink()
    assert board_of(root, clock).energy_channel == "battery-discharge"


def test_a_named_rail_is_taken_before_all_others(tree: Tree, clock: FakeClock) -> None:
    root = tree("laptop")
    assert board_of(root, clock, total="ina219").energy_channel == "ina219"
    with pytest.raises(BoardError, match=r"no rail 'VDD_IN'.*found: ina219"):
        board_of(root, clock, total="VDD_IN")


def test_two_monitors_without_labels_are_no_total(tree: Tree) -> None:
    root = tree("laptop")
    other = root / "class/hwmon/hwmon4"
    other.mkdir()
    (other / "name").write_text("ina219\n")
    (other / "power1_input").write_text("1000000\n")
    rails = find_hwmon_rails(root)
    assert [(rail.label, rail.total) for rail in rails] == [("ina219@hwmon3", False), ("ina219@hwmon4", False)]


def test_rapl_without_permission_says_what_to_do(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree("laptop")
    real_open = __import__("os").open

    def refusing(path: object, *args: int) -> int:
        if str(path).endswith("energy_uj"):  # root may read what it likes, and tests may run as root
            raise PermissionError(13, "Permission denied", str(path))
        return int(real_open(path, *args))

    monkeypatch.setattr("boards.sysfs.os.open", refusing)
    domains, refused = find_rapl(root)
    assert domains == []
    assert refused is not None
    assert "permission denied" in refused
    assert "udev rule" in refused


def test_rapl_follows_wrap_around(tree: Tree, clock: FakeClock) -> None:
    root = tree("laptop")
    sensor = channels(board_of(root, clock))["rapl-package"].sensor
    assert sensor.read().value == 0.0
    clock.forward(0.02)
    (root / RAPL / "energy_uj").write_text("262143200000\n")
    assert sensor.read().value == pytest.approx(0.2)
    clock.forward(0.02)
    (root / RAPL / "energy_uj").write_text("100000\n")
    assert sensor.read().value == pytest.approx(0.2 + 0.128850 + 0.1)


def test_a_reset_counter_is_not_taken_for_a_wrap(tree: Tree, clock: FakeClock) -> None:
    root = tree("laptop")
    counter = root / RAPL / "energy_uj"
    counter.write_text("5000000000\n")
    sensor = channels(board_of(root, clock))["rapl-package"].sensor
    assert sensor.read().value == 0.0
    clock.forward(0.02)
    counter.write_text("0\n")
    with pytest.raises(SensorLost, match="jumped from 5000000000 to 0 uJ"):
        sensor.read()
    clock.forward(0.02)
    counter.write_text("500000\n")
    assert sensor.read().value == pytest.approx(0.5)


def test_energy_of_the_battery_is_known_only_while_it_carries_the_board(tree: Tree, clock: FakeClock) -> None:
    root = tree("laptop")
    pack = root / "class/power_supply/BAT0"
    draw = channels(board_of(root, clock))["battery-discharge"].sensor
    assert draw.read().value == pytest.approx(8.25)
    (pack / "power_now").write_text("-8250000\n")  # by the ABI; drivers differ
    assert draw.read().value == pytest.approx(8.25)
    for status, why in (
        ("Charging", "status Charging"),
        ("Unknown", "status Unknown"),
        ("Full", "no pack is discharging"),
    ):
        (pack / "status").write_text(f"{status}\n")
        with pytest.raises(SensorLost, match=why):
            draw.read()
    (pack / "status").write_text("Discharging\n")
    (pack / "power_now").write_text("0\n")
    with pytest.raises(SensorLost, match="implausible power"):
        draw.read()


def test_power_from_current_and_voltage(tree: Tree, clock: FakeClock) -> None:
    root = tree("laptop")
    for number, status in ((0, "Discharging"), (1, "Discharging")):
        pack = root / f"class/power_supply/BAT{number}"
        (pack / "power_now").unlink()
        (pack / "current_now").write_text("-500000\n")
        (pack / "status").write_text(f"{status}\n")
    draw = channels(board_of(root, clock))["battery-discharge"].sensor
    assert draw.read().value == pytest.approx(0.5 * 11.4 + 0.5 * 12.0)


def test_charge_falls_back_to_percentages(tree: Tree, clock: FakeClock) -> None:
    root = tree("laptop")
    (root / "class/power_supply/BAT1/energy_full").unlink()
    board = board_of(root, clock)
    assert channels(board)["battery"].sensor.read().value == pytest.approx((0.64 + 0.90) / 2)
    assert "capacity" in board.info.details["battery"]


def test_a_charge_gauge_gives_an_estimate_of_energy(tree: Tree, clock: FakeClock) -> None:
    root = tree("raspberry-pi-4")
    pack = root / "class/power_supply/battery"
    pack.mkdir(parents=True)
    for name, text in {
        "type": "Battery",
        "status": "Discharging",
        "charge_now": "1500000",
        "charge_full": "3000000",
        "voltage_min_design": "3700000",
    }.items():
        (pack / name).write_text(f"{text}\n")
    board = board_of(root, clock)
    assert channels(board)["battery"].sensor.read().value == 0.5
    assert channels(board)["battery_energy_j"].sensor.read().value == pytest.approx(1.5 * 3.7 * 3600)
    assert channels(board)["battery_energy_j"].method is Method.MODELLED


def test_throttling_is_told_from_a_fan(tree: Tree, clock: FakeClock) -> None:
    root = tree("laptop")
    flag = channels(board_of(root, clock))["throttled"].sensor
    assert flag.read().value == 0.0
    (root / "class/thermal/cooling_device0/cur_state").write_text("2\n")
    assert flag.read().value == 1.0


def test_a_constant_pmic_zone_is_ignored(tree: Tree, clock: FakeClock) -> None:
    root = tree("raspberry-pi-4")
    zone = root / "class/thermal/thermal_zone1"
    zone.mkdir()
    (zone / "type").write_text("PMIC-Die\n")
    (zone / "temp").write_text("100000\n")
    board = board_of(root, clock)
    assert "PMIC-Die" not in channels(board)
    assert "place holder" in board.info.details["thermal zones ignored"]


def test_a_sensor_that_vanishes_is_lost_and_comes_back(tree: Tree, clock: FakeClock) -> None:
    root = tree("ina3221")
    sensor = channels(board_of(root, clock))["VDD_IN"].sensor
    current = root / "class/hwmon/hwmon2/curr1_input"
    assert sensor.read().value == pytest.approx(8.0)
    current.unlink()
    with pytest.raises(SensorLost, match="vanished"):
        sensor.read()
    current.write_text("1000\n")
    assert sensor.read().value == pytest.approx(5.0)


def test_an_empty_machine(tmp_path: Path, clock: FakeClock) -> None:
    board = open_board("linux", roots=Roots.under(tmp_path), clock=clock)
    assert [channel.name for channel in board.channels] == ["load"]
    assert 0.0 <= board.channels[0].sensor.read().value <= 1.0
    assert board.info.model == "unknown Linux machine"
    assert board.energy_channel is None
