"""`joulepath search`: the paths worth having, found without training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from converters.cli import timed_say
from edge.errors import UsageError

if TYPE_CHECKING:
    from converters.search.energy import EnergyModel
    from converters.search.job import Found

EXIT_INTERRUPTED = 130
_NEEDS = {
    "tensorflow": "convert",
    "safetensors": "convert",
    "optuna": "search",
    "threadpoolctl": "search",
    "plotly": "report",
}

_HELP = """Find execution paths of SegFormer weights for budgets of time, without training.

Cuts are chosen one after the other by accuracy lost for time saved (latency-driven slimming), then an optimiser looks
around what that found. Writes `paths.json` (for joulepath convert --paths), `frontier.json` and `report.html` to --out.
Ctrl-C keeps what was evaluated; the same command goes on. Needs the extras [convert,search,report].

Examples:

  joulepath search segformer --weights streets/ --size 288x384 --calibration camvid:camvid/train
  --search-set camvid:camvid/train --dataset camvid:camvid/val --out found

  joulepath search segformer --weights streets/ --size 288x384 --calibration images:drives --search-set images:drives
  --table pi5.json --latency-ms 400,200,100 --trials 200 --workers 4 --out found

  joulepath convert segformer --weights streets/ --size 288x384 --paths found/paths.json --out streets.bundle
