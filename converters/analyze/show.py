"""Tables on the terminal."""

from __future__ import annotations

from typing import Any

from edge.bench.record import Cell, Table


def show_table(table: Table) -> None:
    """Print one table; text to the left, figures to the right."""
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # a file or a pipe has no width: do not break cells for it
    drawn = RichTable(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        drawn.add_column(column, justify="left" if number == 0 else "right")
    for row in table.rows:
        drawn.add_row(*[_cell(cell) for cell in row])
    console.print(drawn)


def show_points(headline: dict[str, Any]) -> None:
    """The headline networks, modelled."""
    for name, title in (("segformer_b2", "SegFormer-B2, 512x512, 150 classes"), ("ofa_resnet50", "OFA ResNet-50")):
        rows = tuple(
            (
                point["name"],
                f"{point['macs'] / 1e9:.2f}",
                sum(value for key, value in point["energy"].items() if key.endswith("_pj")) / 1e9,
                f"{100 * point['saving']:.1f}",
                point["note"],
            )
            for point in headline[name]
        )
        columns = ("network", "G MACs", "mJ (modelled)", "% saved", "")
        show_table(Table(f"{title}: energy on the accelerator, modelled", columns, rows))


def _cell(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3f}" if cell < 10 else f"{cell:.1f}"
    return str(cell)
