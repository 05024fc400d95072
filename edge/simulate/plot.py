"""Runs of several controllers over one another: variant, power, temperature and battery on one axis of time; and what
the oracle would have run and drawn, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.errors import JoulepathError
from edge.simulate.oracle import OraclePlan
from edge.simulate.scenario import Scenario

Trace = Sequence[Mapping[str, float | str]]
_ROWS = (
    ("variant", "variant"), ("power_w", "power, W"), ("chip_c", "temperature, °C"), ("left_wh", "battery, Wh"),
    ("fps", "frames a second"),
)  # fmt: skip


def write_plot(
    out: Path, title: str, scenario: Scenario, traces: Mapping[str, Trace], plan: OraclePlan | None = None
) -> int:
    """Write one HTML page that needs nothing else; returns its bytes. Raises JoulepathError without plotly or when the
    page cannot be written."""
    try:
        from plotly.graph_objects import Figure, Scatter
        from plotly.subplots import make_subplots
    except ImportError as error:
        raise JoulepathError("plots need plotly: pip install 'joulepath[report]', or leave --plot out") from error
    rows = [(column, label) for column, label in _ROWS if _says_something(traces, column)]
    place = {column: number for number, (column, _) in enumerate(rows, 1)}
    drawn: Figure = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=0.03)
    colours = ("#1a6fb5", "#c2571a", "#4b8b3b", "#7b4fa3", "#8a8a8a")
    for number, (name, trace) in enumerate(traces.items()):
        minutes = [float(row["at_s"]) / 60 for row in trace]
        for column, row_number in place.items():
            values = [_value(row, column) for row in trace]
            drawn.add_trace(
                Scatter(
                    x=minutes,
                    y=values,
                    name=name,
                    legendgroup=name,
                    showlegend=row_number == 1,
                    line={"color": colours[number % len(colours)], "shape": "hv", "width": 1.3},
                    text=[str(row["reason"]) for row in trace] if column == "variant" else None,
                ),
                row=row_number,
                col=1,
            )
    if plan is not None:
        _draw_oracle(drawn, scenario, plan)
    for column, label in rows:
        drawn.update_yaxes(title_text=label, row=place[column], col=1)
    ranked = [v.id for v in sorted(scenario.physics.variants, key=lambda v: v.latency_ms)]
    drawn.update_yaxes(categoryorder="array", categoryarray=ranked, row=1, col=1)
    limits = ((scenario.goals.max_power_w, "power_w"), (scenario.goals.max_temperature_c, "chip_c"))
    for limit, column in limits:
        if limit is not None:
            drawn.add_hline(y=limit, line_dash="dot", line_color="#b00020", row=place[column], col=1)
    drawn.update_xaxes(title_text="minutes", row=len(rows), col=1)
    drawn.update_layout(title=title, height=900, template="plotly_white", hovermode="x unified")
    page = str(drawn.to_html(include_plotlyjs=True)).encode()
    try:
        out.write_bytes(page)
    except OSError as error:
        raise JoulepathError(f"{out} cannot be written: {error.strerror or error}") from error
    return len(page)


def _says_something(traces: Mapping[str, Trace], column: str) -> bool:
    """A board without a battery, and a rate that never changes, need no row of their own."""
    values = {_value(row, column) for trace in traces.values() for row in trace}
    return values != {None} and (column != "fps" or len(values) > 1)


def _value(row: Mapping[str, float | str], column: str) -> float | str | None:
    if column != "left_wh":
        return row[column]
    left_j = float(row["left_j"])
    return None if left_j == float("inf") else left_j / 3600


def _draw_oracle(drawn: Any, scenario: Scenario, plan: OraclePlan) -> None:
    """The variant that has most of an epoch, with all shares to be read by hovering, and the epoch's mean power."""
    from plotly.graph_objects import Scatter

    ids = [variant.id for variant in scenario.physics.variants]
    minutes = [k * plan.epoch_s / 60 for k in range(len(plan.shares))]
    most = [ids[max(range(len(ids)), key=row.__getitem__)] if sum(row) > 0.01 else None for row in plan.shares]
    told = [
        ", ".join(f"{name} {100 * share:.0f} %" for name, share in zip(ids, row, strict=True) if share > 0.005)
        for row in plan.shares
    ]
    for number, values in enumerate((most, plan.watts), 1):
        line = {"color": "#555555", "dash": "dot", "shape": "hv", "width": 1.6}
        shown = Scatter(
            x=minutes, y=values, name="oracle", legendgroup="oracle", showlegend=number == 1, line=line,
            text=told if number == 1 else None,
        )  # fmt: skip
        drawn.add_trace(shown, row=number, col=1)
