"""A plain CSV with a header whose names carry units.

    time_s,power_w,temperature_c,battery_ratio        or        time,VDD_IN_mw,battery_percent,throttled_flag

The time is ``time_s`` (seconds from anywhere) or ``time`` (ISO, UTC where it names no zone). What stands before the
unit is the channel's name: ``battery_ratio`` becomes ``battery``, ``VDD_IN_mw`` becomes ``VDD_IN``. Units: ``_w``,
``_mw``, ``_j``, ``_c``, ``_mc``, ``_ratio``, ``_percent``, ``_hz``, ``_mhz``, ``_flag``, and ``_v``, ``_mv`` for a
pack's voltage. A field that is empty is a value that is not there.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boards.board import Quantity
from boards.recording import PLAUSIBLE, Floats, Recording, Series
from boards.recordings.lines import BadLine, Damage, Rows, iso_s, month_first_s, numbered_lines
from boards.sensor import BoardError

# Suffix: what it measures (None: a voltage, which is no channel of a board), and the factor to the quantity's unit.
_UNITS: dict[str, tuple[Quantity | None, float]] = {
    "w": (Quantity.POWER, 1.0),
    "mw": (Quantity.POWER, 1e-3),
    "j": (Quantity.ENERGY, 1.0),
    "c": (Quantity.TEMPERATURE, 1.0),
    "mc": (Quantity.TEMPERATURE, 1e-3),
    "ratio": (Quantity.RATIO, 1.0),
    "percent": (Quantity.RATIO, 1e-2),
    "hz": (Quantity.FREQUENCY, 1.0),
    "mhz": (Quantity.FREQUENCY, 1e6),
    "flag": (Quantity.FLAG, 1.0),
    "v": (None, 1.0),
    "mv": (None, 1e-3),
}
_ISO_NAMES = ("time", "timestamp", "datetime", "date time", "date_time")
_WHOLE = ("power", "total", "board", "wall", "board-power")  # names of a power that all of the board is behind
_MOST_VOLTS = 1000.0


@dataclass(frozen=True)
class _Column:
    place: int
    name: str
    quantity: Quantity | None
    factor: float

    def read(self, text: str) -> float | None:
        """The value in the quantity's unit, None where the field is empty."""
        text = text.strip()
        if not text:
            return None
        try:
            value = float(text) * self.factor
        except ValueError:
            raise BadLine(f"{self.name} is no number: {text[:40]!r}") from None
        low, high = (0.0, _MOST_VOLTS) if self.quantity is None else PLAUSIBLE[self.quantity]
        if not (math.isfinite(value) and low <= value <= high):
            raise BadLine(f"implausible {self.name}: {text[:40]!r}")
        return value


@dataclass(frozen=True)
class _Header:
    time_place: int
    read_time: Callable[[str], float]
    absolute: bool
    columns: tuple[_Column, ...]
    unused: tuple[str, ...]


def looks_like_csv(first: str) -> bool:
    """Whether a file's first line is a header with a time and a unit."""
    try:
        header = _header(first)
    except BadLine:
        return False
    return bool(header.columns)


def read_csv(path: Path, *, volts_to_charge: Callable[[Floats], Floats] | None = None) -> Recording:
    """Every column with a unit as a series.

    A voltage is no channel of a board; `volts_to_charge` makes the charge ``battery`` (ratio) of the first one where
    the file has no charge itself. Raises BoardError.
    """
    lines = numbered_lines(path)
    first = next(lines, None)
    if first is None:
        raise BoardError(f"{path}: empty")
    try:
        header = _header(first[1])
    except BadLine as error:
        raise BoardError(f"{path}: line {first[0]}: {error}") from error
    rows, damage = Rows(), Damage(path)
    for number, line in lines:
        try:
            rows.add(number, *_parse(line, header))
        except BadLine as error:
            damage.add(number, str(error))
    times_s, columns = rows.in_order(damage)
    damage.require_few(len(times_s))
    return _recording(path, header, times_s, columns, damage, volts_to_charge)


