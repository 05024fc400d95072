from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from boards.battery import ChargeSensor, DischargeSensor, RemainingEnergySensor, find_packs
from boards.rails import RaplDomain, RaplSensor
from boards.sensor import SensorLost
from boards.sysfs import ScaledSensor, SysfsFile, numbered


def test_reads_an_integer_at_the_middle_of_the_read(tmp_path: Path) -> None:
    (tmp_path / "power1_input").write_text("1234567\n")
    ticks = iter([1000, 3000])
    assert SysfsFile(tmp_path / "power1_input", lambda: next(ticks)).read_int() == (1234567, 2000)


def test_sees_new_content_through_the_kept_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text("1\n")
    file = SysfsFile(path)
    assert file.read_int()[0] == 1
    before = len(os.listdir("/proc/self/fd"))
    with path.open("r+") as writer:
        writer.write("2\n")
    assert file.read_int()[0] == 2
    assert len(os.listdir("/proc/self/fd")) == before
    file.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_a_vanished_file_is_lost_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text("1\n")
    file = SysfsFile(path)
    file.read_int()
    path.unlink()
    for _ in range(2):
        with pytest.raises(SensorLost, match="value: vanished"):
            file.read_int()
    path.write_text("3\n")
    assert file.read_int()[0] == 3


def test_a_replaced_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text("1\n")
    file = SysfsFile(path)
    file.read_int()
    (tmp_path / "new").write_text("2\n")
    (tmp_path / "new").rename(path)
    assert file.read_int()[0] == 2


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"1_000\n", b"0x10\n", b"12.5\n", b"1 2\n", b"\0\0", b"12\0", "٣".encode()]
)
def test_refuses_what_is_no_plain_integer(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "value").write_bytes(content)
    with pytest.raises(SensorLost, match=r"value: (empty|not an integer)"):
        SysfsFile(tmp_path / "value").read_int()


def test_a_folder_in_place_of_a_file_is_lost(tmp_path: Path) -> None:
    with pytest.raises(SensorLost):
        SysfsFile(tmp_path).read_int()


def test_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    for name in ("hwmon10", "hwmon2", "hwmon", "hwmonX"):
        (tmp_path / name).mkdir()
    assert [entry.name for entry in numbered(tmp_path, "hwmon")] == ["hwmon2", "hwmon10"]
    assert numbered(tmp_path / "absent", "hwmon") == []


_CONTENT = st.one_of(
    st.binary(max_size=60),
    st.integers(-(10**25), 10**25).map(lambda value: str(value).encode()),
    st.sampled_from([b"", b"\0", b"-1", b"0", b"nan", b"inf", b"9" * 5000, b"\xff\xfe", b"Discharging"]),
)
_FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FUZZ
@given(content=_CONTENT)
@example(content=b"150001")
def test_a_scaled_sensor_gives_a_believable_value_or_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "temp").write_bytes(content)
    sensor = ScaledSensor(SysfsFile(tmp_path / "temp"), 1e-3, low=-40.0, high=150.0)
    try:
        value = sensor.read().value
    except SensorLost:
        return
    finally:
        sensor.close()
    assert value == int(content) * 1e-3
    assert -40.0 <= value <= 150.0


@_FUZZ
@given(contents=st.lists(_CONTENT, min_size=2, max_size=6))
def test_a_rapl_counter_never_falls_and_never_leaps(tmp_path: Path, contents: list[bytes]) -> None:
    path = tmp_path / "energy_uj"
    now_ns = [0]
    sensor = RaplSensor([RaplDomain("package-0", path, 262_143_328_850)], lambda: now_ns[0])
    last = 0.0
    for content in contents:
        path.write_bytes(content)
        now_ns[0] += 20_000_000
        try:
            joules = sensor.read().value
        except SensorLost:
            continue
        assert last <= joules <= last + 2000.0 * 0.02 * len(contents)
        last = joules
    sensor.close()


_NAMES = ("status", "capacity", "energy_now", "energy_full", "charge_now", "charge_full", "voltage_now", "power_now")


@_FUZZ
@given(contents=st.dictionaries(st.sampled_from(_NAMES), _CONTENT | st.just(b"Discharging")))
def test_a_battery_full_of_garbage_gives_believable_values_or_none(tmp_path: Path, contents: dict[str, bytes]) -> None:
    folder = tmp_path / "class/power_supply/BAT0"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / "type").write_text("Battery\n")
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    packs = find_packs(tmp_path)
    sensors = [ChargeSensor(packs)] if "capacity" in contents or ChargeSensor(packs).basis != "capacity" else []
    found = [*sensors, *(kind(packs) for kind in (RemainingEnergySensor, DischargeSensor) if kind.possible(packs))]
    for sensor in found:
        try:
            value = sensor.read().value
        except SensorLost:
            continue
        assert math.isfinite(value)
        assert value >= 0
    for pack in packs:
        pack.close()
