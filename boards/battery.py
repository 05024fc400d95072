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
# A fresh pack may hold a little more than its gauge's idea of full, and MAX1704x gauges tell up to some 110 %.
_MOST_RATIO = 1.1
# Less than any board's pack: a driver that counts in another unit. Ratios survive that, joules do not.
_LEAST_FULL_UAH = 10_000
_LOW_LEVELS = {"Critical", "Low"}


@dataclass
class Pack:
    """One battery's open attributes; those its driver lacks are absent."""

    name: str
    files: dict[str, SysfsFile] = field(default_factory=dict)

    def has(self, *attributes: str) -> bool:
        return all(attribute in self.files for attribute in attributes)

    def read(self, attribute: str) -> int:
        return self.files[attribute].read_int()[0]

    def tells(self, *attributes: str) -> bool:
        """Whether these attributes are there and give a positive number now (drivers answer ENODATA, 0 or garbage)."""
        try:
            return all(self.has(attribute) and self.read(attribute) > 0 for attribute in attributes)
        except SensorLost:
            return False

    def status(self) -> str:
        return self.files["status"].read_word()

    def close(self) -> None:
        for file in self.files.values():
            file.close()


_ATTRIBUTES = (
    "status",
    "capacity",
    "capacity_level",
    "energy_now",
    "energy_full",
    "energy_full_design",
    "charge_now",
    "charge_full",
    "charge_full_design",
    "voltage_now",
    "voltage_min_design",
    "current_now",
    "current_avg",
    "power_now",
    "power_avg",
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
        if _feeds(read_once_word(folder / "type")) and (folder / "online").exists()
    ]
    return MainsSensor(files, clock) if files else None


def _feeds(kind: str | None) -> bool:
    """Mains, Wireless, and USB in all its old and new spellings (USB, USB_C, USB_PD, USB_DCP ...)."""
    return kind is not None and (kind in {"Mains", "Wireless", "BrickID"} or kind.startswith("USB"))


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
        lost: SensorLost | None = None
        for file in self._files:
            try:
                if file.read_int()[0] > 0:
                    return Reading(1.0, self._clock())
            except SensorLost as error:
                lost = error
        if lost is not None:  # it may be the one that feeds
            raise lost
        return Reading(0.0, self._clock())

    def close(self) -> None:
        for file in self._files:
            file.close()


class ChargeSensor:
    """State of charge of all packs together, 0..1.

    In joules where every pack counts energy, in ampere-hours where every pack counts charge (packs of one voltage; a
    machine with packs of different voltages has energy counters in practice), else the mean of the percentages. What
    was full when new stands for full only where there is nothing better: a worn pack then reads too low.
    """

    def __init__(self, packs: list[Pack], clock: Clock = time.monotonic_ns) -> None:
        self._packs = packs
        self._clock = clock
        self.basis, self._now, self._full = _basis(packs)

    @staticmethod
    def possible(packs: list[Pack]) -> bool:
        """Whether the packs have what a charge is made of, be it readable now or not."""
        return bool(packs) and all(pack.has(*_basis(packs)[1:]) for pack in packs)

    def read(self) -> Reading:
        if self.basis == "capacity":
            ratio = sum(_percent(pack) for pack in self._packs) / 100 / len(self._packs)
        else:
            full = sum(_positive(pack.read(self._full), self._full, pack) for pack in self._packs)
            ratio = sum(_natural(pack.read(self._now), self._now, pack) for pack in self._packs) / full
        if ratio > _MOST_RATIO:
            raise SensorLost(f"battery: {ratio:.2f} of full is implausible")
        return Reading(min(1.0, ratio), self._clock())


_BASES = (
    ("energy", "energy_now", "energy_full"),
    ("charge", "charge_now", "charge_full"),
    ("capacity", "capacity", "capacity"),
    ("energy of a new pack", "energy_now", "energy_full_design"),
    ("charge of a new pack", "charge_now", "charge_full_design"),
)


def _basis(packs: list[Pack]) -> tuple[str, str, str]:
    """The best basis that every pack has and that reads now; else the best that every pack has."""
    there = [basis for basis in _BASES if packs and all(pack.has(*basis[1:]) for pack in packs)]
    # A pack may be empty: only what is full must read as positive.
    reads = [basis for basis in there if basis[0] == "capacity" or all(pack.tells(basis[2]) for pack in packs)]
    return (reads or there or [_BASES[2]])[0]


class LowSensor:
    """1 while any pack's level is Low or Critical: for drivers that tell charge in words only."""

    def __init__(self, packs: list[Pack], clock: Clock = time.monotonic_ns) -> None:
        self._packs = packs
        self._clock = clock

    @staticmethod
    def possible(packs: list[Pack]) -> bool:
        return bool(packs) and all(pack.has("capacity_level") for pack in packs)

    def read(self) -> Reading:
        levels = [pack.files["capacity_level"].read_word() for pack in self._packs]
        if "Unknown" in levels:
            raise SensorLost("battery: its level is unknown")
        return Reading(float(any(level in _LOW_LEVELS for level in levels)), self._clock())


