"""Foretold against measured as rows of the figure."""

from __future__ import annotations

import numpy as np

from edge.report.foretold import ENERGY, TEMPERATURE, Compared, Foretold
from edge.report.series import MOST_POINTS, Floats, Gathered
from edge.report.traces import PALETTE, Json, Row, TimeAxis, lines, named, numbers

_MOST_STEPS = MOST_POINTS // 3  # a step is two points and a gap
_MOST_DOTS = 100  # with more, the line alone shows where they lie
_CAME = PALETTE[0]
_FORETOLD = PALETTE[1]


def foretold_rows(foretold: Foretold, span_s: float, time: TimeAxis) -> list[Row]:
    """A row for each quantity that can be compared."""
    return [_row(compared, span_s, time) for compared in foretold.compared]


def _row(compared: Compared, span_s: float, time: TimeAxis) -> Row:
    of, axis = f"{compared.what} ({compared.unit})", {"rangemode": "tozero"}
    came, told = "came (mean of the frames)", "foretold and came"
    if compared.what == ENERGY:
        of = f"{compared.what}<br>({compared.unit}, {compared.method})"
    elif compared.what == TEMPERATURE:
        came, told, axis = "came", "foretold a minute before", {}
    traces = [
        *_drawn(compared, compared.came, span_s, time, came, _CAME, 5.0),
        # Last, so that it lies on top: where the two agree, the thin one shows on the thick one.
        *_drawn(compared, compared.foretold, span_s, time, "foretold", _FORETOLD, 1.8),
    ]
    return Row(f"{of},<br>{told}", traces, axis=axis)


def _drawn(
    compared: Compared, values: Floats, span_s: float, time: TimeAxis, name: str, colour: str, width: float
) -> list[Json]:
    """A level from the first to the last frame of each decision; a line of means for instants, and where decisions are
    too many."""
    if compared.what == TEMPERATURE or len(values) > _MOST_STEPS:
        gathered = Gathered(span_s, len(values), MOST_POINTS)
        gathered.add((compared.start_s + compared.end_s) / 2, values)
        drawn = lines(gathered.series(), time, name, colour, compared.unit, gaps=True)
        if len(values) <= _MOST_DOTS:
            drawn[-1] |= {"mode": "lines+markers", "marker": {"size": 3 + width, "color": colour}}
        return drawn
    nothing = np.full(len(values), np.nan)
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "line": {"width": width, "color": colour},
            **named(name, colour, time, compared.unit),
            "x": numbers(np.column_stack([compared.start_s, compared.end_s, nothing]).ravel() / time.seconds),
            "y": numbers(np.column_stack([values, values, nothing]).ravel()),
        }
    ]
