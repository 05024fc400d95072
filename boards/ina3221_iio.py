"""The INA3221 of Jetsons with JetPack 4, whose driver (`ina3221x`) shows it as an iio device.

`rail_name_N`, `in_voltageN_input` (mV), `in_currentN_input` (mA), `in_powerN_input` (mW), N from 0 to 2. The driver
takes voltage and current of `in_powerN_input` from one conversion under one lock, so that file is read and not the two
others.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from boards.rails import (
    INA3221_OFFSET_STEPS,
    TOTAL_LABELS,
    ProductSensor,
    Rail,
    ina3221_resolution_w,
    unique_rails,
    usable_label,
)
from boards.sensor import Sensor
from boards.sysfs import Clock, ScaledSensor, SysfsFile, read_once_int, read_once_word

CHIP = "ina3221x"
_CHANNELS = range(3)
_DEVICE = re.compile(r"iio:device\d+|iio_device")  # the latter up to JetPack 3
_MOST_WATTS = 5_000.0
_LEAST_STEP_W = 1e-3  # the driver cuts to whole milliwatts


def find_iio_rails(sys_root: Path, clock: Clock = time.monotonic_ns) -> list[Rail]:
    """All rails of all INA3221 under `bus/i2c/drivers/ina3221x`, in the order of their addresses."""
    rails = []
    for chip in _folders(sys_root / "bus/i2c/drivers/ina3221x", re.compile(r"\d+-[0-9a-f]{4}")):
        for device in _folders(chip, _DEVICE)[:1]:
            found = (_rail(chip, device, number, clock) for number in _CHANNELS)
            rails += [rail for rail in found if rail is not None]
    return unique_rails(rails)


def _rail(chip: Path, device: Path, number: int, clock: Clock) -> Rail | None:
    label = read_once_word(device / f"rail_name_{number}")
    if label is None or not usable_label(label):
        return None
    power = device / f"in_power{number}_input"
    voltage, current = device / f"in_voltage{number}_input", device / f"in_current{number}_input"
    step_w = ina3221_resolution_w(_shunt_uohm(chip, number), read_once_int(voltage))
    least_w = -INA3221_OFFSET_STEPS * step_w
    sensor: Sensor
    if power.exists():
        sensor = ScaledSensor(SysfsFile(power, clock), 1e-3, low=least_w, high=_MOST_WATTS)
    elif voltage.exists() and current.exists():
        sensor = ProductSensor(SysfsFile(voltage, clock), SysfsFile(current, clock), least_w)
    else:
        return None
    path = power if power.exists() else current
    return Rail(label, sensor, path, CHIP, label in TOTAL_LABELS, max(step_w, _LEAST_STEP_W) if step_w else 0.0)


def _shunt_uohm(chip: Path, number: int) -> int | None:
    """The shunt from the device tree (a big-endian number of milliohms): this driver shows it nowhere else."""
    try:
        raw = (chip / f"of_node/channel@{number}/ti,shunt-resistor-mohm").read_bytes()
    except OSError:
        return None
    return int.from_bytes(raw, "big") * 1000 if len(raw) == 4 else None


def _folders(parent: Path, name: re.Pattern[str]) -> list[Path]:
    try:
        return sorted(entry for entry in parent.iterdir() if name.fullmatch(entry.name) and entry.is_dir())
    except OSError:
        return []