def _recording(
    path: Path,
    header: _Header,
    times_s: Floats,
    columns: dict[str, Floats],
    damage: Damage,
    volts_to_charge: Callable[[Floats], Floats] | None,
) -> Recording:
    began_s = float(times_s[0])
    times_s = times_s - began_s
    notes = damage.notes()
    series: list[Series] = []
    volts: list[tuple[str, Floats, Floats]] = []
    for column in header.columns:
        values = columns.get(column.name, np.empty(0))
        there = np.isfinite(values)
        if not there.any():
            continue
        shared = there.all()
        at_s, values = (times_s, values) if shared else (times_s[there], values[there])
        if column.quantity is None:
            volts.append((column.name, at_s, values))
        else:
            series.append(Series(column.name, column.quantity, at_s, values))
    for name, at_s, values in volts:
        if volts_to_charge is None or any(each.name == "battery" for each in series):
            notes[name] = "a voltage, which no channel shows; cells=N makes the charge of it"
        else:
            series.append(Series("battery", Quantity.RATIO, at_s, volts_to_charge(values)))
            notes["battery"] = f"the charge is a guess from {name}"
    if header.unused:
        notes["columns not used"] = ", ".join(header.unused) + " (their names end in no known unit)"
    if not series:
        known = "; ".join(f"{name}: {note}" for name, note in notes.items())
        raise BoardError(f"{path}: nothing to replay in it{f' ({known})' if known else ''}")
    energy = _whole(series, notes)
    included = (energy,) if energy is not None else ()
    return Recording(str(path), "CSV", tuple(series), energy, included, began_s if header.absolute else None, notes)


def _whole(series: list[Series], notes: dict[str, str]) -> str | None:
    powers = [each.name for each in series if each.quantity is Quantity.POWER]
    if len(powers) == 1:
        return powers[0]
    for name in _WHOLE:
        if name in powers:
            return name
    notes["energy"] = (
        f"unavailable: of {', '.join(powers)} nobody says which one is all of the board; give total=NAME"
        if powers
        else "unavailable: no column in watts"
    )
    return None


def _header(line: str) -> _Header:
    names = [name.strip() for name in _fields(line)]
    lower = [name.lower() for name in names]
    if "time_s" in lower:
        time_place, read_time, absolute = lower.index("time_s"), _plain_s, False
    else:
        time_place = next((place for place, name in enumerate(lower) if name in _ISO_NAMES), -1)
        read_time, absolute = _stamp_s, True
    if time_place < 0:
        raise BadLine(f"no column time_s or time in the header: {line[:80]!r}")
    columns: dict[str, _Column] = {}
    unused = []
    for place, name in enumerate(names):
        column = None if place == time_place else _column(place, name)
        if column is not None and column.name not in columns:
            columns[column.name] = column
        elif place != time_place:
            unused.append(name)
    return _Header(time_place, read_time, absolute, tuple(columns.values()), tuple(unused))


def _column(place: int, name: str) -> _Column | None:
    if name.lower().split()[-1:] == ["vbatt"]:  # GoPi5Go's logs: "Adjusted vBatt"
        return _Column(place, "battery voltage", None, 1.0)
    stem, underscore, unit = name.rpartition("_")
    known = _UNITS.get(unit.lower())
    if not underscore or not stem or known is None:
        return None
    quantity, factor = known
    if quantity is Quantity.ENERGY:
        stem = name  # the well-known name battery_energy_j carries its unit
    return _Column(place, stem, quantity, factor)


def _parse(line: str, header: _Header) -> tuple[float, dict[str, float]]:
    fields = line.split(",") if '"' not in line else _fields(line)
    if len(fields) <= header.time_place:
        raise BadLine(f"too few fields: {line[:40]!r}")
    time_s = header.read_time(fields[header.time_place].strip())
    values = {}
    for column in header.columns:
        value = column.read(fields[column.place]) if column.place < len(fields) else None
        if value is not None:
            values[column.name] = value
    if not values:
        raise BadLine(f"no value in it: {line[:40]!r}")
    return time_s, values


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    except (csv.Error, StopIteration) as error:
        raise BadLine(f"no CSV: {line[:40]!r}") from error


def _plain_s(text: str) -> float:
    try:
        time_s = float(text)
    except ValueError:
        raise BadLine(f"the time is no number: {text[:40]!r}") from None
    if not abs(time_s) < 1e11:
        raise BadLine(f"implausible time: {text[:40]!r}")
    return time_s


def _stamp_s(text: str) -> float:
    try:
        return iso_s(text)
    except BadLine:
        return month_first_s(text)
