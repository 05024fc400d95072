"""``spl.txt`` of MLPerf Power: a wall meter's watts once a second, as SPEC PTDaemon writes them.

Time,03-03-2021 00:53:31.184,Watts,2.960000,Volts,249.110000,Amps,0.029200,PF,0.407400,Mark,...
"""

from __future__ import annotations

import math
from pathlib import Path

from boards.board import Quantity
from boards.recording import PLAUSIBLE, Recording, Series
from boards.recordings.lines import BadLine, Damage, Rows, month_first_s, numbered_lines

WALL = "wall"


def looks_like_spl(first: str) -> bool:
    """Whether a file's first line is a power log's."""
    return first.startswith("Time,") and ",Watts," in first


def read_spl(path: Path) -> Recording:
    """The watts as the series ``wall``; volts, amperes and the power factor behind the socket say no more of the board.

    Raises BoardError.
    """
    rows, damage = Rows(), Damage(path)
    for number, line in numbered_lines(path):
        try:
            rows.add(number, *_parse(line))
        except BadLine as error:
            damage.add(number, str(error))
    times_s, columns = rows.in_order(damage)
    damage.require_few(len(times_s))
    watts = Series(WALL, Quantity.POWER, times_s - times_s[0], columns[WALL])
    notes = {"power": "at the wall, with the power supply's losses", **damage.notes()}
    return Recording(str(path), "MLPerf power log", (watts,), WALL, (WALL,), float(times_s[0]), notes)


def _parse(line: str) -> tuple[float, dict[str, float]]:
    fields = line.split(",")
    if len(fields) < 4 or fields[0] != "Time" or fields[2] != "Watts":
        raise BadLine(f"not 'Time,...,Watts,...': {line[:40]!r}")
    try:
        watts = float(fields[3])
    except ValueError:
        raise BadLine(f"watts are no number: {fields[3][:40]!r}") from None
    low, high = PLAUSIBLE[Quantity.POWER]
    if not (math.isfinite(watts) and low <= watts <= high):
        raise BadLine(f"implausible watts: {fields[3][:40]!r}")
    return month_first_s(fields[1]), {WALL: watts}
