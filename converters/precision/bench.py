"""`joulepath bench precision`: what each precision of each path loses and gains here, and which layers suffer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from converters.precision.gate import Bounds, Verdict, gate
from converters.precision.measure import time_variants
from converters.precision.sensitivity import PROBE_EVERY, Sensitivity, agreement, rank, to_protect
from edge.bench.interleave import Rounds
from edge.bench.machine import describe_machine
from edge.bench.record import Cell, Goal, Result, Table, now_utc
from edge.bundle import Bundle

PRECISIONS = ("float32", "float16", "int8", "int8-wide", "int8-mixed")
GOAL_LOSS_POINTS = 0.5
GOAL_SPEEDUP = 1.25
_TOOLS = ("tensorflow-cpu", "ai-edge-litert", "ai-edge-quantizer", "numpy")
Say = Callable[[str], None]


def register(bench: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    bench.command("precision")(precision_command)


def bench_precision(
    bundle: Bundle, ranking: Sequence[Sensitivity], *, bounds: Bounds, rounds: int, threads: int, command: str
) -> Result:
    """Time the scored `bundle`, let the gate decide, and say what came of it. Raises ConvertError, EngineError."""
    machine, started = describe_machine(_TOOLS), now_utc()
    variants = bundle.manifest.variants
    accuracy = {v.id: v.accuracy[0].value for v in variants if v.accuracy}
    timed = time_variants(bundle, list(accuracy), threads=threads, rounds=rounds)
    verdict = gate([v for v in variants if v.id in accuracy], accuracy, timed.values, bounds)
    scored = next(v.accuracy[0] for v in variants if v.accuracy)
    return Result(
        name="precision",
        title="Precision: what each path loses and gains",
        command=command,
        machine=machine,
        started_utc=started,
        method=(
            f"mIoU on {scored.images} images of {_without_place(scored.dataset)}, disjoint from calibration, through "
            "the engine that serves",
            f"latency: the model alone, {threads} thread(s), all variants resident, {rounds} interleaved rounds; a "
            "turn is one inference that settles and one that counts; ratios pair turns of one round",
            "int8: matrix products and convolutions with enough work for each number moved; int8-wide: all of them and "
            "the depthwise convolutions; int8-mixed: wide, with the most sensitive groups in float; the convolution "
            "that reads pixels stays float in all three",
            f"the gate: at most {bounds.max_loss_points:g} points of mIoU below the path's float variant, at least "
            f"{bounds.min_speedup:g} times as fast, and no other accepted variant of the path better in both",
            "sensitivity: the share of positions whose class is that of the float network, on every fourth of the "
            "calibration images, with one group of layers alone in int8, and with all but that group",
        ),
        tables=(_variants_table(bundle, accuracy, timed, verdict), _sensitivity_table(ranking)),
        goals=tuple(_goals(bundle, verdict)),
        notes=tuple(f"refused: {one.variant} {one.reason}" for one in verdict.refused),
        details={
            "latency_ms": dict(timed.values),
            "accuracy": accuracy,
            "comparisons": [asdict(made) for made in verdict.comparisons],
            "sensitivity": [asdict(one) for one in ranking],
        },
    )


def _without_place(spec: str) -> str:
    kind, separator, place = spec.partition(":")
    return f"{kind}{separator}{'/'.join(Path(place).parts[-2:])}"


def _variants_table(bundle: Bundle, accuracy: dict[str, float], timed: Rounds, verdict: Verdict) -> Table:
    compared = {made.variant: made for made in verdict.comparisons}
    refused = {one.variant for one in verdict.refused}
    rows: list[tuple[Cell, ...]] = []
    for variant in sorted(bundle.manifest.variants, key=lambda v: v.path != "full"):
        if variant.id not in accuracy:
            continue
        made = compared.get(variant.id)
        rows.append(
            (
                variant.id,
                variant.bytes / 1e6,
                100 * accuracy[variant.id],
                None if made is None else f"{-made.loss_points:+.2f}",
                timed.spread(variant.id).median,
                None if made is None else str(made.speedup),
                "float" if made is None else "refused" if variant.id in refused else "accepted",
            )
        )
    columns = ("variant", "file MB", "mIoU %", "points", "median ms", "times faster (95 %)", "gate")
    return Table("Variants, against the float variant of their path", columns, tuple(rows))


def _sensitivity_table(ranking: Sequence[Sensitivity]) -> Table:
    protected = to_protect(ranking)
    rows = tuple(
        (
            one.group,
            one.layers,
            f"{100 * one.macs_share:.1f} %",
            f"{100 * one.alone:.2f} %",
            f"{100 * one.without:.2f} %",
            "float" if one.group in protected else "int8",
        )
        for one in ranking
    )
    columns = ("group of layers", "layers", "share of work", "agreement alone in int8", "all others in int8", "mixed")
    return Table("Sensitivity, full path, the most sensitive first", columns, rows)


def _goals(bundle: Bundle, verdict: Verdict) -> list[Goal]:
    """For each path its fastest accepted variant; where all were refused the notes have the reasons."""
    kept = {variant.id: variant for variant in verdict.accepted}
    goals = []
    for path in dict.fromkeys(v.path for v in bundle.manifest.variants):
        made = [c for c in verdict.comparisons if c.variant in kept and kept[c.variant].path == path]
        best = max(made, key=lambda c: c.speedup.median, default=None)
        if best is None:
            why = "every variant was refused, see the notes"
            goals.append(Goal(f"{path}: times faster in int8", None, GOAL_SPEEDUP, "x", why_unknown=why))
            continue
        interval = (best.speedup.low, best.speedup.high)
        goals.append(Goal(f"{best.variant}: times faster", best.speedup.median, GOAL_SPEEDUP, "x", interval=interval))
        goals.append(
            Goal(f"{best.variant}: points of mIoU lost", best.loss_points, GOAL_LOSS_POINTS, " points", at_most=True)
        )
    return goals


def precision_command(
    weights: Annotated[str, typer.Option(help="a SegFormer folder or hub id")],
    size: Annotated[str, typer.Option(help="input HEIGHTxWIDTH in pixels")],
    paths: Annotated[Path, typer.Option(help="JSON file of paths")],
    calibration: Annotated[str, typer.Option(help="dataset KIND:DIR whose images measure ranges: a training set")],
    dataset: Annotated[str, typer.Option(help="dataset KIND:DIR to score on")],
    limit: Annotated[int | None, typer.Option(min=1, help="score on so many images, evenly spread")] = None,
    max_loss: Annotated[float, typer.Option(min=0, help="points of mIoU that a variant may lose")] = 0.5,
    min_speedup: Annotated[float, typer.Option(min=0, help="how many times faster it must be")] = 1.05,
    rounds: Annotated[int, typer.Option(min=1, help="interleaved rounds")] = 30,
    threads: Annotated[int, typer.Option(min=1, help="inference threads")] = 1,
    work: Annotated[Path | None, typer.Option(help="keep the converted bundle here, and take it from here")] = None,
    prepare: Annotated[bool, typer.Option("--prepare", help="convert and score only; needs --work")] = False,
    record: Annotated[Path | None, typer.Option(help="write precision.json and precision.md into this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Accuracy and latency of float32, float16 and three kinds of int8 for every path, judged by the gate.

    Example:

      joulepath bench precision --weights streets --size 288x384 --paths paths.json --calibration camvid:camvid/train
      --dataset camvid:camvid/val --record docs/bench
    """
    from converters.cli import parse_size
    from converters.convert import CALIBRATION_IMAGES, ConvertJob, calibration_images, convert_segformer
    from converters.families import segformer
    from converters.litert import to_litert
    from converters.paths import read_paths
    from converters.quantize import Calibration
    from edge.bench.output import finish, note, own_command
    from edge.bundle import load_bundle

    with tempfile.TemporaryDirectory(prefix="joulepath-precision-") as folder:
        out = work or Path(folder) / "bundle"
        if not out.exists():
            job = ConvertJob(
                weights=weights,
                size=parse_size(size),
                out=out,
                paths=lambda found: read_paths(paths, found.space),
                precisions=PRECISIONS,
                calibration=calibration,
                dataset=dataset,
                limit=limit,
                threads=threads,
            )
            convert_segformer(job, note)
        if prepare:
            return
        bundle = load_bundle(out)
        found = segformer.load(weights)
        full = {"full": segformer.folded(segformer.network(found, found.space.full()))}
        inputs = {segformer.INPUT: (1, *parse_size(size), 3)}
        content = to_litert(segformer.builders(full, parse_size(size)), inputs).content
        images = calibration_images(calibration, CALIBRATION_IMAGES, parse_size(size))
        ranking = rank(Calibration(content, images), agreement(content, images[::PROBE_EVERY]), say=note)
        result = bench_precision(
            bundle,
            ranking,
            bounds=Bounds(max_loss, min_speedup),
            rounds=rounds,
            threads=threads,
            command=own_command(),
        )
    finish(result, record, as_json)
