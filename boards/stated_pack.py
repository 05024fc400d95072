"""A pack whose cells a user stated, and whose voltage a monitor chip tells: charge, energy and draw of it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from boards.rails import Rail
from boards.sensor import BoardError, Reading, Sensor, SensorLost
from boards.supply_options import StatedPack
from boards.sysfs import Clock, SysfsFile

_MONITORS = {"ina219", "ina220", "ina226", "ina230", "ina231", "ina238"}
_CELL_V = (1.5, 4.6)  # outside these no cell is meant by this voltage


@dataclass(frozen=True)
class Monitor:
    """The chip at the pack: its rail's name, and where its millivolts and milliamperes are read."""

    rail: str
    voltage: SysfsFile
    current: SysfsFile | None

    def volts(self) -> tuple[float, int]:
        millivolts, at_ns = self.voltage.read_int()
        return millivolts * 1e-3, at_ns

    def amperes(self) -> float:
        if self.current is None:
            raise SensorLost(f"{self.rail}: its current is unknown")
        return self.current.read_int()[0] * 1e-3

    def close(self) -> None:
        for file in (self.voltage, self.current):
            if file is not None:
                file.close()


def find_monitor(rails: list[Rail], wanted: str | None, clock: Clock = time.monotonic_ns) -> Monitor:
    """The monitor with the rail named `wanted`, else the only INA2xx. Raises BoardError where it cannot be told."""
    fitting = [rail for rail in rails if rail.label == wanted or (wanted is None and rail.chip in _MONITORS)]
    if len(fitting) != 1:
        found = ", ".join(rail.label for rail in rails) or "none"
        asked = f"no rail {wanted!r}" if wanted is not None else f"{len(fitting)} monitors"
        raise BoardError(
            f"pack=: {asked} to read the pack's voltage from (rails: {found}); name one with pack_monitor=LABEL, or "
            "let the kernel know the chip, as in: echo ina219 0x42 | sudo tee /sys/bus/i2c/devices/i2c-1/new_device"
        )
    rail = fitting[0]
    number = re.sub(r"\D", "", rail.path.name)
    voltage, current = (rail.path.parent / f"{stem}{number}_input" for stem in ("in", "curr"))
    if not voltage.exists():
        raise BoardError(f"pack=: {rail.label} tells no voltage ({voltage} is missing)")
    return Monitor(rail.label, SysfsFile(voltage, clock), _file(current, clock))


def _file(path: Path, clock: Clock) -> SysfsFile | None:
    return SysfsFile(path, clock) if path.exists() else None


class CurveChargeSensor:
    """State of charge, 0..1, by the pack's curve; what the load takes from the voltage is given back first."""

    def __init__(self, pack: StatedPack, monitor: Monitor) -> None:
        self._pack = pack
        self._monitor = monitor

    def read(self) -> Reading:
        volts, at_ns = self._monitor.volts()
        if self._pack.ohm or self._pack.sag_v:
            amperes = self._discharge_a()
            # A diode towards the load takes nothing from a pack that is being charged.
            volts += self._pack.ohm * amperes + (self._pack.sag_v if amperes >= 0 else 0.0)
        cell_v = volts / self._pack.cells
        if not _CELL_V[0] <= cell_v <= _CELL_V[1]:
            raise SensorLost(
                f"{self._monitor.rail}: {volts:.3f} V are not {self._pack.cells} cells in series, {cell_v:.2f} V each"
            )
        return Reading(self._pack.curve.charge(cell_v), at_ns)

    def close(self) -> None:
        self._monitor.close()

    def _discharge_a(self) -> float:
        if self._pack.discharge_sign is None:
            return 0.0
        return self._monitor.amperes() * self._pack.discharge_sign


class CurveEnergySensor:
    """Joules left: the stated energy of the full pack times the curve's share of it at this charge."""

    def __init__(self, charge: CurveChargeSensor, pack: StatedPack, pack_wh: float) -> None:
        self._charge = charge
        self._curve = pack.curve
        self._full_j = pack_wh * 3600.0

    def read(self) -> Reading:
        reading = self._charge.read()
        return Reading(self._full_j * self._curve.energy_share(reading.value), reading.monotonic_ns)

    def close(self) -> None:
        self._charge.close()


class StatedEnergySensor:
    """Joules left: the stated energy of a full pack times a charge that something else tells."""

    def __init__(self, charge: Sensor, pack_wh: float) -> None:
        self._charge = charge
        self._full_j = pack_wh * 3600.0

    def read(self) -> Reading:
        reading = self._charge.read()
        return Reading(self._full_j * reading.value, reading.monotonic_ns)


class PackDrawSensor:
    """Watts that the pack gives; while it is charged, the board's draw is not the pack's to tell."""

    def __init__(self, discharge_sign: int, monitor: Monitor) -> None:
        self._sign = discharge_sign
        self._monitor = monitor

    def read(self) -> Reading:
        volts, first_ns = self._monitor.volts()
        amperes = self._monitor.amperes() * self._sign
        if amperes <= 0 or volts <= 0:
            raise SensorLost(
                f"{self._monitor.rail}: the pack is not discharging ({amperes:+.3f} A), the board's draw is unknown"
            )
        return Reading(volts * amperes, first_ns)

    def close(self) -> None:
        self._monitor.close()
