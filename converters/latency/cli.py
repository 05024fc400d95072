"""`joulepath study latency` and `joulepath study kit`. Timing a kit needs an inference library and nothing else."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.study import Kit, LatencyTable

_LATENCY_HELP = """Time pieces of networks on this machine's engine: EfficientFormer's on-device findings, and a table.

Without --weights and --kit: the four findings (patch embeddings, reshapes, CONV-BN against LN-Linear, nonlinearities)
as questions to this engine. With --weights: also every unit of the paths that a search may propose, which makes the
board's latency table. A board without TensorFlow times a kit that a host made. An interrupted run is continued.

Examples:

  joulepath study latency

  joulepath study latency --weights streets/ --size 288x384 --out table.json

  joulepath study latency --kit kit.zip --out table.json
"""
_KIT_HELP = """Pack the study's graphs for a board: one zip that `joulepath study latency --kit` times there.

Examples:

  joulepath study kit --out kit.zip

  joulepath study kit --weights streets/ --size 288x384 --out kit.zip
"""
_WEIGHTS = typer.Option(help="a Hugging Face folder or hub id: units of this SegFormer's paths too")
_SIZE = typer.Option(help="the uncut input, HEIGHTxWIDTH in pixels")
_ONE_SIZE = typer.Option("--one-size", help="leave the search's smaller input sizes out")
_HELD_OUT = typer.Option(min=0, help="whole paths held out to check predictions with")


def register(app: typer.Typer) -> None:
    """Add the group `study` to the one command line."""
    study = typer.Typer(help="Study this machine's engine: what pieces of networks cost here.", no_args_is_help=True)
    study.command("latency", help=_LATENCY_HELP)(latency_command)
    study.command("kit", help=_KIT_HELP)(kit_command)
    app.add_typer(study, name="study")


def latency_command(
    weights: Annotated[str | None, _WEIGHTS] = None,
    size: Annotated[str | None, _SIZE] = None,
    kit: Annotated[Path | None, typer.Option(help="time this kit: needs no TensorFlow")] = None,
    out: Annotated[Path | None, typer.Option(help="the table to make or to continue, JSON")] = None,
    board: Annotated[str | None, typer.Option(help="a name for the table's board; the processor's by default")] = None,
    one_size: Annotated[bool, _ONE_SIZE] = False,
    held_out: Annotated[int, _HELD_OUT] = 24,
    threads: Annotated[int, typer.Option(min=1, help="inference threads")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="how often each graph is measured")] = 15,
    record: Annotated[Path | None, typer.Option(help="write latency.json and latency.md into this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    from converters.latency.progress import progress_bar
    from converters.latency.report import report
    from edge.bench.output import finish, own_command
    from edge.study import Kit, LatencyTable, time_kit

    if kit is not None and weights is not None:
        raise UsageError("--kit holds its own graphs: leave --weights out, or make a kit of them with `study kit`")
    if (weights is not None or kit is not None) and out is None:
        raise UsageError("--out FILE is missing: where the latency table is to be kept")
    table = LatencyTable.read(out) if out is not None and out.exists() else None
    with progress_bar() as progress:
        chosen = Kit.read(kit) if kit is not None else _build(weights, size, one_size, held_out, table, progress)
        measured = time_kit(
            chosen,
            table=table,
            board=board,
            threads=threads,
            rounds=rounds,
            save=_ignore if out is None else lambda grown: grown.save(out),
            progress=progress,
        )
    finish(report(measured, own_command()), record, as_json)


def kit_command(
    out: Annotated[Path, typer.Option(help="the zip to write")],
    weights: Annotated[str | None, _WEIGHTS] = None,
    size: Annotated[str | None, _SIZE] = None,
    one_size: Annotated[bool, _ONE_SIZE] = False,
    held_out: Annotated[int, _HELD_OUT] = 24,
    table: Annotated[Path | None, typer.Option(help="leave out what this table holds already")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    from converters.latency.progress import progress_bar
    from edge.study import LatencyTable

    known = None if table is None else LatencyTable.read(table)
    with progress_bar() as progress:
        kit = _build(weights, size, one_size, held_out, known, progress)
    kit.write(out)
    counts = {"units": len(kit.units), "networks": len(kit.wholes), "comparisons": len(kit.compared)}
    if as_json:
        print(json.dumps({"kit": str(out), "bytes": out.stat().st_size, **counts}, indent=1))
    else:
        words = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(
            f"{out}: {words}, {out.stat().st_size / 1e6:.1f} MB; on the board: joulepath study latency --kit "
            f"{out.name} --out table.json"
        )


def _build(
    weights: str | None,
    size: str | None,
    one_size: bool,
    held_out: int,
    table: LatencyTable | None,
    progress: Callable[[str, int, int], None],
) -> Kit:
    from converters.quiet import hush_tensorflow

    hush_tensorflow()
    if find_spec("tensorflow") is None:
        raise UsageError(
            "building the study's graphs needs TensorFlow: pip install 'joulepath[convert]', or make a kit on a host "
            "with `joulepath study kit` and time it here with --kit"
        )
    if (weights is None) != (size is None):
        raise UsageError("--weights and --size go together, such as --weights streets/ --size 288x384")
    from converters.latency.findings import comparison_graphs
    from converters.latency.measure import build_kit

    asked = {} if table is not None and table.compared else comparison_graphs(progress)
    if weights is None or size is None:
        return build_kit({}, compared=asked)
    from converters.cli import parse_size
    from converters.families import segformer
    from converters.latency.grid import FITTED, some_paths, space_of, unit_networks

    loaded = segformer.load(weights)
    space = space_of(loaded, parse_size(size))
    fitted = some_paths(loaded, space, FITTED, seed=0, all_sizes=not one_size)
    checks = some_paths(loaded, space, held_out + 1, seed=2, all_sizes=not one_size)
    return build_kit(
        unit_networks(loaded, space, all_sizes=not one_size),
        wholes=fitted,
        held_out={f"held out: {name}": one for name, one in checks.items() if name not in fitted},
        compared=asked,
        table=table,
        progress=progress,
    )


def _ignore(table: LatencyTable) -> None:
    """Nothing is kept."""
