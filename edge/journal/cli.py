"""`joulepath journal`: read what the board wrote down."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edge.errors import UsageError
from edge.journal.export import SOURCES, Format, export
from edge.journal.place import journal_to_read
from edge.journal.reader import JournalReader
from edge.journal.snapshot import copy_journal
from edge.journal.summary import LABELS, summarise
from edge.journal.tables import render

journal_app = typer.Typer(help="Read, report and export the journal.", no_args_is_help=True)

JournalOption = Annotated[
    Path | None,
    typer.Option("--journal", "-j", envvar="JOULEPATH_JOURNAL", help="The journal to read; the one that run writes."),
]
RunOption = Annotated[int | None, typer.Option("--run", help="This run only, by its number.")]


@journal_app.command()
def summary(
    journal: JournalOption = None,
    run: RunOption = None,
    last: Annotated[bool, typer.Option("--last", help="The last run (the default).")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Frames, joules, latencies, switches and events of a run."""
    if (run is not None) + last + every > 1:
        raise UsageError("--run, --last and --all exclude each other: pass one of them")
    with JournalReader(journal or journal_to_read()) as reader:
        runs = reader.runs() if every else [reader.run(run)]
        summaries = [summarise(reader, row) for row in runs]
        totals = {LABELS[method]: energy / 1e6 for method, energy in reader.total_energy_uj().items()}
    if as_json:
        typer.echo(json.dumps({"runs": [asdict(each) for each in summaries], "total_energy_j": totals}, indent=2))
        return
    console = Console()
    for each in summaries:
        console.print(render(each))
        console.print()
    for label, joules in totals.items():
        console.print(f"All runs ever: {joules:,.1f} J {label}")


@journal_app.command()
def report(
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("report.html"),
    journal: JournalOption = None,
    run: RunOption = None,
) -> None:
    """One HTML page with plots of a run, the last one by default (needs the extra [report])."""
    from edge.report import write_report

    size = write_report(journal or journal_to_read(), out, run_id=run)
    typer.echo(f"{out}: {size / 1e6:.1f} MB")


@journal_app.command(name="export")
def export_table(
    form: Annotated[Format, typer.Option("--format", "-f", help="What to write.")],
    table: Annotated[str, typer.Option("--table", "-t", help=f"One of {', '.join(SOURCES)}.")] = "frame",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; standard output if none.")] = None,
    journal: JournalOption = None,
    run: RunOption = None,
) -> None:
    """Stream a table out as Parquet (needs the extra [parquet]), CSV or JSON Lines."""
    with JournalReader(journal or journal_to_read()) as reader:
        if run is not None:
            reader.run(run)
        rows = export(reader, table, form, out, run)
    if out is not None:
        typer.echo(f"{out}: {rows:,} rows of {table}")


@journal_app.command()
def replay(
    journal: Annotated[Path, typer.Argument(help="The journal to replay.")],
    controller: Annotated[
        list[str] | None, typer.Option("--controller", "-c", help="plan, ladder, tiers, alert or static:VARIANT.")
    ] = None,
    goal: Annotated[list[str] | None, typer.Option("--goal", help="name=value over the recorded goals.")] = None,
    run: RunOption = None,
    bundle: Annotated[Path | None, typer.Option(help="Accuracies of the variants that ran.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a page with plots (needs plotly).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What another controller would have done on a recorded run: modelled, beside what was done and the oracle.

    Example:

      joulepath journal replay street.db --controller plan --goal battery_hours=2 --plot replay.html
    """
    from edge.simulate.replay_command import replay as replayed
    from edge.simulate.replay_command import show

    show(*replayed(journal, controller or ["plan"], goal or [], run, bundle), plot, as_json)


@journal_app.command()
def copy(
    out: Annotated[Path, typer.Argument(help="Where the copy goes.")],
    journal: JournalOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
) -> None:
    """Make a consistent copy of a journal, also while it is written."""
    size = copy_journal(journal or journal_to_read(), out, overwrite=force)
    typer.echo(f"{out}: {size / 1e6:.1f} MB")
