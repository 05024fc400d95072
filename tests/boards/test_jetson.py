from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from boards.board import Board, Channel, Quantity
from boards.detect import open_board
from boards.ina3221_iio import find_iio_rails
from boards.jetson import averaging_lag_s, is_jetson, open_jetson
from boards.l4t import jetpack_of, l4t_release, power_mode
from boards.overcurrent import CountFlag
from boards.rails import Rail, find_hwmon_rails
from boards.roots import Roots
from boards.sensor import BoardError, Method, Reading, SensorLost
from boards.summed import SummedRails, fitting_period_s
from boards.sysfs import SysfsFile
from tests.boards.conftest import TREES, FakeClock

RootsOf = Callable[[str], Roots]


def channels(board: Board) -> dict[str, Channel]:
    return {channel.name: channel for channel in board.channels}


def values(board: Board) -> dict[str, float]:
    return {name: channel.sensor.read().value for name, channel in channels(board).items()}


def opened(roots: Roots, clock: FakeClock, total: str | None = None) -> Board:
    return open_jetson(roots, clock=clock, total=total, jtop=False, load_percent=lambda: 25.0)


ORIN_FLAGS = {
    "undervoltage": 0.0,
    "over-current-average": 0.0,
    "over-current-peak": 0.0,
    "rail-critical": 0.0,
    "rail-warning": 0.0,
}
BOARDS = {
    "jetson-orin-nano-jp6": {
        "VDD_IN": 5.016 * 1.864,
        "VDD_CPU_GPU_CV": 5.016 * 0.448,
        "VDD_SOC": 5.016 * 0.480,
        "tj-thermal": 51.656,
        "cpu-thermal": 50.718,
        "soc0-thermal": 50.187,
        "soc1-thermal": 49.812,
        "soc2-thermal": 50.906,
        "gpu-thermal": 51.656,
        "throttled": 0.0,  # hot-surface-alert is up, which slows nothing down
        **ORIN_FLAGS,
        "gpu_load": 0.314,
        "fan": 120 / 255,
        "load": 0.25,
    },
    "jetson-orin-nx-jp6": {
        "VDD_IN": 4.984 * 1.256,
        "VDD_CPU_GPU_CV": 4.984 * 0.312,
        "VDD_SOC": 4.984 * 0.296,
        "tj-thermal": 48.531,
        "cpu-thermal": 48.531,
        "soc0-thermal": 46.906,
        "soc1-thermal": 47.093,
        "soc2-thermal": 46.25,
        "gpu-thermal": 47.312,
        "throttled": 1.0,
        **ORIN_FLAGS,
        "gpu_load": 0.0,
        "load": 0.25,
    },
    "jetson-agx-orin-jp6": {
        "rails-total": 12.008 * 0.280 + 12.008 * 0.040 + 4.968 * 0.980,
        "VDD_GPU_SOC": 12.008 * 0.280,
        "VDD_CPU_CV": 12.008 * 0.040,
        "VIN_SYS_5V0": 4.968 * 0.980,
        "VDDQ_VDD2_1V8AO": 4.968 * 0.080,
        "tj-thermal": 47.5,
        "cpu-thermal": 47.5,
        "soc0-thermal": 46.0,
        "soc1-thermal": 44.0,
        "soc2-thermal": 46.5,
        "gpu-thermal": 42.0,
        "tboard-thermal": 37.5,
        "tdiode-thermal": 39.75,
        "throttled": 0.0,
        **ORIN_FLAGS,
        "gpu_load": 0.127,
        "load": 0.25,
    },
    "jetson-xavier-nx-jp5": {
        "VDD_IN": 4.960 * 0.848,
        "VDD_CPU_GPU_CV": 4.960 * 0.136,
        "VDD_SOC": 4.960 * 0.208,
        "CPU-therm": 41.5,
        "AUX-therm": 40.5,
        "AO-therm": 41.0,
        "throttled": 0.0,
        "over-current": 0.0,
        "rail-critical": 0.0,
        "rail-warning": 0.0,
        "gpu_load": 0.058,
        "load": 0.25,
    },
    "jetson-agx-xavier-jp4": {
        "rails-total": 1.221 + 0.763 + 1.984 + 0.0 + 0.457 + 3.070,
        "GPU": 1.221,
        "CPU": 0.763,
        "SOC": 1.984,
        "CV": 0.0,
        "VDDRQ": 0.457,
        "SYS5V": 3.070,
        "CPU-therm": 36.5,
        "GPU-therm": 34.5,
        "AUX-therm": 34.5,
        "AO-therm": 35.0,
        "Tboard_tegra": 33.0,
        "Tdiode_tegra": 34.75,
        "throttled": 1.0,
        "over-current": 0.0,
        "gpu_load": 0.0,
        "load": 0.25,
    },
    "jetson-tx2-jp4": {
        "VDD_IN": 3.291,
        "VDD_SYS_GPU": 0.153,
        "VDD_SYS_SOC": 0.459,
        "VDD_4V0_WIFI": 0.038,
        "VDD_SYS_CPU": 0.229,
        "VDD_SYS_DDR": 1.188,
        "VDD_MUX": 1.913,
        "VDD_5V0_IO_SYS": 1.352,
        "VDD_3V3_SYS": 0.079,
        "BCPU-therm": 38.5,
        "MCPU-therm": 38.5,
        "GPU-therm": 36.5,
        "PLL-therm": 38.5,
        "Tboard_tegra": 35.0,
        "Tdiode_tegra": 35.75,
        "throttled": 0.0,
        "gpu_load": 0.0,
        "load": 0.25,
    },
    "jetson-nano-jp4": {
        "POM_5V_IN": 2.106,
        "POM_5V_GPU": 0.040,
        "POM_5V_CPU": 0.408,
        "CPU-therm": 33.5,
        "GPU-therm": 31.5,
        "AO-therm": 41.5,
        "PLL-therm": 31.5,
        "throttled": 0.0,
        "gpu_load": 0.0,
        "load": 0.25,
    },
    "jetson-thor-jp7": {
        "VIN": 19.78,
        "VDD_GPU": 19.704 * 0.100,
        "VDD_CPU_SOC_MSS": 19.704 * 0.300,
        "VIN_SYS_5V0": 5.088 * 1.100,
        "tj-thermal": 38.875,
        "cpu-thermal": 37.343,
        "soc012-thermal": 37.468,
        "soc345-thermal": 37.406,
        "throttled": 0.0,
        **ORIN_FLAGS,
        "load": 0.25,
    },
}


