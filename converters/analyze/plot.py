"""Shares of multiply-accumulates, bytes, time and modelled energy side by side, as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters.analyze.accelerator import METHOD, Accelerator
from converters.analyze.layers import Breakdown
from converters.analyze.report import groups
from converters.errors import ConvertError
from edge.errors import UsageError

_COLOURS = {
    "multiply-accumulates": "#3b6ea8",
    "bytes moved": "#9aa5b1",
    "time": "#d1603d",
    f"energy ({METHOD})": "#5f9e6e",
}

_KINDS = {
    "convolution": "#e8a33d",
    "linear map": "#3b6ea8",
    "attention product": "#b8457a",
    "depthwise convolution": "#5f9e6e",
}


def draw(breakdowns: Sequence[Breakdown], machine: Accelerator | None, file: Path) -> None:
    """Write the page. Raises UsageError without plotly, ConvertError when it cannot be written."""
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError as error:
        raise UsageError("the plot needs plotly: pip install 'joulepath[report]'") from error
    figure = make_subplots(
        rows=len(breakdowns),
        cols=2,
        column_widths=[0.68, 0.32],
        horizontal_spacing=0.09,
        vertical_spacing=0.24,
        subplot_titles=[t for b in breakdowns for t in (f"{b.title}: share by part", "each layer: time against MACs")],
    )
    for row, found in enumerate(breakdowns, start=1):
        parts = list(groups(found, machine))
        for place, name in enumerate(_COLOURS, start=1):
            shares = [part[place] for part in parts]
            if None not in shares:
                bars: dict[str, Any] = {"x": [part[0] for part in parts], "y": [100 * float(s or 0) for s in shares]}
                figure.add_trace(
                    go.Bar(name=name, legendgroup=name, showlegend=row == 1, marker_color=_COLOURS[name], **bars),
                    row,
                    1,
                )
        _scatter(figure, go, found, row)
        figure.update_xaxes(tickangle=-60, row=row, col=1)
        figure.update_yaxes(title_text="% of the network", row=row, col=1)
        figure.update_xaxes(title_text="multiply-accumulates", type="log", row=row, col=2)
        figure.update_yaxes(title_text="ms", type="log", row=row, col=2)
    figure.update_layout(
        height=620 * len(breakdowns), template="plotly_white", barmode="group", legend={"orientation": "h", "y": 1.06}
    )
    try:
        file.write_text(figure.to_html(include_plotlyjs=True, full_html=True), encoding="utf-8")
    except OSError as error:
        raise ConvertError(f"{file}: the plot cannot be written ({error.strerror})") from error


def _scatter(figure: Any, go: Any, found: Breakdown, row: int) -> None:
    kinds = dict.fromkeys(layer.kind for layer in found.layers if layer.macs and layer.median_ms)
    for kind in kinds:
        layers = [layer for layer in found.layers if layer.kind == kind]
        figure.add_trace(
            go.Scatter(
                name=kind,
                legendgroup=kind,
                marker_color=_KINDS.get(kind),
                showlegend=row == 1,
                mode="markers",
                x=[layer.macs for layer in layers],
                y=[layer.median_ms for layer in layers],
                text=[layer.name for layer in layers],
                hovertemplate="%{text}<br>%{x:.3s} MACs<br>%{y:.3f} ms",
            ),
            row,
            2,
        )
