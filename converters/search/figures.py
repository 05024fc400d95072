"""The report's two charts in plain dictionaries; the page adds colours of text and grid, light or dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from converters.search.contract import Measured
from converters.search.identity import describe
from converters.search.pareto import frontier

if TYPE_CHECKING:
    from converters.search.job import Found

Json = dict[str, Any]
BLUE, ORANGE, GREEN, GREY, RED = "#2B8CD6", "#E69F00", "#009E73", "#9aa0a8", "#D55E00"
_HEIGHT_PX = 470


def searched(found: Found) -> Json:
    """All evaluated paths on the search set: the frontier, what slimming took, what was tried, the budgets."""
    measured = found.measured
    kept = frontier(measured).kept
    taken = {found.full.path.name, *(step.measured.path.name for step in found.steps)}
    others = [each for each in measured if each.path.name not in taken]
    metric = "agreement with the full path (mIoU, %)" if found.agreement else "mIoU on the search set (%)"
    traces = [
        _points(found, others, "evaluated", GREY, 6, 0.65),
        {
            **_points(found, kept, "frontier", BLUE, 9),
            "mode": "lines+markers",
            "line": {"color": BLUE, "width": 2, "shape": "linear"},
        },
        {
            **_points(found, [found.full, *(step.measured for step in found.steps)], "slimming, cut by cut", ORANGE, 5),
            "mode": "lines+markers",
            "line": {"color": ORANGE, "width": 1.2, "dash": "dot"},
        },
    ]
    shapes = [
        {
            "type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "x0": met.budget.latency_ms,
            "x1": met.budget.latency_ms, "line": {"color": RED if met.reason else GREEN, "width": 1, "dash": "dash"},
        }
        for met in found.met
    ]  # fmt: skip
    marks = [
        {
            "text": escape(met.budget.asked), "xref": "x", "yref": "paper", "x": met.budget.latency_ms, "y": 1,
            "xanchor": "left", "yanchor": "top", "showarrow": False, "font": {"size": 11}, "textangle": -90,
        }
        for met in found.met
    ]  # fmt: skip
    return {
        "id": "searched",
        "data": traces,
        "layout": _layout(f"latency ({found.full.latency_kind}, ms)", metric, shapes, marks),
        "height_px": _HEIGHT_PX,
    }


def reported(found: Found) -> Json:
    """The chosen paths on the reported set, each with the interval of its mIoU."""
    finals = found.finals.kept
    kind = finals[-1].latency_kind
    trace: Json = {
        "type": "scatter",
        "mode": "lines+markers+text",
        "name": "paths",
        "x": [_short(each.latency_ms) for each in finals],
        "y": [_short(100 * each.accuracy) for each in finals],
        "text": [escape(each.path.name) for each in finals],
        "textposition": "bottom right",
        "customdata": [
            [escape(describe(each.path, found.full.path)), _short(finals[0].latency_ms / each.latency_ms)]
            for each in finals
        ],
        "hovertemplate": "%{text}: %{y:.1f} % at %{x:.1f} ms, %{customdata[1]:.2f}x<br>%{customdata[0]}<extra></extra>",
        "line": {"color": BLUE, "width": 2},
        "marker": {"size": 9, "color": BLUE},
    }
    scores = [each.score for each in finals]
    if all(score is not None for score in scores):
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [_short(100 * (s.confidence_interval[1] - s.miou)) for s in scores if s is not None],
            "arrayminus": [_short(100 * (s.miou - s.confidence_interval[0])) for s in scores if s is not None],
            "color": BLUE,
            "thickness": 1,
        }
    where = found.finals.dataset or "the search set"
    layout = _layout(f"latency ({kind}, ms)", f"mIoU on {where} (%)", [], [])
    layout["showlegend"] = False
    return {"id": "reported", "data": [trace], "layout": layout, "height_px": _HEIGHT_PX}


def _points(found: Found, measured: Any, name: str, colour: str, size: int, opacity: float = 1.0) -> Json:
    points: list[Measured] = list(measured)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [_short(each.latency_ms) for each in points],
        "y": [_short(100 * each.accuracy) for each in points],
        "text": [f"{escape(each.path.name)}: {escape(describe(each.path, found.full.path))}" for each in points],
        "hovertemplate": "%{y:.1f} % at %{x:.1f} ms<br>%{text}<extra></extra>",
        "marker": {"color": colour, "size": size, "opacity": opacity},
    }


def _layout(x: str, y: str, shapes: list[Json], marks: list[Json]) -> Json:
    return {
        "margin": {"l": 64, "r": 20, "t": 36, "b": 52},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {"title": {"text": x}, "zeroline": False, "rangemode": "tozero"},
        "yaxis": {"title": {"text": y}, "zeroline": False},
        "shapes": shapes,
        "annotations": marks,
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")
