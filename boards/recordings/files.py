"""Which kind of recording a file is, by what stands in it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from boards.recording import Floats, Recording
from boards.recordings.csv_trace import looks_like_csv, read_csv
from boards.recordings.lines import numbered_lines
from boards.recordings.spl import looks_like_spl, read_spl
from boards.recordings.tegrastats import looks_like_tegrastats, read_tegrastats
from boards.sensor import BoardError

_LINES_LOOKED_AT = 20
# Open-circuit voltage of a lithium-ion cell with a graphite anode by charge, at 25 °C: the usual shape; a cell under
# load lies lower, an old one elsewhere.
_CELL_VOLTS = (3.00, 3.45, 3.59, 3.65, 3.71, 3.76, 3.82, 3.90, 3.98, 4.07, 4.20)


def read_recording(path: Path, *, interval_s: float | None = None, cells: int | None = None) -> Recording:
    """The recording in a text file: MLPerf's ``spl.txt``, tegrastats, or a CSV with units in its header.

    `interval_s` is the time between lines of tegrastats without stamps; `cells`, the cells of a lithium-ion pack in
    series, makes the charge of a voltage. Raises BoardError, naming the kinds that are known.
    """
    head = [line for _, line in islice(numbered_lines(path), _LINES_LOOKED_AT)]
    if any(map(looks_like_spl, head)):
        return read_spl(path)
    if any(map(looks_like_tegrastats, head)):
        return read_tegrastats(path, interval_s)
    if head and looks_like_csv(head[0]):
        return read_csv(path, volts_to_charge=None if cells is None else _charge_of(cells))
    raise BoardError(
        f"{path}: no recording that is known; known are spl.txt of MLPerf Power, tegrastats, a journal of Joulepath, "
        "and CSV with a header such as time_s,power_w,temperature_c,battery_ratio"
    )


def _charge_of(cells: int) -> Callable[[Floats], Floats]:
    if not 1 <= cells <= 100:
        raise BoardError(f"replay board: cells must be from 1 to 100, not {cells}")

    def charge(volts: Floats) -> Floats:
        return np.interp(volts / cells, _CELL_VOLTS, np.linspace(0.0, 1.0, len(_CELL_VOLTS)))

    return charge
