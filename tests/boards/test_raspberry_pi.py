from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boards.assembly import SLOW_PERIOD_S, SensorBoard
from boards.board import Channel, Quantity
from boards.detect import board_kind, open_board
from boards.raspberry_pi import open_raspberry_pi
from boards.roots import Roots
from boards.sensor import BoardError, Method, SensorLost
from tests.boards.conftest import FakeClock
from tests.boards.firmware import RAILS, RAILS_W, SWEEP, FakeFirmware

RootsOf = Callable[[str], Roots]
MODELS = {
    "raspberry-pi-3": ("Raspberry Pi 3 Model B Plus Rev 1.3", 52.078),
    "raspberry-pi-4": ("Raspberry Pi 4 Model B Rev 1.4", 48.686),
    "raspberry-pi-zero-2": ("Raspberry Pi Zero 2 W Rev 1.0", 44.008),
}


def opened(roots: Roots, firmware: FakeFirmware, clock: FakeClock, total: str | None = None) -> SensorBoard:
    return open_raspberry_pi(roots, clock=clock, total=total, load_percent=lambda: 25.0, ioctl=firmware)


def channels(board: SensorBoard) -> dict[str, Channel]:
    return {channel.name: channel for channel in board.channels}


def values(board: SensorBoard) -> dict[str, float]:
    return {name: channel.sensor.read().value for name, channel in channels(board).items()}


def ina219(roots: Roots, **files: str) -> None:
    chip = roots.sys / "class/hwmon/hwmon7"
    chip.mkdir(parents=True)
    for name, text in {"name": "ina219", "power1_input": "4250000", "shunt_resistor": "10000", **files}.items():
        (chip / name).write_text(f"{text}\n")


@pytest.mark.parametrize("tree", MODELS)
def test_a_board_without_a_current_sensor_says_what_to_do(roots_of: RootsOf, clock: FakeClock, tree: str) -> None:
    model, celsius = MODELS[tree]
    board = opened(roots_of(tree), FakeFirmware(bits=0x8_0000), clock)
    assert values(board) == {"undervoltage": 0.0, "throttled": 0.0, "cpu-thermal": celsius, "load": 0.25}
    assert board.info.model == model
    assert board.energy_channel is None
    assert board.info.rails_included == ()
    assert board.info.details["energy"].startswith("unavailable: this board has no current sensor")
    assert "joulepath calibrate" in board.info.details["energy"]
    assert board.info.details["since the start of the board"] == "soft temperature limit"
    assert "pmic" not in board.info.details
    board.close()


def test_a_pi_5_sums_its_rails_and_says_which(roots_of: RootsOf, clock: FakeClock) -> None:
    board = opened(roots_of("raspberry-pi-5"), FakeFirmware(sweep=SWEEP), clock)
    assert values(board) == {
        "undervoltage": 0.0,
        "throttled": 0.0,
        "pmic-rails": pytest.approx(RAILS_W),
        "cpu-thermal": 56.25,
        "load": 0.25,
    }
    assert board.energy_channel == "pmic-rails"
    assert board.info.rails_included == tuple(RAILS)
    assert len(board.info.rails_included) == 12
    rails = channels(board)["pmic-rails"]
    assert (rails.quantity, rails.method, rails.period_s) == (Quantity.POWER, Method.MEASURED, 0.1)
    assert "less than the board draws" in board.info.details["energy"]
    assert "USB, HATs, fan" in board.info.details["pmic-rails"]
    assert board.info.details["input voltage"] == "5.091 V at the start"
    board.close()


def test_a_pi_5_whose_power_chip_does_not_answer(roots_of: RootsOf, clock: FakeClock) -> None:
    board = opened(roots_of("raspberry-pi-5"), FakeFirmware(), clock)
    assert board.energy_channel is None
    assert "not registered" in board.info.details["pmic"]
    with pytest.raises(BoardError, match=r"no 'pmic-rails': .*not registered"):
        opened(roots_of("raspberry-pi-4"), FakeFirmware(), clock, total="pmic-rails")


