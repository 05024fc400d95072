"""A run as one Plotly figure, in plain dictionaries: rows that share the time axis, one idea a row.

Colours of text, grid and background are left to the page, which knows whether it is light or dark.
"""

from __future__ import annotations

from boards.board import Quantity
from edge.report.collect import RunData, Sampled
from edge.report.foretold_rows import foretold_rows
from edge.report.traces import PALETTE, Json, Row, TimeAxis, lines, named, numbers, rounded, text_of

STRIP_PX = 96
_STRIP_LINE_PX = 22  # what a variant's name needs: with less, every second one is left out
_MOST_MARKED_SWITCHES = 1000
_MOST_NAMED = 4  # more names do not fit above a narrow chart, and the first row has them in the same colours
_GAP_PX = 34
_MARGIN_PX = {"l": 130, "r": 24, "t": 12, "b": 56}


def figure(data: RunData) -> Json:
    """`data`, `layout` and `height_px` for the page's script."""
    time = TimeAxis.over(data.span_s)
    colours = {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(data.variants)}
    rows = [row for row in _rows(data, time, colours) if row.traces]
    height_px = sum(row.height_px for row in rows) + _GAP_PX * (len(rows) - 1)
    layout: Json = {
        "margin": _MARGIN_PX,
        "showlegend": False,
        "hovermode": "closest",
        "shapes": _bands(data, time, colours) + _switch_lines(data, time),
        "annotations": [],
        "xaxis": {
            "title": {"text": f"time since the run's start ({time.unit})"},
            "range": [0, data.span_s / time.seconds],
            "anchor": f"y{len(rows)}" if len(rows) > 1 else "y",
            "zeroline": False,
        },
    }
    traces: list[Json] = []
    top = 1.0
    for place, row in enumerate(rows, start=1):
        share = row.height_px / height_px
        name = "" if place == 1 else str(place)
        layout[f"yaxis{name}"] = {
            "title": {"text": row.title},
            "domain": [max(0.0, top - share), top],
            "anchor": "x",
            "zeroline": False,
            **(row.axis or {}),
        }
        traces += [{**trace, "xaxis": "x", "yaxis": f"y{name}"} for trace in row.traces]
        layout["annotations"] += _legend(row, top)
        top -= share + _GAP_PX / height_px
    return {"data": traces, "layout": layout, "height_px": height_px + _MARGIN_PX["t"] + _MARGIN_PX["b"]}


def _rows(data: RunData, time: TimeAxis, colours: dict[str, str]) -> list[Row]:
    of = {quantity: [each for each in data.channels if each.quantity is quantity] for quantity in Quantity}
    battery = [each for each in of[Quantity.RATIO] if each.name == "battery"]
    load = [each for each in of[Quantity.RATIO] if each.name != "battery"]
    methods = ", ".join(data.summary.energy_j) or "unavailable"
    power = _channels(of[Quantity.POWER], time, "W")
    if not power:
        power = lines(data.power_w, time, f"frames' mean power, {methods}", PALETTE[0], "W")
    return [
        Row(
            "",
            _strip(data, time, colours),
            max(STRIP_PX, _STRIP_LINE_PX * len(data.variants)),
            {"type": "category", "autorange": "reversed", "dtick": 1},
        ),
        Row("power (W)", power, axis={"rangemode": "tozero"}),
        Row("temperature (°C)", _channels(of[Quantity.TEMPERATURE], time, "°C")),
        Row("battery (%)", _channels(battery, time, "%", 100.0), axis={"rangemode": "tozero"}),
        Row("load (%)", _channels(load, time, "%", 100.0), axis={"rangemode": "tozero"}),
        Row(f"energy a frame<br>(J, {methods})", _energy(data, time, colours), axis={"rangemode": "tozero"}),
        Row("accuracy<br>(mIoU of a frame, %)", lines(data.miou, time, "mIoU", PALETTE[2], "%", 100.0)),
        Row(
            "time (ms)",
            lines(data.age_ms, time, "frame age, capture to result", PALETTE[4], "ms")
            + lines(data.infer_ms, time, "inference", PALETTE[0], "ms"),
            axis={"rangemode": "tozero"},
        ),
        *foretold_rows(data.foretold, data.span_s, time),
    ]