@pytest.mark.parametrize("name", BOARDS)
def test_every_value_of_a_module(name: str, roots_of: RootsOf, clock: FakeClock) -> None:
    board = opened(roots_of(name), clock)
    assert values(board) == {channel: pytest.approx(value) for channel, value in BOARDS[name].items()}
    assert board.info.name == "jetson"
    before = len(os.listdir("/proc/self/fd"))
    values(board)
    assert len(os.listdir("/proc/self/fd")) == before  # the descriptors are kept
    board.close()
    assert len(os.listdir("/proc/self/fd")) < before


@pytest.mark.parametrize(
    ("name", "model", "module", "release", "jetpack", "mode"),
    [
        (
            "jetson-orin-nano-jp6",
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            "p3767-0005",
            "36.4.7",
            "6.2.1",
            "MAXN_SUPER",
        ),
        (
            "jetson-orin-nx-jp6",
            "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
            "p3767-0000",
            "36.4.3",
            "6.2",
            "25W",
        ),
        ("jetson-agx-orin-jp6", "NVIDIA Jetson AGX Orin Developer Kit", "p3701-0005", "36.3.0", "6.0", "MODE_30W"),
        (
            "jetson-xavier-nx-jp5",
            "NVIDIA Jetson Xavier NX Developer Kit",
            "p3668-0001",
            "35.4.1",
            "5.1.2",
            "MODE_20W_6CORE",
        ),
        ("jetson-agx-xavier-jp4", "Jetson-AGX", "p2888-0001", "32.7.1", "4.6.1", "MAXN"),
        ("jetson-tx2-jp4", "quill", "p3310-1000", "32.7.6", "4.6.6", None),
        ("jetson-nano-jp4", "NVIDIA Jetson Nano Developer Kit", "p3448-0000", "32.7.1", "4.6.1", "MAXN"),
        ("jetson-thor-jp7", "NVIDIA Jetson AGX Thor Developer Kit", "p3834-0008", "38.2.2", "7.0", "120W"),
    ],
)
def test_what_a_module_says_of_itself(
    name: str,
    model: str,
    module: str,
    release: str,
    jetpack: str,
    mode: str | None,
    roots_of: RootsOf,
    clock: FakeClock,
) -> None:
    roots = roots_of(name)
    assert is_jetson(roots)
    info = opened(roots, clock).info
    assert (info.model, info.details["module"]) == (model, module)
    assert (info.details["l4t"], info.details["jetpack"]) == (release, jetpack)
    assert info.details.get("power mode") == (None if mode is None else f"{mode}, as nvpmodel last set it")


