"""A run's summary as tables for a terminal; every number with its unit."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from edge.journal.summary import RunSummary, Spread, SwitchSummary, VariantSummary

_MOST_EVENTS = 20


def render(summary: RunSummary) -> Group:
    """Head line, table of variants, switches and events of one run."""
    return Group(*_parts(summary))


def _parts(summary: RunSummary) -> Iterator[RenderableType]:
    yield Text(f"Run {summary.run}", style="bold")
    clock = "" if summary.clock_synchronised else " (the clock was not synchronised)"
    yield Text(f"{summary.started_utc}{clock}  {summary.outcome}  board {summary.board}  bundle {summary.bundle}")
    yield Text(
        f"{summary.frames:,} frames in {_seconds(summary.seconds)}, {_number(summary.fps, 2)} fps, "
        f"{summary.skipped:,} skipped{_reused(summary)}"
    )
    for line in _energy(summary):
        yield Text(line)
    if summary.variants:
        yield _variants(summary.variants)
        yield _spreads(summary.variants)
    if summary.switches:
        yield _switches(summary.switches)
    yield from _events(summary)


def _reused(summary: RunSummary) -> str:
    if not summary.reused:
        return ""
    share = summary.reused / summary.frames
    return f"; {summary.reused:,} ({share:.0%}) showed nothing new and were answered with the answer before"


def _energy(summary: RunSummary) -> Iterator[str]:
    for method, joules in summary.energy_j.items():
        most = summary.uncertainty_j[method]
        yield f"{_joules(joules)} {method}, within {_joules(most)} at most"
    if summary.energy_j and summary.rails_included:
        yield f"rails included: {', '.join(summary.rails_included)}"
    if summary.frames_without_energy:
        yield f"{summary.frames_without_energy:,} frames without a known energy: they are in none of the sums"


def _variants(variants: tuple[VariantSummary, ...]) -> Table:
    table = Table(title="Variants", title_justify="left")
    for heading in ("variant", "energy is"):
        table.add_column(heading, overflow="fold")
    for heading in ("frames", "fps", "J", "W", "mIoU %"):
        table.add_column(heading, justify="right")
    for row in variants:
        table.add_row(
            escape(row.variant),
            row.method,
            f"{row.frames:,}",
            _number(row.fps, 2),
            "unknown" if row.energy_j is None else f"{row.energy_j:,.2f}",
            _number(row.power_w, 2),
            "" if row.miou is None else f"{row.miou * 100:.1f}",
        )
    return table


def _spreads(variants: tuple[VariantSummary, ...]) -> Table:
    """A table of its own: beside the one above it would not fit into a terminal of 80 columns."""
    table = Table(title="A frame: p50 / p90 / p99", title_justify="left")
    table.add_column("variant", overflow="fold")
    for heading in ("mJ", "infer ms", "age ms"):
        table.add_column(heading, justify="right")
    for row in variants:
        table.add_row(
            escape(row.variant),
            _percentiles(row.frame_energy_j, 1e3),
            _percentiles(row.infer_ms),
            _percentiles(row.age_ms),
        )
    return table


def _switches(switches: tuple[SwitchSummary, ...]) -> Table:
    table = Table(title="Switches", title_justify="left")
    table.add_column("at", justify="right")
    for heading in ("from", "to", "reason"):
        table.add_column(heading, overflow="fold")
    table.add_column("cost ms", justify="right")
    for row in switches:
        cost = "" if row.cost_ms is None else f"{row.cost_ms:.3f}"
        table.add_row(f"{row.at_s:,.1f} s", escape(row.before or ""), escape(row.after), escape(row.reason), cost)
    return table


def _events(summary: RunSummary) -> Iterator[RenderableType]:
    if not summary.events:
        return
    table = Table(title="Events", title_justify="left")
    table.add_column("at", justify="right")
    for heading in ("level", "kind", "message"):
        table.add_column(heading, overflow="fold")
    for row in summary.events[-_MOST_EVENTS:]:
        table.add_row(f"{row.at_s:,.1f} s", row.level, escape(row.kind), escape(row.message))
    yield table
    if len(summary.events) > _MOST_EVENTS:
        yield Text(f"({len(summary.events) - _MOST_EVENTS:,} earlier events: --json or export --table event)")


def _percentiles(spread: Spread | None, scale: float = 1.0) -> str:
    if spread is None:
        return "unknown"
    values = [value * scale for value in (spread.p50, spread.p90, spread.p99)]
    return " / ".join(f"{value:.1f}" if value < 100 else f"{value:,.0f}" for value in values)


def _number(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:,.{digits}f}"


def _joules(joules: float) -> str:
    return f"{joules:,.3f} J" if abs(joules) < 10_000 else f"{joules / 1000:,.2f} kJ"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f} s" if seconds < 600 else f"{seconds / 3600:,.2f} h"