def _strip(data: RunData, time: TimeAxis, colours: dict[str, str]) -> list[Json]:
    """A bar for each stretch of a variant, and a mark with its reason on each switch."""
    traces: list[Json] = []
    for name in data.variants:
        of_it = [stretch for stretch in data.stretches if stretch.variant == name]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": [name] * len(of_it),
                "base": [rounded(stretch.start_s / time.seconds) for stretch in of_it],
                "x": [rounded((stretch.end_s - stretch.start_s) / time.seconds) for stretch in of_it],
                "marker": {"color": colours[name]},
                "width": 0.7,
                "hovertemplate": f"{text_of(name)}<br>from %{{base}} {time.unit}<extra></extra>",
                "legend_mark": False,
            }
        )
    switches = data.summary.switches[-_MOST_MARKED_SWITCHES:]
    if switches and traces:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "switch",
                "x": [rounded(switch.at_s / time.seconds) for switch in switches],
                "y": [switch.after for switch in switches],
                "text": [
                    f"{text_of(s.before or 'start')} → {text_of(s.after)}<br>{text_of(s.reason)}" for s in switches
                ],
                "hovertemplate": f"%{{x}} {time.unit}<br>%{{text}}<extra></extra>",
                "marker": {
                    "symbol": "diamond",
                    "size": 10,
                    "color": "#ffffff",
                    "line": {"width": 2, "color": "#222222"},
                },
                "legend_mark": False,
            }
        )
    return traces


def _channels(channels: list[Sampled], time: TimeAxis, unit: str, scale: float = 1.0) -> list[Json]:
    traces: list[Json] = []
    for place, channel in enumerate(channels):
        name = f"{channel.name}, {channel.method}" if channel.quantity is Quantity.POWER else channel.name
        traces += lines(channel.series, time, name, PALETTE[place % len(PALETTE)], unit, scale)
    return traces


def _energy(data: RunData, time: TimeAxis, colours: dict[str, str]) -> list[Json]:
    traces: list[Json] = []
    for name, series in data.energy_j.items():
        if series.low is not None:
            traces += lines(series, time, name, colours[name], "J", gaps=True)
            continue
        traces.append(
            {
                "type": "scattergl" if len(series.times_s) > 20_000 else "scatter",
                "mode": "markers",
                "marker": {"size": 4, "color": colours[name]},
                **named(name, colours[name], time, "J"),
                "x": numbers(series.times_s / time.seconds),
                "y": numbers(series.means),
            }
        )
    if len(data.energy_j) > _MOST_NAMED:
        traces = [{**trace, "legend_mark": False} for trace in traces]
    return traces


def _legend(row: Row, top: float) -> list[Json]:
    """The names of a row's traces above its right end: each row explains itself."""
    marked = [(trace.pop("legend_mark"), trace.get("name", "")) for trace in row.traces]
    entries = [f'<span style="color:{colour}">■</span> {text_of(name)}' for colour, name in marked if colour]
    if not entries:
        return []
    return [
        {
            "text": "   ".join(entries),
            "xref": "paper",
            "yref": "paper",
            "x": 1,
            "y": top,
            "xanchor": "right",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 12},
        }
    ]


def _bands(data: RunData, time: TimeAxis, colours: dict[str, str]) -> list[Json]:
    return [
        {
            "type": "rect",
            "layer": "below",
            "xref": "x",
            "yref": "paper",
            "x0": rounded(stretch.start_s / time.seconds),
            "x1": rounded(stretch.end_s / time.seconds),
            "y0": 0,
            "y1": 1,
            "fillcolor": colours[stretch.variant],
            "opacity": 0.10,
            "line": {"width": 0},
        }
        for stretch in data.stretches
    ]


def _switch_lines(data: RunData, time: TimeAxis) -> list[Json]:
    if len(data.summary.switches) > len(data.stretches) + 50:
        return []
    return [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": rounded(switch.at_s / time.seconds),
            "x1": rounded(switch.at_s / time.seconds),
            "y0": 0,
            "y1": 1,
            "line": {"width": 1, "dash": "dot", "color": "#888888"},
        }
        for switch in data.summary.switches
        if switch.before is not None
    ]