@pytest.mark.parametrize(
    ("bits", "undervoltage", "throttled"),
    [(0x1, 1, 0), (0x2, 0, 1), (0x4, 0, 1), (0x8, 0, 1), (0x5, 1, 1), (0xF0, 0, 0)],
)
def test_bits_become_flags(roots_of: RootsOf, clock: FakeClock, bits: int, undervoltage: int, throttled: int) -> None:
    found = values(opened(roots_of("raspberry-pi-4"), FakeFirmware(bits=bits), clock))
    assert (found["undervoltage"], found["throttled"]) == (undervoltage, throttled)


def test_undervoltage_is_an_event_that_is_on_the_disk_at_once(roots_of: RootsOf, clock: FakeClock) -> None:
    found = channels(opened(roots_of("raspberry-pi-4"), FakeFirmware(), clock))
    alarm = found["undervoltage"].alarm
    assert alarm is not None
    assert (alarm.level, alarm.kind) == ("critical", "undervoltage")
    other = found["throttled"].alarm
    assert other is not None
    assert (other.level, other.kind) == ("warning", "throttled")


def test_without_the_mailbox_the_kernel_tells_undervoltage(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("raspberry-pi-4")
    (roots.dev / "vcio").unlink()
    board = opened(roots, FakeFirmware(), clock)
    assert list(channels(board)) == ["undervoltage", "cpu-thermal", "load"]
    assert "only Raspberry Pi's own kernel has it" in board.info.details["mailbox"]
    flag = channels(board)["undervoltage"]
    assert flag.alarm is not None
    assert flag.sensor.read().value == 0.0
    (roots.sys / "class/hwmon/hwmon1/in0_lcrit_alarm").write_text("1\n")
    assert flag.sensor.read().value == 1.0
    (roots.sys / "class/hwmon/hwmon1/in0_lcrit_alarm").write_text("7\n")
    with pytest.raises(SensorLost, match="implausible"):
        flag.sensor.read()


def test_the_firmware_tells_the_temperature_where_no_zone_does(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("raspberry-pi-3")
    (roots.sys / "class/thermal/thermal_zone0/temp").unlink()
    (roots.sys / "class/hwmon/hwmon0/temp1_input").unlink()
    firmware = FakeFirmware(temperature_mc=63_400)
    soc = channels(opened(roots, firmware, clock))["soc"].sensor
    assert soc.read().value == 63.4
    firmware.temperature_mc = 999_000
    with pytest.raises(SensorLost, match="implausible temperature"):
        soc.read()


def test_a_hat_behind_which_the_board_lies_comes_before_the_rails(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("raspberry-pi-5")
    ina219(roots)
    board = opened(roots, FakeFirmware(sweep=SWEEP), clock)
    assert (board.energy_channel, board.info.rails_included) == ("ina219", ("ina219",))
    assert channels(board)["pmic-rails"].period_s == SLOW_PERIOD_S
    board = opened(roots, FakeFirmware(sweep=SWEEP), clock, total="pmic-rails")
    assert (board.energy_channel, len(board.info.rails_included)) == ("pmic-rails", 12)
    with pytest.raises(BoardError, match="no rail 'VDD_IN'"):
        opened(roots, FakeFirmware(sweep=SWEEP), clock, total="VDD_IN")


def test_the_board_opens_where_the_mailbox_is_no_mailbox(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("raspberry-pi-5")
    assert board_kind(roots) == "raspberry-pi"
    board = open_board("auto", roots=roots, clock=clock)  # the real ioctl, on a plain file
    assert board.info.name == "raspberry-pi"
    assert "Inappropriate ioctl" in board.info.details["mailbox"]
    board.close()


def test_an_empty_machine_is_no_reason_to_fail(tmp_path: Path, clock: FakeClock) -> None:
    board = opened(Roots.under(tmp_path), FakeFirmware(), clock)
    assert list(channels(board)) == ["load"]
    assert board.info.model == "unknown Raspberry Pi"
