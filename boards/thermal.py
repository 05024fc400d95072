"""Temperatures and what cools: `class/thermal`, and hwmon where no zone speaks for the processor."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from boards.sensor import Reading, Sensor, SensorLost
from boards.sysfs import Clock, ScaledSensor, SysfsFile, numbered, read_once_int, read_once_word

LOWEST_C = -40.0  # -256 means "switched off" on Jetsons; no running board is this cold
HIGHEST_C = 150.0
# The first zone is *the* temperature for the controller, so those that follow the processor come first.
# A Jetson's `tj` is the hottest of all its sensors, which is what its firmware throttles by.
_PROCESSOR_FIRST = ("tj", "cpu", "x86_pkg_temp", "bcpu", "mcpu", "soc", "package", "gpu", "thermal", "acpitz")
_THROTTLES = ("thermal-cpufreq", "thermal-devfreq", "cpufreq", "devfreq", "processor", "intel_powerclamp", "cpu")
_ALERTS = "-throttle-alert"  # Jetsons: the firmware slows this unit down
_SWITCHED_OFF_MC = -256_000  # Jetsons, JetPack 4 and 5: the unit behind this zone has no power
_HWMON_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal")


@dataclass(frozen=True)
class Zone:
    """A temperature in degrees Celsius."""

    name: str
    sensor: Sensor
    path: Path


class ThrottleSensor:
    """1 while any of the given cooling devices holds the processor back, else 0."""

    def __init__(self, states: list[SysfsFile], clock: Clock = time.monotonic_ns) -> None:
        self._states = states
        self._clock = clock

    def read(self) -> Reading:
        levels = [file.read_int()[0] for file in self._states]
        return Reading(float(any(level > 0 for level in levels)), self._clock())

    def close(self) -> None:
        for file in self._states:
            file.close()


def find_zones(sys_root: Path, clock: Clock = time.monotonic_ns) -> tuple[list[Zone], list[str]]:
    """Usable zones, the processor's first, and one sentence for each that was passed over."""
    zones: list[Zone] = []
    ignored: list[str] = []
    for folder in numbered(sys_root / "class/thermal", "thermal_zone"):
        name = read_once_word(folder / "type") or folder.name
        path = folder / "temp"
        sensor = _celsius(path, clock)
        try:
            celsius = sensor.read().value
        except SensorLost as error:
            off = read_once_int(path) == _SWITCHED_OFF_MC
            ignored.append(f"{name}: {'switched off (-256 °C)' if off else error}")
            sensor.close()
            continue
        placeholder = _placeholder(name, celsius)
        if placeholder:
            ignored.append(f"{name}: {placeholder}")
            sensor.close()
            continue
        zones.append(Zone(name, sensor, path))
    if not any(_rank(zone.name) < _PROCESSOR_FIRST.index("gpu") for zone in zones):
        zones += _hwmon_zones(sys_root, clock)
    return sorted(_unique(zones), key=lambda zone: _rank(zone.name)), ignored


def find_throttle(sys_root: Path, clock: Clock = time.monotonic_ns) -> ThrottleSensor | None:
    """Cooling devices that slow a processor down; fans and displays cool or dim, but do not throttle."""
    states = [
        SysfsFile(folder / "cur_state", clock)
        for folder in numbered(sys_root / "class/thermal", "cooling_device")
        if _throttles(read_once_word(folder / "type") or "") and read_once_int(folder / "cur_state") is not None
    ]
    return ThrottleSensor(states, clock) if states else None


def _throttles(kind: str) -> bool:
    return kind.lower().startswith(_THROTTLES) or kind.endswith(_ALERTS)


def _placeholder(name: str, celsius: float) -> str | None:
    """Why a zone that reads well is no temperature of anything, or None."""
    if name.upper().startswith("PMIC") and celsius == 100.0:
        return "reads a constant 100 °C, which is a place holder"
    return "a mean for the fan's control, no sensor" if name.startswith("thermal-fan-est") else None


def _celsius(path: Path, clock: Clock) -> ScaledSensor:
    return ScaledSensor(SysfsFile(path, clock), 1e-3, low=LOWEST_C, high=HIGHEST_C)


def _hwmon_zones(sys_root: Path, clock: Clock) -> list[Zone]:
    zones = []
    for folder in numbered(sys_root / "class/hwmon", "hwmon"):
        chip = read_once_word(folder / "name")
        path = folder / "temp1_input"
        if chip in _HWMON_CHIPS and read_once_int(path) is not None:
            zones.append(Zone(f"cpu-{chip}", _celsius(path, clock), path))
    return zones


def _rank(name: str) -> int:
    lowered = name.lower()
    for rank, stem in enumerate(_PROCESSOR_FIRST):
        if lowered.startswith(stem):
            return rank
    return len(_PROCESSOR_FIRST)


def _unique(zones: list[Zone]) -> list[Zone]:
    seen: dict[str, int] = {}
    unique = []
    for zone in zones:
        seen[zone.name] = seen.get(zone.name, 0) + 1
        name = zone.name if seen[zone.name] == 1 else f"{zone.name}-{seen[zone.name]}"
        unique.append(Zone(name, zone.sensor, zone.path))
    return unique
