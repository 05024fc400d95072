"""The page around the figure: totals, tables, and Plotly's own script, all in one file."""

from __future__ import annotations

import json
from html import escape
from importlib import resources
from pathlib import Path

from edge.journal.errors import JournalError
from edge.journal.reader import JournalReader
from edge.journal.summary import RunSummary, Spread
from edge.report.collect import RunData, collect
from edge.report.figure import figure
from edge.report.foretold_table import foretold_section
from edge.report.markup import badge, table_of

_MOST_LISTED = 500


def write_report(journal: Path | str, out: Path | str, *, run_id: int | None = None) -> int:
    """Write the report of a run, the last one by default; returns its bytes.

    Raises JournalError when there is no such run, when the page cannot be written, or when plotly is missing.
    """
    script = _plotly_script()
    with JournalReader(journal) as reader:
        data = collect(reader, reader.run(run_id))
    page = _page(data, script).encode()
    out = Path(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(page)
    except OSError as error:
        raise JournalError(f"{out} cannot be written: {error.strerror or error}") from error
    return len(page)


def _plotly_script() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise JournalError(
            "the report needs plotly: pip install 'joulepath[report]', or read joulepath journal summary"
        ) from error
    return str(get_plotlyjs())


def _page(data: RunData, plotly: str) -> str:
    summary = data.summary
    # A closing tag inside a string would end the script that holds it.
    drawing = json.dumps(figure(data), separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    parts = {
        "title": escape(f"Run {summary.run} on {summary.board}"),
        "subtitle": _subtitle(summary),
        "style": _resource("style.css"),
        "cards": _cards(summary),
        "energy_note": _energy_note(summary),
        "thinned": _thinned(data),
        "variants": _variants(summary),
        "foretold": foretold_section(data.foretold),
        "switches": _switches(summary),
        "events": _events(summary),
        "figure": drawing,
        "script": _resource("draw.js"),
        "plotly": plotly,
    }
    page = _resource("page.html")
    head, *rest = page.split("{{")
    return head + "".join(parts[name] + text for name, text in (piece.split("}}", 1) for piece in rest))


def _resource(name: str) -> str:
    return resources.files("edge.report").joinpath(name).read_text(encoding="utf-8")


def _subtitle(summary: RunSummary) -> str:
    clock = "" if summary.clock_synchronised else " (clock not synchronised)"
    return escape(f"bundle {summary.bundle} · started {summary.started_utc}{clock} · {summary.outcome}")


def _cards(summary: RunSummary) -> str:
    cards = [("duration", _duration(summary.seconds), ""), ("frames", f"{summary.frames:,}", "")]
    if summary.fps is not None:
        reused = f", {summary.reused:,} unchanged" if summary.reused else ""
        cards.append(("frame rate", f"{summary.fps:.2f} fps", f"{summary.skipped:,} skipped{reused}"))
    if not summary.energy_j:
        cards.append(("energy", "unknown", badge("unavailable")))
    for method, joules in summary.energy_j.items():
        cards.append(("energy", _joules(joules), badge(method) + f" ± {_joules(summary.uncertainty_j[method])}"))
        frames = sum(row.frames for row in summary.variants if row.method == method)
        seconds = sum(row.seconds for row in summary.variants if row.method == method)
        cards.append(("energy a frame", f"{joules / frames * 1e3:,.1f} mJ", badge(method)))
        if seconds:
            cards.append(("mean power", f"{joules / seconds:,.2f} W", badge(method)))
    if summary.miou is not None:
        cards.append(("accuracy", f"{summary.miou * 100:.1f} %", "mean mIoU of scored frames"))
    if summary.age_ms is not None:
        cards.append(("frame age p99", f"{summary.age_ms.p99:,.1f} ms", "capture to result"))
    switches = sum(switch.before is not None for switch in summary.switches)
    cards.append(("switches", f"{switches:,}", ""))
    return "".join(
        f'<div class="card"><div class="name">{name}</div><div class="value">{value}</div>'
        f'<div class="note">{note}</div></div>'
        for name, value, note in cards
    )


def _energy_note(summary: RunSummary) -> str:
    notes = []
    if "modelled" in summary.energy_j:
        notes.append(f"Joules marked {badge('modelled')} come from a model of the board, not from a meter.")
    if summary.rails_included:
        notes.append(f"Rails included: {escape(', '.join(summary.rails_included))}.")
    if summary.energy_j:
        notes.append("± adds up the frames' uncertainties as if all errors pointed the same way: an upper bound.")
    if summary.frames_without_energy:
        notes.append(f"{summary.frames_without_energy:,} frames have no known energy and are in none of the sums.")
    return " ".join(notes)


def _thinned(data: RunData) -> str:
    notes = ["Drag to zoom in, double-click to zoom out. Bands show the running variant, diamonds its switches."]
    if data.thinned:
        notes.append("The run is long: lines are means, the bands behind them reach from least to greatest.")
    if data.stretches_merged:
        notes.append("Switches are too many to draw each: a band shows the variant that ran longest in its time.")
    return " ".join(notes)


def _variants(summary: RunSummary) -> str:
    head = (
        "variant", "path", "precision", "energy is", "frames", "fps", "energy (J)", "mean power (W)",
        "mJ a frame<br>mean", "mJ a frame<br>p50 / p90 / p99", "inference (ms)<br>p50 / p90 / p99",
        "age (ms)<br>p50 / p90 / p99", "mIoU (%)",
    )  # fmt: skip
    rows = (
        (
            escape(row.variant),
            escape(row.path),
            escape(row.precision),
            badge(row.method),
            f"{row.frames:,}",
            _number(row.fps, 2),
            _number(row.energy_j, 2),
            _number(row.power_w, 2),
            "unknown" if row.frame_energy_j is None else f"{row.frame_energy_j.mean * 1e3:,.1f}",
            _percentiles(row.frame_energy_j, 1e3),
            _percentiles(row.infer_ms),
            _percentiles(row.age_ms),
            "" if row.miou is None else f"{row.miou * 100:.1f}",
        )
        for row in summary.variants
    )
    return table_of(head, rows)


def _switches(summary: RunSummary) -> str:
    if not summary.switches:
        return ""
    shown = summary.switches[-_MOST_LISTED:]
    rows = (
        (
            f"{row.at_s:,.1f}",
            escape(row.before or ""),
            escape(row.after),
            escape(row.reason),
            _number(row.cost_ms, 3, ""),
        )
        for row in shown
    )
    table = table_of(("at (s)", "from", "to", "reason", "cost (ms)"), rows, text_from=1)
    return _details(f"Switches ({_of(len(shown), len(summary.switches))})", table)


def _events(summary: RunSummary) -> str:
    if not summary.events:
        return ""
    shown = summary.events[-_MOST_LISTED:]
    rows = ((f"{row.at_s:,.1f}", row.level, escape(row.kind), escape(row.message)) for row in shown)
    table = table_of(("at (s)", "level", "kind", "message"), rows, text_from=1)
    return _details(f"Events ({_of(len(shown), len(summary.events))})", table)


def _of(shown: int, there_are: int) -> str:
    return f"{shown:,}" if shown == there_are else f"the last {shown:,} of {there_are:,}"


def _details(title: str, content: str) -> str:
    return f"<details open><summary>{title}</summary>{content}</details>"


def _percentiles(spread: Spread | None, scale: float = 1.0) -> str:
    if spread is None:
        return "unknown"
    return " / ".join(f"{value * scale:,.1f}" for value in (spread.p50, spread.p90, spread.p99))


def _number(value: float | None, digits: int, unknown: str = "unknown") -> str:
    return unknown if value is None else f"{value:,.{digits}f}"


def _joules(joules: float) -> str:
    return f"{joules:,.1f} J" if abs(joules) < 100_000 else f"{joules / 1000:,.1f} kJ"


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 4 * 3600 else f"{seconds / 3600:,.1f} h"