@pytest.mark.parametrize(
    ("name", "energy", "included"),
    [
        ("jetson-orin-nano-jp6", "VDD_IN", ("VDD_IN",)),
        ("jetson-orin-nx-jp6", "VDD_IN", ("VDD_IN",)),
        ("jetson-agx-orin-jp6", "rails-total", ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
        ("jetson-xavier-nx-jp5", "VDD_IN", ("VDD_IN",)),
        ("jetson-agx-xavier-jp4", "rails-total", ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")),
        ("jetson-tx2-jp4", "VDD_IN", ("VDD_IN",)),
        ("jetson-nano-jp4", "POM_5V_IN", ("POM_5V_IN",)),
        ("jetson-thor-jp7", "VIN", ("VIN",)),
    ],
)
def test_where_energy_is_taken_from(
    name: str, energy: str, included: tuple[str, ...], roots_of: RootsOf, clock: FakeClock
) -> None:
    board = opened(roots_of(name), clock)
    assert (board.energy_channel, board.info.rails_included) == (energy, included)
    periods = {channel.name: channel.period_s for channel in board.channels if channel.quantity is Quantity.POWER}
    assert periods.pop(energy) == 0.02
    assert set(periods.values()) == {0.2}
    assert all(channel.method is Method.MEASURED for channel in board.channels)


def test_steps_come_from_the_shunts_and_errors_from_the_data_sheet(roots_of: RootsOf, clock: FakeClock) -> None:
    nano = channels(opened(roots_of("jetson-orin-nano-jp6"), clock))
    assert nano["VDD_IN"].resolution == pytest.approx(40e-6 / 5e-3 * 5.016)
    assert nano["VDD_IN"].relative_error == pytest.approx(0.0025 * 2**0.5)
    xavier = channels(opened(roots_of("jetson-agx-xavier-jp4"), clock))
    assert xavier["GPU"].resolution == pytest.approx(40e-6 / 5e-3 * 19.08)  # the shunt is in the device tree
    assert xavier["GPU"].relative_error == pytest.approx((2 * 0.0025**2 + 0.01**2) ** 0.5)
    assert xavier["rails-total"].resolution == pytest.approx(0.008 * (5 * 19.08**2 + 4.984**2) ** 0.5)
    thor = channels(opened(roots_of("jetson-thor-jp7"), clock))
    assert (thor["VIN"].resolution, thor["VIN"].relative_error) == (0.0, 0.0)  # an INA238: unknown


def test_without_the_device_tree_a_step_is_unknown(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-nano-jp4")
    (roots.sys / "bus/i2c/drivers/ina3221x/6-0040/of_node/channel@0/ti,shunt-resistor-mohm").write_bytes(b"\0\0")
    assert channels(opened(roots, clock))["POM_5V_IN"].resolution == 0.0


def test_the_carrier_board_of_a_tx2_can_be_added(roots_of: RootsOf, clock: FakeClock) -> None:
    board = open_board("jetson:total=VDD_IN+VDD_MUX,jtop=no", roots=roots_of("jetson-tx2-jp4"), clock=clock)
    assert board.info.rails_included == ("VDD_IN", "VDD_MUX")
    assert channels(board)["rails-total"].sensor.read().value == pytest.approx(3.291 + 1.913)
    with pytest.raises(BoardError, match=r"no rail 'VDD_MUX'.*found: POM_5V_IN, POM_5V_GPU, POM_5V_CPU"):
        open_board("jetson:total=POM_5V_IN+VDD_MUX", roots=roots_of("jetson-nano-jp4"), clock=clock)


def test_a_rail_of_a_sum_that_is_missing_leaves_no_total(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-agx-orin-jp6")
    (roots.sys / "class/hwmon/hwmon3/in2_enable").write_text("0\n")
    board = opened(roots, clock)
    assert board.energy_channel is None
    assert board.info.details["energy"].startswith("unavailable: no rail that feeds the whole module")
    passed_over = board.info.details["rails passed over"]
    assert "VDD_CPU_CV" in passed_over
    assert "hwmon4/in3_input" in passed_over  # the channel without a label, off by the device tree
    assert not {"NC", "VDD_CPU_CV", "ina3221-3", "sum of shunt voltages"} & channels(board).keys()


def test_a_rail_that_answers_nodata_is_passed_over(
    roots_of: RootsOf, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = roots_of("jetson-xavier-nx-jp5")
    (roots.sys / "class/hwmon/hwmon6/in3_enable").unlink()
    failing = Failing(monkeypatch, errno.ENODATA, "hwmon6/in3_input")
    board = opened(roots, clock)
    assert "VDD_SOC" not in channels(board)
    assert "VDD_SOC" in board.info.details["rails passed over"]
    failing.stop()
    assert "VDD_SOC" in channels(opened(roots, clock))


def test_a_rail_that_fails_otherwise_is_kept_and_comes_back(
    roots_of: RootsOf, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, errno.EIO, "curr1_input")
    board = opened(roots_of("jetson-xavier-nx-jp5"), clock)
    assert board.energy_channel == "VDD_IN"
    with pytest.raises(SensorLost, match=r"curr1_input: Input/output error"):
        channels(board)["VDD_IN"].sensor.read()
    failing.stop()
    assert channels(board)["VDD_IN"].sensor.read().value == pytest.approx(4.960 * 0.848)


class Failing:
    """Reads of files whose path ends so fail with an error number, as a driver's would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, *endings: str) -> None:
        self._on = True
        real = os.pread

        def pread(fd: int, size: int, offset: int) -> bytes:
            if self._on and os.readlink(f"/proc/self/fd/{fd}").endswith(endings):
                raise OSError(number, os.strerror(number))
            return real(fd, size, offset)

        monkeypatch.setattr("boards.sysfs.os.pread", pread)

    def stop(self) -> None:
        self._on = False


def test_a_lost_rail_loses_the_sum_and_its_other_rails_grow_old(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-agx-orin-jp6")
    board = channels(opened(roots, clock))
    total, gpu = board["rails-total"].sensor, board["VDD_GPU_SOC"].sensor
    assert total.read().value == pytest.approx(8.7112)
    current = roots.sys / "class/hwmon/hwmon3/curr2_input"
    current.unlink()
    with pytest.raises(SensorLost, match="curr2_input: vanished"):
        total.read()
    assert gpu.read().value == pytest.approx(3.36224)  # still of the last whole round
    clock.forward(1.1)
    with pytest.raises(SensorLost, match="VDD_GPU_SOC: the sum that it belongs to"):
        gpu.read()
    current.write_text("60\n")
    assert total.read().value == pytest.approx(8.7112 + 12.008 * 0.020)


def test_an_idle_rail_may_read_a_step_below_zero_but_no_more(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-agx-orin-jp6")
    board = channels(opened(roots, clock))
    current = roots.sys / "class/hwmon/hwmon3/curr2_input"
    current.write_text("-20\n")
    assert board["rails-total"].sensor.read().value == pytest.approx(8.7112 - 12.008 * 0.060)
    assert board["VDD_CPU_CV"].sensor.read().value == pytest.approx(-12.008 * 0.020)
    current.write_text("-60\n")
    with pytest.raises(SensorLost, match="implausible power 12008 mV x -60 mA"):
        board["rails-total"].sensor.read()


class Steady:
    def __init__(self, watts: float, clock: FakeClock, takes_s: float = 0.0) -> None:
        self.watts, self._clock, self._takes_s = watts, clock, takes_s

    def read(self) -> Reading:
        self._clock.forward(self._takes_s)
        return Reading(self.watts, self._clock())


def rail(label: str, sensor: Steady, resolution_w: float = 0.04) -> Rail:
    return Rail(label, sensor, Path(f"/{label}"), "ina3221", False, resolution_w)


def test_a_sum_is_dated_at_the_middle_of_its_round(clock: FakeClock) -> None:
    rails = SummedRails([rail(label, Steady(1.5, clock, 0.013)) for label in "ABC"], clock)
    began_ns = clock()
    assert rails.read() == Reading(4.5, began_ns + 26_000_000)
    assert rails.part("A").read() == Reading(1.5, began_ns + 13_000_000)
    assert rails.resolution_w == pytest.approx(0.04 * 3**0.5)
    assert SummedRails([rail("A", Steady(1.0, clock)), rail("B", Steady(1.0, clock), 0.0)], clock).resolution_w == 0.0


def test_a_sum_below_zero_is_no_power(clock: FakeClock) -> None:
    rails = SummedRails([rail("A", Steady(-0.2, clock)), rail("B", Steady(0.1, clock))], clock)
    with pytest.raises(SensorLost, match=r"A \+ B: implausible sum -0\.100 W"):
        rails.read()


@pytest.mark.parametrize(
    ("takes_s", "period_s"), [(0.0, 0.02), (0.0033, 0.02), (0.013, 0.02), (0.020, 0.03), (0.040, 0.06), (0.079, 0.12)]
)
def test_a_period_fits_what_the_chip_needs(takes_s: float, period_s: float, clock: FakeClock) -> None:
    assert fitting_period_s(Steady(1.0, clock, takes_s), clock, 0.02) == pytest.approx(period_s)


def test_slow_rails_are_read_less_often_and_it_is_said(roots_of: RootsOf) -> None:
    class Waiting(FakeClock):
        """Each look at the clock costs 3.3 ms: a rail takes about what it does on a driver that waits."""

        def __call__(self) -> int:
            self.forward(0.0033)
            return self.now_ns

    board = opened(roots_of("jetson-agx-orin-jp6"), Waiting())
    period_s = channels(board)["rails-total"].period_s
    assert 0.06 <= period_s <= 0.1
    assert f"the 3 rails of the total are read every {period_s * 1e3:.0f} ms" in board.info.details["sampling"]
    assert channels(board)["VDD_GPU_SOC"].period_s == 0.2


def test_hwmon_numbers_may_move(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-orin-nano-jp6")
    hwmon = roots.sys / "class/hwmon"
    for old, new in (("hwmon3", "hwmon7"), ("hwmon1", "hwmon3"), ("hwmon7", "hwmon1")):
        (hwmon / old).rename(hwmon / new)
    assert values(opened(roots, clock)) == {
        channel: pytest.approx(value) for channel, value in BOARDS["jetson-orin-nano-jp6"].items()
    }


def test_a_seconds_long_average_is_told(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-orin-nano-jp6")
    told = opened(roots, clock).info.details["power averaging"]
    assert "averages 512 samples" in told
    assert "takes 6.7 s" in told  # 512 rounds of 13 ms
    (roots.sys / "class/hwmon/hwmon1/samples").write_text("1\n")
    assert "power averaging" not in opened(roots, clock).info.details
    assert averaging_lag_s(64, 7) == pytest.approx(0.448)
    assert averaging_lag_s(64, 422) == pytest.approx(0.422)  # a driver that counts the samples in


def test_an_alarm_rises_with_its_count_and_falls_after_a_while(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-orin-nx-jp6")
    board = opened(roots, clock)
    assert board.info.details["over-current events before"] == "OC1 3, OC2 0, OC3 12 (since boot)"
    for name, count, hold_s, kind in (
        ("undervoltage", "oc1_event_cnt", 5.0, "undervoltage"),
        ("over-current-average", "oc2_event_cnt", 60.0, "over_current"),
        ("over-current-peak", "oc3_event_cnt", 60.0, "over_current"),
    ):
        flag = channels(board)[name]
        assert flag.alarm is not None
        assert flag.alarm.kind == kind
        assert flag.sensor.read().value == 0.0  # what was counted before is no news
        path = roots.sys / "class/hwmon/hwmon2" / count
        path.write_text(f"{int(path.read_text()) + 1}\n")
        assert flag.sensor.read().value == 1.0
        clock.forward(hold_s - 0.1)
        assert flag.sensor.read().value == 1.0
        clock.forward(0.2)
        assert flag.sensor.read().value == 0.0


def test_events_that_never_end_are_one_alarm(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "oc3_event_cnt"
    path.write_text("27390\n")
    flag = CountFlag([SysfsFile(path, clock)], 60.0, clock)
    flag.read()
    for count in range(27391, 27500, 8):
        path.write_text(f"{count}\n")
        clock.forward(1.0)
        assert flag.read().value == 1.0


def test_a_count_that_starts_anew_is_no_event(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "oc1_event_cnt"
    path.write_text("40\n")
    flag = CountFlag([SysfsFile(path, clock)], 5.0, clock)
    for count, raised in ((40, 0.0), (0, 0.0), (1, 1.0)):
        path.write_text(f"{count}\n")
        assert flag.read().value == raised
    path.write_text("-1\n")
    with pytest.raises(SensorLost, match="negative count"):
        flag.read()


def test_xaviers_events_raise_one_flag(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-xavier-nx-jp5")
    flag = channels(opened(roots, clock))["over-current"].sensor
    assert flag.read().value == 0.0
    (roots.sys / "class/hwmon/hwmon5/oc4_irq_cnt").write_text("1\n")
    assert flag.read().value == 1.0


def test_limits_of_the_power_monitors(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-agx-orin-jp6")
    board = channels(opened(roots, clock))
    (roots.sys / "class/hwmon/hwmon4/curr2_crit_alarm").write_text("1\n")
    (roots.sys / "class/hwmon/hwmon3/curr4_crit_alarm").write_text("1\n")  # a sum over unlike rails
    assert board["rail-critical"].sensor.read().value == 1.0
    assert board["rail-warning"].sensor.read().value == 0.0
    (roots.sys / "class/hwmon/hwmon3/curr1_max_alarm").write_text("1\n")
    assert board["rail-warning"].sensor.read().value == 1.0


def test_the_firmwares_throttling_counts_and_a_warm_case_does_not(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-agx-orin-jp6")
    throttled = channels(opened(roots, clock))["throttled"].sensor
    devices = {path.read_text().strip(): path.parent / "cur_state" for path in roots.sys.glob("class/thermal/*/type")}
    for name in ("pwm-fan", "hot-surface-alert"):
        devices[name].write_text("1\n")
        assert throttled.read().value == 0.0
    for name in ("gpu-throttle-alert", "soc1-throttle-alert", "cpufreq-cpu4", "devfreq-17000000.gpu"):
        devices[name].write_text("1\n")
        assert throttled.read().value == 1.0
        devices[name].write_text("0\n")


def test_zones_passed_over_are_named_with_the_reason(roots_of: RootsOf, clock: FakeClock) -> None:
    ignored = opened(roots_of("jetson-xavier-nx-jp5"), clock).info.details["thermal zones ignored"].split("; ")
    assert ignored == [
        "GPU-therm: switched off (-256 °C)",
        "PMIC-Die: reads a constant 100 °C, which is a place holder",
        "thermal-fan-est: a mean for the fan's control, no sensor",
    ]


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EINVAL])
def test_a_zone_without_power_is_passed_over(
    number: int, roots_of: RootsOf, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, number, "thermal_zone1/temp")
    board = opened(roots_of("jetson-orin-nano-jp6"), clock)
    assert "gpu-thermal" not in channels(board)
    assert f"thermal_zone1/temp: {os.strerror(number)}" in board.info.details["thermal zones ignored"]


def test_gpu_load_of_older_kernels(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-nano-jp4")
    (roots.sys / "class/devfreq/57000000.gpu/device/load").unlink()
    (roots.sys / "devices/gpu.0/load").write_text("999\n")
    load = channels(opened(roots, clock))["gpu_load"]
    assert load.sensor.read().value == pytest.approx(0.999)
    assert load.path.endswith("devices/gpu.0/load")
    (roots.sys / "devices/gpu.0/load").write_text("1001\n")
    with pytest.raises(SensorLost, match="implausible value 1001"):
        load.sensor.read()


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64", "36.4.3"),
        ("# R32 (release), REVISION: 5.0, GCID: 25531747, BOARD: t210ref", "32.5.0"),
        ("# R24 (release), REVISION: 2, GCID: 1", "24.2"),
        ("# R36 (release), REVISION: x", None),
        ("R36", None),
        ("", None),
    ],
)
def test_the_release_file(line: str, release: str | None, roots_of: RootsOf) -> None:
    roots = roots_of("jetson-nano-jp4")
    (roots.etc / "nv_tegra_release").write_text(f"{line}\n# KERNEL_VARIANT: oot\n")
    assert l4t_release(roots) == release


@pytest.mark.parametrize(
    ("release", "jetpack"),
    [("36.4.0", "6.1"), ("36.3.0", "6.0"), ("35.6.0", "5.1.4"), ("36.9.9", "6.x"), ("39.7", "7.x"), ("99.1", None)],
)
def test_an_unknown_release_is_told_by_its_generation(release: str, jetpack: str | None) -> None:
    assert jetpack_of(release) == jetpack


def test_the_power_mode(roots_of: RootsOf) -> None:
    roots = roots_of("jetson-nano-jp4")
    assert power_mode(roots) == "MAXN"
    (roots.etc / "nvpmodel.conf").unlink()
    assert power_mode(roots) == "mode 0"
    (roots.etc.parent / "var/lib/nvpmodel/status").write_text("fmode:quiet\n")
    assert power_mode(roots) is None


def test_a_jetson_of_which_nothing_can_be_read(tmp_path: Path, clock: FakeClock) -> None:
    roots = Roots.under(tmp_path)
    assert not is_jetson(roots)
    roots.etc.mkdir()
    (roots.etc / "nv_tegra_release").write_bytes(b"\xff\0garbage")
    assert is_jetson(roots)
    board = open_board("auto", roots=roots, clock=clock)
    assert (board.info.name, board.info.model, list(channels(board))) == ("jetson", "unknown Jetson", ["load"])
    assert board.info.details["energy"].startswith("unavailable")
    assert "jetpack" not in board.info.details


# -- fuzzed kernels ---------------------------------------------------------------------------------------------------

_CONTENT = st.one_of(
    st.none(),  # the file vanishes
    st.binary(max_size=40),
    st.integers(-(10**20), 10**20).map(lambda value: str(value).encode()),
    st.integers(-3000, 30000).map(lambda value: f"{value}\n".encode()),
    st.sampled_from([b"", b"\0", b"-1", b"0", b"nan", b"inf", b"9" * 5000, b"\xff\xfe", b"12 ma", b"0x10", b"VDD_IN"]),
)
_FUZZ = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
_FOLDER = "folder"  # reading it fails with EISDIR, as a driver's read fails with EIO


def scribble(path: Path, content: bytes | str | None) -> None:
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    if content == _FOLDER:
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)


def believable(board: Board) -> Iterator[float]:
    for channel in board.channels:
        try:
            value = channel.sensor.read().value
        except SensorLost:
            continue
        least, most = {
            Quantity.POWER: (-1e3, 3e4),
            Quantity.TEMPERATURE: (-40.0, 150.0),
            Quantity.RATIO: (0.0, 1.0),
            Quantity.FLAG: (0.0, 1.0),
        }[channel.quantity]
        assert least <= value <= most, channel.name
        yield value


FUZZED = {
    "jetson-nano-jp4": "bus/i2c/drivers/ina3221x/6-0040/iio:device0",
    "jetson-orin-nano-jp6": "class/hwmon/hwmon1",
    "jetson-xavier-nx-jp5": "class/hwmon/hwmon5",
}
_ATTRIBUTES = st.dictionaries(st.integers(0, 60), _CONTENT | st.just(_FOLDER), min_size=1, max_size=12)


@pytest.mark.parametrize("name", FUZZED)
@_FUZZ
@given(before=_ATTRIBUTES, after=_ATTRIBUTES)
@example(before={0: None}, after={0: b"5"})
def test_a_fuzzed_chip_gives_believable_values_or_none(
    name: str,
    before: dict[int, bytes | str | None],
    after: dict[int, bytes | str | None],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    roots = Roots.under(tmp_path_factory.mktemp("fuzz"))
    chip = Path(shutil.copytree(TREES / name / "sys" / FUZZED[name], roots.sys / FUZZED[name]))
    files = sorted(chip.iterdir())
    for index, content in before.items():
        scribble(files[index % len(files)], content)
    clock = FakeClock()
    board = opened(roots, clock)
    list(believable(board))
    for index, content in after.items():
        scribble(files[index % len(files)], content)
    clock.forward(1.0)
    list(believable(board))
    board.close()
    shutil.rmtree(roots.sys)


@_FUZZ
@given(power=_CONTENT | st.just(_FOLDER), voltage=_CONTENT, current=_CONTENT)
@example(power=b"2106", voltage=b"5112", current=b"412")
@example(power=None, voltage=b"5112", current=b"412")
def test_an_iio_rail_invents_no_number(
    power: bytes | str | None, voltage: bytes | None, current: bytes | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sys_root = tmp_path_factory.mktemp("iio")
    device = sys_root / "bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    device.mkdir(parents=True)
    (device / "rail_name_0").write_text("POM_5V_IN\n")
    for name, content in (("power", power), ("voltage", voltage), ("current", current)):
        scribble(device / f"in_{name}0_input", content)
    for found in find_iio_rails(sys_root):
        try:
            watts = found.sensor.read().value
        except SensorLost:
            continue
        if power is not None:
            assert isinstance(power, bytes)
            assert watts == int(power) * 1e-3
        else:
            assert voltage is not None
            assert current is not None
            assert watts == pytest.approx(int(voltage) * int(current) * 1e-6)
        assert 0.0 <= watts <= 5000.0


@_FUZZ
@given(contents=st.lists(_CONTENT | st.just(_FOLDER), min_size=1, max_size=6))
def test_an_event_count_invents_no_alarm(
    contents: list[bytes | str | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("oc") / "oc1_event_cnt"
    clock = FakeClock()
    flag = CountFlag([SysfsFile(path, clock)], 5.0, clock)
    counted: list[int] = []
    for content in contents:
        scribble(path, content)
        clock.forward(10.0)
        try:
            raised = flag.read().value
        except SensorLost:
            continue
        assert isinstance(content, bytes)
        counted.append(int(content))
        assert counted[-1] >= 0
        assert raised == float(len(counted) > 1 and counted[-1] > counted[-2])


def test_labels_that_name_no_line_are_skipped(roots_of: RootsOf) -> None:
    assert [found.label for found in find_hwmon_rails(roots_of("jetson-agx-orin-jp6").sys)] == [
        "VDD_GPU_SOC",
        "VDD_CPU_CV",
        "VIN_SYS_5V0",
        "VDDQ_VDD2_1V8AO",
    ]
    roots = roots_of("jetson-nano-jp4")
    device = roots.sys / "bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    (device / "rail_name_1").write_text("NC\n")
    (device / "rail_name_2").unlink()
    assert [found.label for found in find_iio_rails(roots.sys)] == ["POM_5V_IN"]
