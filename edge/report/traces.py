"""How points over time become Plotly's traces, in plain dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.report.series import Floats, Series

Json = dict[str, Any]
# After Okabe and Ito, told apart by colour-blind readers; the blue is lighter, so that it reads on black too.
PALETTE = ("#2B8CD6", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C6BB1", "#7F7F7F")
ROW_PX = 210


@dataclass(frozen=True)
class TimeAxis:
    """Seconds, minutes or hours, whichever reads best."""

    unit: str
    seconds: float

    @classmethod
    def over(cls, span_s: float) -> TimeAxis:
        """The axis for a run of that length."""
        for unit, seconds, least_s in (("h", 3600.0, 4 * 3600), ("min", 60.0, 600)):
            if span_s >= least_s:
                return cls(unit, seconds)
        return cls("s", 1.0)


@dataclass
class Row:
    """One chart: its axis title with the unit, and traces without axes."""

    title: str
    traces: list[Json]
    height_px: int = ROW_PX
    axis: Json | None = None


def lines(
    series: Series, time: TimeAxis, name: str, colour: str, unit: str, scale: float = 1.0, gaps: bool = False
) -> list[Json]:
    """A line of means; where points stand for many, a band from least to greatest behind it.

    With `gaps` the line breaks where nothing was seen for a while (a variant that was not running).
    """
    if not series.times_s.size:
        return []
    times = series.times_s / time.seconds
    breaks = _breaks(times) if gaps else np.zeros(0, dtype=np.int64)
    traces: list[Json] = []
    if series.low is not None and series.high is not None:
        outline: Json = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        traces += [
            {**outline, "x": numbers(times, breaks), "y": numbers(series.low * scale, breaks), "legend_mark": False},
            {
                **outline,
                "x": numbers(times, breaks),
                "y": numbers(series.high * scale, breaks),
                "fill": "tonexty",
                "fillcolor": colour + "38",
                "legend_mark": False,
            },
        ]
        if gaps:  # a band filled across a gap would claim frames that were not there
            traces.clear()
            traces += _whiskers(times, series, colour, scale)
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "line": {"width": 1.6, "color": colour},
            **named(name, colour, time, unit),
            "x": numbers(times, breaks),
            "y": numbers(series.means * scale, breaks),
        }
    )
    return traces


def _whiskers(times: Floats, series: Series, colour: str, scale: float) -> list[Json]:
    """A thin upright line from least to greatest at each point."""
    if series.low is None or series.high is None:
        return []
    nothing = np.full(len(times), np.nan)
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "line": {"width": 1, "color": colour + "38"},
            "hoverinfo": "skip",
            "legend_mark": False,
            "x": numbers(np.column_stack([times, times, nothing]).ravel()),
            "y": numbers(np.column_stack([series.low * scale, series.high * scale, nothing]).ravel()),
        }
    ]


def _breaks(times: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    steps = np.diff(times)
    return np.flatnonzero(steps > 3 * np.median(steps)) + 1 if steps.size else np.zeros(0, dtype=np.int64)


def named(name: str, colour: str, time: TimeAxis, unit: str) -> Json:
    return {
        "name": name,
        "legend_mark": colour,
        "hovertemplate": f"%{{x:.4~g}} {time.unit}<br>{text_of(name)}: %{{y:.4~g}} {unit}<extra></extra>",
    }


def numbers(values: Floats, breaks: np.ndarray[Any, np.dtype[np.int64]] | None = None) -> list[float | None]:
    if breaks is not None and breaks.size:
        values = np.insert(values, breaks, np.nan)
    return [rounded(value) if value == value else None for value in values.tolist()]


def rounded(value: float) -> float:
    return float(f"{value:.6g}")


def text_of(text: str) -> str:
    """Plotly reads a little HTML in texts."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
