"""Runs of several controllers over one another: variant, power, temperature and battery on one axis of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.errors import JoulepathError
from edge.simulate.scenario import Scenario

Trace = Sequence[Mapping[str, float | str]]
_ROWS = (
    ("variant", "variant"), ("power_w", "power, W"), ("chip_c", "temperature, °C"), ("left_wh", "battery, Wh"),
    ("fps", "frames a second"),
)  # fmt: skip


def write_plot(out: Path, title: str, scenario: Scenario, traces: Mapping[str, Trace]) -> int:
    """Write one HTML page that needs nothing else; returns its bytes. Raises JoulepathError without plotly or when the
    page cannot be written."""
    try:
        from plotly.graph_objects import Figure, Scatter
        from plotly.subplots import make_subplots
    except ImportError as error:
        raise JoulepathError("plots need plotly: pip install 'joulepath[report]', or leave --plot out") from error
    drawn: Figure = make_subplots(rows=len(_ROWS), cols=1, shared_xaxes=True, vertical_spacing=0.03)
    colours = ("#1a6fb5", "#c2571a", "#4b8b3b", "#7b4fa3", "#8a8a8a")
    for number, (name, trace) in enumerate(traces.items()):
        minutes = [float(row["at_s"]) / 60 for row in trace]
        for row_number, (column, _) in enumerate(_ROWS, 1):
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
    for number, (_, label) in enumerate(_ROWS, 1):
        drawn.update_yaxes(title_text=label, row=number, col=1)
    ranked = [v.id for v in sorted(scenario.physics.variants, key=lambda v: v.latency_ms)]
    drawn.update_yaxes(categoryorder="array", categoryarray=ranked, row=1, col=1)
    limits = ((scenario.goals.max_power_w, 2), (scenario.goals.max_temperature_c, 3))
    for limit, number in limits:
        if limit is not None:
            drawn.add_hline(y=limit, line_dash="dot", line_color="#b00020", row=number, col=1)
    drawn.update_xaxes(title_text="minutes", row=len(_ROWS), col=1)
    drawn.update_layout(title=title, height=900, template="plotly_white", hovermode="x unified")
    page = str(drawn.to_html(include_plotlyjs=True)).encode()
    try:
        out.write_bytes(page)
    except OSError as error:
        raise JoulepathError(f"{out} cannot be written: {error.strerror or error}") from error
    return len(page)


def _value(row: Mapping[str, float | str], column: str) -> float | str | None:
    if column != "left_wh":
        return row[column]
    left_j = float(row["left_j"])
    return None if left_j == float("inf") else left_j / 3600