class RemainingEnergySensor:
    """Joules left in all packs: `energy_now`, or `charge_now` times a voltage (an estimate).

    The voltage is the pack's design voltage, else the present one, which is high for a full pack and low for an empty.
    """

    def __init__(self, packs: list[Pack], clock: Clock = time.monotonic_ns) -> None:
        self._packs = packs
        self._clock = clock
        self.estimated = not all(pack.has("energy_now") for pack in packs)

    @staticmethod
    def possible(packs: list[Pack]) -> bool:
        return bool(packs) and all(
            pack.has("energy_now")
            or (pack.has("charge_now") and (pack.has("voltage_min_design") or pack.has("voltage_now")))
            for pack in packs
        )

    def read(self) -> Reading:
        return Reading(sum(self._joules(pack) for pack in self._packs), self._clock())

    def _joules(self, pack: Pack) -> float:
        if pack.has("energy_now"):
            return _natural(pack.read("energy_now"), "energy_now", pack) * _J_PER_UWH
        if pack.has("charge_full") and pack.read("charge_full") < _LEAST_FULL_UAH:
            raise SensorLost(f"battery {pack.name}: a full charge below {_LEAST_FULL_UAH} uAh is another unit")
        charge_uah = _natural(pack.read("charge_now"), "charge_now", pack)
        voltage = "voltage_min_design" if pack.tells("voltage_min_design") else "voltage_now"
        if not pack.has(voltage):
            raise SensorLost(f"battery {pack.name}: its voltage is unknown")
        return charge_uah * _J_PER_UWH * _positive(pack.read(voltage), voltage, pack) * 1e-6


class DischargeSensor:
    """Watts that the packs give. Known only while they carry the board alone: on mains the draw is not theirs to tell.

    Packs that rest (`Not charging`, `Full`) beside a discharging one give nothing. 0 W from a discharging pack is a
    driver that does not know, not a board without draw. Where a driver has no status, or says Unknown, a negative
    current is a discharge, as the kernel's ABI has it; a positive one tells nothing, since drivers differ.
    """

    def __init__(self, packs: list[Pack], clock: Clock = time.monotonic_ns) -> None:
        self._packs = packs
        self._clock = clock

    @staticmethod
    def possible(packs: list[Pack]) -> bool:
        return bool(packs) and all(_power_of(pack) is not None for pack in packs)

    def read(self) -> Reading:
        before_ns = self._clock()
        watts = 0.0
        for pack in self._packs:
            status = _direction(pack)
            if status == "Discharging":
                watts += _watts(pack)
            elif status not in {"Full", "Not charging"}:
                raise SensorLost(f"battery {pack.name}: status {status}: its power is not the board's draw")
        if watts <= 0:
            raise SensorLost("battery: no pack is discharging, so it does not tell the board's draw")
        return Reading(watts, (before_ns + self._clock()) // 2)


def _direction(pack: Pack) -> str:
    status = pack.status() if pack.has("status") else "Unknown"
    if status == "Unknown" and pack.has("current_now") and pack.read("current_now") < 0:
        return "Discharging"
    return status


def _power_of(pack: Pack) -> str | None:
    """The attribute that the pack's power is made of, the best first."""
    for name in ("power_now", "current_now", "power_avg", "current_avg"):
        if pack.has(name) and (name.startswith("power") or pack.has("voltage_now")):
            return name
    return None


def _watts(pack: Pack) -> float:
    name = _power_of(pack)
    if name is None:
        raise SensorLost(f"battery {pack.name}: neither its power nor its current is known")
    magnitude = abs(pack.read(name))
    if name.startswith("power"):
        watts = magnitude * 1e-6
    else:
        watts = magnitude * _positive(pack.read("voltage_now"), "voltage_now", pack) * 1e-12
    if not 0 < watts <= _MOST_WATTS:
        raise SensorLost(f"battery {pack.name}: implausible power {watts} W while discharging")
    return watts


def _percent(pack: Pack) -> float:
    percent = pack.read("capacity")
    if not 0 <= percent <= 100 * _MOST_RATIO:
        raise SensorLost(f"battery {pack.name}: implausible value {percent} (believed: 0 to 100)")
    return min(100.0, percent)


def _natural(value: int, name: str, pack: Pack) -> int:
    if value < 0:
        raise SensorLost(f"battery {pack.name}: {name} is negative: {value}")
    return value


def _positive(value: int, name: str, pack: Pack) -> int:
    if value <= 0:
        raise SensorLost(f"battery {pack.name}: {name} is not positive: {value}")
    return value