"""


def register(app: typer.Typer) -> None:
    """Add the command to the one command line."""
    group = typer.Typer(no_args_is_help=True)
    group.callback()(_search)
    group.command("segformer", help=_HELP)(search_segformer_command)
    app.add_typer(group, name="search")


def _search() -> None:
    """Find the execution paths worth having, without training."""


def search_segformer_command(
    weights: Annotated[str, typer.Option(help="a Hugging Face folder, or a hub id OWNER/NAME")],
    size: Annotated[str, typer.Option(help="input HEIGHTxWIDTH in pixels, such as 288x384")],
    calibration: Annotated[str, typer.Option(help="KIND:DIR whose images say what matters and repair cuts; no labels")],
    search_set: Annotated[
        str, typer.Option(help="KIND:DIR to compare paths on; images:DIR compares with the full network's masks")
    ],
    out: Annotated[Path, typer.Option(help="folder for the results, and for what is needed to go on")],
    dataset: Annotated[
        str | None, typer.Option(help="labelled KIND:DIR that the result is reported on, apart from the search set")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="latency table of the target board (joulepath study latency); else timed here")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="what joulepath profile stored on the board: cuts are chosen by the joule")
    ] = None,
    profile_bundle: Annotated[Path | None, typer.Option(help="the bundle that --profile was made of")] = None,
    latency_ms: Annotated[str | None, typer.Option(help="budgets in milliseconds, such as 40,30,20")] = None,
    speedup: Annotated[
        str | None, typer.Option(help="budgets as speed-ups over the folded full path, such as 1.5,2,3,5")
    ] = None,
    trials: Annotated[int, typer.Option(min=0, help="new paths for the optimiser to try after slimming")] = 64,
    sampler: Annotated[str, typer.Option(help="the optimiser: nsga2 or tpe")] = "nsga2",
    seed: Annotated[int, typer.Option(help="of the optimiser; the same seed finds the same paths")] = 0,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="processes that evaluate paths; with a table one a core, at most 4, else 1"),
    ] = None,
    ray: Annotated[str | None, typer.Option(help="evaluate on the Ray cluster at ADDRESS (extra [ray])")] = None,
    knobs: Annotated[str | None, typer.Option(help="what may be cut, joined by commas; everything by default")] = None,
    choice: Annotated[str, typer.Option(help="which channels stay: importance, or first")] = "importance",
    compensation: Annotated[str, typer.Option(help="repair after cuts: ridge, or none")] = "ridge",
    calibration_images: Annotated[int, typer.Option(min=1, help="how many of --calibration, evenly spread")] = 32,
    search_images: Annotated[int, typer.Option(min=1, help="how many of --search-set, none used for calibration")] = 64,
    limit: Annotated[int | None, typer.Option(min=1, help="report on so many images of --dataset")] = None,
    record: Annotated[Path | None, typer.Option(help="also write search.md and search.json into this folder")] = None,
) -> None:
    from converters.cli import parse_size

    _need_extras(trials)
    from converters.search.budgets import parse_numbers
    from converters.search.job import LEDGER, SearchJob, search
    from converters.search.record import result_of
    from converters.search.space import KNOBS
    from converters.search.threads import default_workers
    from edge.bench.output import note, own_command
    from edge.bench.record import now_utc, write

    for option, value, known in (
        ("--sampler", sampler, ("nsga2", "tpe")),
        ("--choice", choice, ("importance", "first")),
        ("--compensation", compensation, ("ridge", "none")),
    ):
        if value not in known:
            raise UsageError(f"{option} {value!r}: choose {' or '.join(known)}")
    job = SearchJob(
        weights=weights,
        size=parse_size(size),
        calibration=calibration,
        search_set=search_set,
        out=out,
        dataset=dataset,
        table=table,
        latencies_ms=parse_numbers("--latency-ms", latency_ms, 0.0),
        speedups=parse_numbers("--speedup", speedup, 1.0),
        trials=trials,
        seed=seed,
        sampler="tpe" if sampler == "tpe" else "nsga2",
        workers=workers or default_workers(timed_here=table is None),
        ray=ray,
        calibration_images=calibration_images,
        search_images=search_images,
        limit=limit,
        knobs=KNOBS if knobs is None else tuple(part.strip() for part in knobs.split(",")),
        choice="first" if choice == "first" else "importance",
        compensation="none" if compensation == "none" else "ridge",
        energy=_energy(profile, profile_bundle),
    )
    started = now_utc()
    try:
        found = search(job, timed_say())
    except KeyboardInterrupt:
        print(
            f"joulepath: interrupted; what was evaluated is kept in {out / LEDGER}: the same command goes on",
            file=sys.stderr,
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
    show(found)
    if record is not None:
        note(f"recorded: {', '.join(map(str, write(result_of(found, own_command(), started), record)))}")


def show(found: Found) -> None:
    """Print the table of the paths that stand, and the budgets that could not be met."""
    from rich.console import Console
    from rich.table import Table

    from converters.search.identity import describe

    finals = found.finals
    where = f"{finals.dataset}, {finals.images} images" if finals.dataset else f"{found.job.search_set} (search set)"
    table = Table(title=f"Paths that stand: mIoU in percent on {where}")
    for heading in ("path", "mIoU", "to full", "ms", "speed-up", "G MACs", "MB", "what is cut"):
        table.add_column(heading, justify="left" if heading in ("path", "what is cut") else "right")
    full = finals.kept[0]
    for each in finals.kept:
        table.add_row(
            each.path.name,
            f"{100 * each.accuracy:.1f}",
            f"{100 * (each.accuracy - full.accuracy):+.1f}",
            f"{each.latency_ms:.1f}",
            f"{full.latency_ms / each.latency_ms:.2f}x",
            f"{each.search.macs / 1e9:.2f}",
            f"{each.search.bytes / 1e6:.2f}",
            describe(each.path, full.path),
        )
    console = Console(width=None if sys.stdout.isatty() else 160)  # into a pipe, a width that holds the table
    console.print(table)
    for refused in finals.refused:
        console.print(f"refused {refused.path.name}: {refused.reason}", highlight=False)
    for met in found.met:
        if met.reason:
            console.print(met.reason, highlight=False)


def _energy(profile: Path | None, bundle: Path | None) -> EnergyModel | None:
    from converters.search.energy import of_profile

    if (profile is None) != (bundle is None):
        raise UsageError("--profile and --profile-bundle go together: what was measured, and the bundle it was made of")
    return None if profile is None or bundle is None else of_profile(profile, bundle)


def _need_extras(trials: int) -> None:
    from importlib.util import find_spec

    from converters.quiet import hush_tensorflow

    hush_tensorflow()
    missing = [name for name in _NEEDS if find_spec(name) is None and not (name == "optuna" and trials == 0)]
    if missing:
        extras = ",".join(sorted({_NEEDS[name] for name in missing}))
        raise UsageError(f"searching needs {', '.join(missing)}; install with: pip install 'joulepath[{extras}]'")
