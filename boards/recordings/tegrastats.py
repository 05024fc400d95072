"""Lines of NVIDIA's tegrastats, of JetPack 4 and of JetPack 5 and later.

    RAM 896/7859MB (lfb 26x4MB) ... GR3D_FREQ 0% ... MCPU@34.5C ... VDD_IN 1840/1840 VDD_SYS_CPU 306/306
    11-20-2026 12:00:01 RAM 3213/30697MB ... GR3D_FREQ 0%@[114] ... CPU@47.5C ... VDD_GPU_SOC 3150mW/2971mW

Of each rail the first number counts, the present power in mW; the second is tegrastats' own running mean. Older
versions print no time: there a line is one `interval_s` after the one before.
"""

from __future__ import annotations

import re
from array import array
from pathlib import Path

import numpy as np

from boards.board import Quantity
from boards.recording import PLAUSIBLE, Floats, Recording, Series, summed
from boards.recordings.lines import BadLine, Damage, Rows, month_first_s, numbered_lines
from boards.sensor import BoardError

# The first of these sets that is there makes the whole; `boards.jetson` sums the same, and says why these.
TOTALS: tuple[tuple[str, ...], ...] = (
    ("VIN",),
    ("VDD_IN",),
    ("POM_5V_IN",),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
)
SUM = "rails-total"

_MEMORY = re.compile(r"\bRAM (\d{1,9})/(\d{1,9})MB")
_STAMP = re.compile(r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d(?= )")
_RAIL = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]{1,30}) (\d{1,7})(?:mW)?/\d{1,7}(?:mW)?(?!\S)")
_HEAT = re.compile(r"(?<!\S)([A-Za-z][A-Za-z0-9_.-]{0,30})@(-?\d{1,3}(?:\.\d{1,4})?)C(?!\S)")
_CORES = re.compile(r"\bCPU \[([^\]]{1,400})\]")
_CORE = re.compile(r"(\d{1,3})%(?:@\d+)?")
_GPU = re.compile(r"\bGR3D_FREQ (\d{1,3})%")
_RAILS_TOO = frozenset({"GPU", "CPU", "SOC", "CV"})  # names that a rail bears as well
_PROCESSOR_FIRST = ("cpu", "mcpu", "bcpu", "ao", "tj", "soc", "gpu", "thermal")


def looks_like_tegrastats(line: str) -> bool:
    """Whether a line is one of tegrastats."""
    return _MEMORY.search(line) is not None


def read_tegrastats(path: Path, interval_s: float | None = None) -> Recording:
    """Rails, temperatures (the processor's first), load of processor, GPU and memory. Raises BoardError.

    `interval_s` is the time between two lines; None: their own time stamps, or 1 s where they have none.
    """
    if interval_s is not None and not 0.001 <= interval_s <= 86_400:
        raise BoardError(f"replay board: interval must be from 0.001 s to a day, not {interval_s:g}")
    rows, damage = Rows(), Damage(path)
    kinds: dict[str, Quantity] = {}
    stamped = 0
    for number, line in numbered_lines(path):
        try:
            stamp_s, values = _parse(line, kinds)
            rows.add(number, np.nan if stamp_s is None else stamp_s, values)
        except BadLine as error:
            damage.add(number, str(error))
            continue
        stamped += stamp_s is not None
    damage.require_few(len(rows))
    by_stamp = interval_s is None and stamped > 0
    times_s = _spread(rows, damage) if by_stamp else np.arange(len(rows)) * (interval_s or 1.0)
    rows.times = array("d", times_s.tobytes())
    return _recording(path, rows, damage, kinds, by_stamp=by_stamp)


