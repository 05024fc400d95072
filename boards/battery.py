"""Batteries: the `power_supply` class, several packs taken together.

By the kernel's ABI a discharging current is negative, but drivers differ: the magnitude is taken and `status` gives the
direction. Only packs that feed the machine count (`scope` Device is a mouse or a headset).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from boards.sensor import Reading, SensorLost
from boards.sysfs import Clock, SysfsFile, read_once_int, read_once_word

_J_PER_UWH = 3.6e-3
_MOST_WATTS = 1_000.0


@dataclass
class Pack:
    """One battery's open attributes; those its driver lacks are absent."""

    name: str
    files: dict[str, SysfsFile] = field(default_factory=dict)

    def has(self, *attributes: str) -> bool:
        return all(attribute in self.files for attribute in attributes)

    def read(self, attribute: str) -> int:
        return self.files[attribute].read_int()[0]

    def status(self) -> str:
        return self.files["status"].read_word()

    def close(self) -> None:
        for file in self.files.values():
            file.close()


_ATTRIBUTES = (
    "status",
    "capacity",
    "energy_now",
    "energy_full",
    "charge_now",
    "charge_full",
    "voltage_now",
    "voltage_min_design",
    "current_now",
    "power_now",
)


def find_packs(sys_root: Path, clock: Clock = time.monotonic_ns) -> list[Pack]:
    """Batteries and UPS packs that feed the machine, in order of name."""
    packs = []
    for folder in _supplies(sys_root):
        kind = read_once_word(folder / "type")
        if kind not in {"Battery", "UPS"} or read_once_word(folder / "scope") == "Device":
            continue
        if read_once_int(folder / "present") == 0:
            continue
        files = {name: SysfsFile(folder / name, clock) for name in _ATTRIBUTES if (folder / name).exists()}
        packs.append(Pack(folder.name, files))
    return packs


def find_mains(sys_root: Path, clock: Clock = time.monotonic_ns) -> MainsSensor | None:
    """A flag over every mains adapter and USB input, or None where the machine has none to tell of."""
    files = [
        SysfsFile(folder / "online", clock)
        for folder in _supplies(sys_root)
        if read_once_word(folder / "type") in {"Mains", "USB", "Wireless"} and (folder / "online").exists()
    ]
    return MainsSensor(files, clock) if files else None


def _supplies(sys_root: Path) -> list[Path]:
    try:
        return sorted((sys_root / "class/power_supply").iterdir())
    except OSError:
        return []


class MainsSensor:
    """1 while any external supply is online (some USB drivers say 2), else 0."""

    def __init__(self, files: list[SysfsFile], clock: Clock) -> None:
        self._files = files
        self._clock = clock

    def read(self) -> Reading:
        online = [file.read_int()[0] for file in self._files]
        return Reading(float(any(state > 0 for state in online)), self._clock())

    def close(self) -> None:
        for file in self._files:
            file.close()


class ChargeSensor:
    """State of charge of all packs together, 0..1.

    In joules where every pack counts energy, in ampere-hours where every pack counts charge (packs of one voltage; a
    machine with packs of different voltages has energy counters in practice), else the mean of the percentages.
    """

    def __init__(self, packs: list[Pack], clock: Clock = time.monotonic_ns) -> None:
        self._packs = packs
        self._clock = clock
        self.basis = _basis(packs)

    def read(self) -> Reading:
        if self.basis == "capacity":
            ratio = sum(_within(pack.read("capacity"), 100, pack) for pack in self._packs) / 100 / len(self._packs)
        else:
            full = sum(_positive(pack.read(f"{self.basis}_full"), f"{self.basis}_full", pack) for pack in self._packs)
            ratio = (
                sum(_natural(pack.read(f"{self.basis}_now"), f"{self.basis}_now", pack) for pack in self._packs) / full
            )
        if ratio > 1.1:
            raise SensorLost(f"battery: {ratio:.2f} of full is implausible")
        # A fresh pack may hold a little more than its gauge's idea of full.
        return Reading(min(1.0, ratio), self._clock())


def _basis(packs: list[Pack]) -> str:
    for basis in ("energy", "charge"):
        if all(pack.has(f"{basis}_now", f"{basis}_full") for pack in packs):
            return basis
    return "capacity"


class RemainingEnergySensor:
    """Joules left in all packs: `energy_now`, or `charge_now` times the nominal voltage (an estimate)."""

    def __init__(self, packs: list[Pack], clock: Clock = time.monotonic_ns) -> None:
        self._packs = packs
        self._clock = clock
        self.estimated = not all(pack.has("energy_now") for pack in packs)

    @staticmethod
    def possible(packs: list[Pack]) -> bool:
        return bool(packs) and all(
            pack.has("energy_now") or pack.has("charge_now", "voltage_min_design") for pack in packs
        )

    def read(self) -> Reading:
        return Reading(sum(self._joules(pack) for pack in self._packs), self._clock())

    def _joules(self, pack: Pack) -> float:
        if pack.has("energy_now"):
            return _natural(pack.read("energy_now"), "energy_now", pack) * _J_PER_UWH
        charge_uah = _natural(pack.read("charge_now"), "charge_now", pack)
        volts = _positive(pack.read("voltage_min_design"), "voltage_min_design", pack) * 1e-6
        return charge_uah * _J_PER_UWH * volts


class DischargeSensor:
    """Watts that the packs give. Known only while they carry the board alone: on mains the draw is not theirs to tell.

    Packs that rest (`Not charging`, `Full`) beside a discharging one give nothing. 0 W from a discharging pack is a
    driver that does not know, not a board without draw.
    """

    def __init__(self, packs: list[Pack], clock: Clock = time.monotonic_ns) -> None:
        self._packs = packs
        self._clock = clock

    @staticmethod
    def possible(packs: list[Pack]) -> bool:
        return bool(packs) and all(
            pack.has("status") and (pack.has("power_now") or pack.has("current_now", "voltage_now")) for pack in packs
        )

    def read(self) -> Reading:
        before_ns = self._clock()
        watts = 0.0
        for pack in self._packs:
            status = pack.status()
            if status == "Discharging":
                watts += _watts(pack)
            elif status not in {"Full", "Not charging"}:
                raise SensorLost(f"battery {pack.name}: status {status}: its power is not the board's draw")
        if watts <= 0:
            raise SensorLost("battery: no pack is discharging, so it does not tell the board's draw")
        return Reading(watts, (before_ns + self._clock()) // 2)


def _watts(pack: Pack) -> float:
    if pack.has("power_now"):
        watts = abs(pack.read("power_now")) * 1e-6
    else:
        watts = abs(pack.read("current_now")) * _positive(pack.read("voltage_now"), "voltage_now", pack) * 1e-12
    if not 0 < watts <= _MOST_WATTS:
        raise SensorLost(f"battery {pack.name}: implausible power {watts} W while discharging")
    return watts


def _within(value: int, most: int, pack: Pack) -> int:
    if not 0 <= value <= most:
        raise SensorLost(f"battery {pack.name}: implausible value {value} (believed: 0 to {most})")
    return value


def _natural(value: int, name: str, pack: Pack) -> int:
    if value < 0:
        raise SensorLost(f"battery {pack.name}: {name} is negative: {value}")
    return value


def _positive(value: int, name: str, pack: Pack) -> int:
    if value <= 0:
        raise SensorLost(f"battery {pack.name}: {name} is not positive: {value}")
    return value