def _recording(path: Path, rows: Rows, damage: Damage, kinds: dict[str, Quantity], *, by_stamp: bool) -> Recording:
    times_s, columns = rows.in_order(damage)
    good = np.isfinite(times_s)
    times_s, columns = times_s[good], {name: column[good] for name, column in columns.items()}
    damage.require_few(len(times_s))
    began_s, times_s = float(times_s[0]), times_s - times_s[0]
    series = [Series(n, kinds[n], *_present(times_s, columns[n])) for n in columns if np.isfinite(columns[n]).any()]
    series.sort(key=_heat_order)
    notes = damage.notes()
    energy, included, total = _total(series)
    if total is not None:
        series.insert(0, total)
    if energy is None:
        notes["energy"] = "unavailable: neither a total rail nor all rails of a module known to have none"
    kind = "tegrastats" if by_stamp else "tegrastats without time stamps"
    return Recording(str(path), kind, tuple(series), energy, included, began_s if by_stamp else None, notes)


def _present(times_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    there = np.isfinite(values)
    return (times_s, values) if there.all() else (times_s[there], values[there])


def _total(series: list[Series]) -> tuple[str | None, tuple[str, ...], Series | None]:
    rails = {each.name: each for each in series if each.quantity is Quantity.POWER}
    names = next((names for names in TOTALS if rails.keys() >= set(names)), ())
    if len(names) <= 1:
        return (names[0], names, None) if names else (None, (), None)
    total = summed(SUM, [rails[name] for name in names])
    return (SUM, names, total) if total is not None else (None, (), None)


def _parse(line: str, kinds: dict[str, Quantity]) -> tuple[float | None, dict[str, float]]:
    memory = _MEMORY.search(line)
    if memory is None:
        raise BadLine(f"not a line of tegrastats: {line[:40]!r}")
    found: list[tuple[str, Quantity, float]] = []
    if int(memory[2]) > 0:
        found.append(("ram", Quantity.RATIO, int(memory[1]) / int(memory[2])))
    cores = _CORES.search(line)
    loads = [int(share) for share in _CORE.findall(cores[1])] if cores else []
    if loads:
        found.append(("load", Quantity.RATIO, sum(loads) / len(loads) / 100))
    gpu = _GPU.search(line)
    if gpu:
        found.append(("gpu-load", Quantity.RATIO, int(gpu[1]) / 100))
    for name, text in _HEAT.findall(line):
        # A sensor that is switched off says -256, and the PMIC's place holder a constant 100.
        if not (name.upper() == "PMIC" and float(text) == 100.0):
            found.append((f"{name}-thermal" if name in _RAILS_TOO else name, Quantity.TEMPERATURE, float(text)))
    found += [(name, Quantity.POWER, int(milliwatts) / 1000) for name, milliwatts in _RAIL.findall(line)]
    values: dict[str, float] = {}
    for name, quantity, value in found:
        low, high = PLAUSIBLE[quantity]
        if low <= value <= high and kinds.setdefault(name, quantity) is quantity:
            values[name] = value
    if not values:
        raise BadLine(f"no value in it: {line[:40]!r}")
    stamp = _STAMP.match(line)
    return (month_first_s(stamp[0]) if stamp else None), values


def _spread(rows: Rows, damage: Damage) -> Floats:
    """Stamps, lines of one second spread evenly over it: tegrastats stamps whole seconds, however fast it prints."""
    stamps = np.array(rows.times)
    missing = np.isnan(stamps)
    for index in np.flatnonzero(missing):
        damage.add(rows.numbers[int(index)], "no time stamp, where the others have one")
    starts = np.flatnonzero(np.append(True, np.diff(stamps) != 0))  # NaN differs from all
    counts = np.diff(np.append(starts, len(stamps)))
    places = np.arange(len(stamps)) - np.repeat(starts, counts)
    return np.asarray(stamps + places / np.repeat(counts, counts), dtype=np.float64)


def _heat_order(series: Series) -> tuple[int, int]:
    """Total rails, other rails, temperatures with the processor's first, then the rest; else as they came."""
    if series.quantity is Quantity.POWER:
        return (0, 0 if (series.name,) in TOTALS else 1)
    if series.quantity is Quantity.TEMPERATURE:
        name = series.name.lower()
        near = (i for i, first in enumerate(_PROCESSOR_FIRST) if name.startswith(first))
        return (1, next(near, len(_PROCESSOR_FIRST)))
    return (2, 0)
