"""`joulepath bench retraining`: the same paths cut from a network before and after it was trained over paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from converters.evaluate import confusions, summarise
from converters.metrics.segmentation import Confusions, Score
from edge.bench.machine import describe_machine
from edge.bench.output import finish, note, own_command
from edge.bench.record import Cell, Goal, Result, Table, now_utc
from edge.bundle import Bundle, load_bundle
from edge.errors import UsageError

FULL_MAY_LOSE = 0.3  # points of mIoU
_HELP = """What training over paths brings: mIoU of each path before and after, on the same images, as pairs.

Bundles hold the same paths at the same precision. Several --untrained ones are several ways to cut without training:
the trained path is held against the best of them.

Example:

  joulepath bench retraining --untrained plain.bundle --trained trained.bundle --dataset camvid:camvid/val
"""


def register(bench: typer.Typer) -> None:
    """Add `retraining` to the bench commands (entry point group ``joulepath.bench``)."""
    bench.command("retraining", help=_HELP)(retraining)


def retraining(
    untrained: Annotated[list[Path], typer.Option(help="bundle of paths cut without training; may be repeated")],
    trained: Annotated[Path, typer.Option(help="bundle of the same paths of the trained network")],
    dataset: Annotated[str, typer.Option(help="labelled images with masks, KIND:DIR (docs/datasets.md)")],
    precision: Annotated[str, typer.Option(help="of the variants that are compared")] = "float16",
    limit: Annotated[int | None, typer.Option(min=1, help="so many images, evenly spread")] = None,
    threads: Annotated[int, typer.Option(min=1, help="inference threads")] = 1,
    record: Annotated[
        Path | None, typer.Option(help="write retraining.json and retraining.md into this folder")
    ] = None,
) -> None:
    bundles = {path.name: load_bundle(path) for path in (*untrained, trained)}
    if len(bundles) != len(untrained) + 1:
        raise UsageError("bundles are told apart by the names of their folders; two have the same one")
    machine, started = describe_machine(("ai-edge-litert", "numpy")), now_utc()
    counts = {name: _by_path(bundle, precision, dataset, limit, threads) for name, bundle in bundles.items()}
    labels = bundles[trained.name].manifest.labels
    paths = [path for path in counts[trained.name] if all(path in found for found in counts.values())]
    if not paths:
        raise UsageError(f"the bundles have no path in common at {precision}")
    scores = {
        path: {s.variant_id: s for s in summarise({n: c[path] for n, c in counts.items()}, labels, dataset)}
        for path in paths
    }
    gains = {path: gain_of({n: c[path] for n, c in counts.items()}, trained.name, labels, dataset) for path in paths}
    finish(
        Result(
            name="retraining",
            title="What training over paths brings",
            command=own_command(),
            machine=machine,
            started_utc=started,
            method=(
                "Every bundle holds the same paths; each image goes through every variant, by the engine and task that "
                "serve on a board. mIoU at the masks' own resolution, void ignored, over all images together.",
                "Gain: mIoU of the trained network's path less that of the best untrained one. 95 % intervals by block "
                "bootstrap of paired differences, the same images for all.",
            ),
            tables=(_table(scores, gains, bundles, trained.name, precision),),
            goals=tuple(_goals(gains)),
            details={
                "dataset": dataset.partition(":")[0] + ":" + Path(dataset.partition(":")[2]).name,
                "gain_points": gains,
                "per_class": {p: {n: s.per_class for n, s in by.items()} for p, by in scores.items()},
            },
        ),
        record,
    )


def gain_of(
    counts: Mapping[str, Confusions], trained: str, labels: Sequence[str], dataset: str
) -> tuple[float, float, float]:
    """Points of mIoU that `trained` is above the best of the others: value, and its 95 % interval."""
    alone = {
        score.variant_id: score.miou for score in summarise(counts, labels, dataset) if score.variant_id != trained
    }
    rival = max(alone, key=lambda name: alone[name])
    pair = {s.variant_id: s for s in summarise({rival: counts[rival], trained: counts[trained]}, labels, dataset)}
    if pair[trained].difference == 0:  # the trained one is the best: the interval is that of the other one
        low, high = pair[rival].difference_interval
        return -100 * pair[rival].difference, -100 * high, -100 * low
    low, high = pair[trained].difference_interval
    return 100 * pair[trained].difference, 100 * low, 100 * high


def _by_path(bundle: Bundle, precision: str, dataset: str, limit: int | None, threads: int) -> dict[str, Confusions]:
    wanted = {v.id: v.path for v in bundle.manifest.variants if v.precision == precision}
    if not wanted:
        raise UsageError(f"{bundle.root}: has no variant at {precision}")
    found = confusions(bundle, dataset, only=tuple(wanted), limit=limit, threads=threads, say=note)
    return {wanted[name]: count for name, count in found.items()}


def _table(
    scores: Mapping[str, Mapping[str, Score]],
    gains: Mapping[str, tuple[float, float, float]],
    bundles: Mapping[str, Bundle],
    trained: str,
    precision: str,
) -> Table:
    macs = {v.path: (v.macs or 0) / 1e9 for v in bundles[trained].manifest.variants}
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            path,
            macs[path],
            *(100 * by[name].miou for name in bundles),
            gains[path][0],
            f"{gains[path][1]:+.1f} to {gains[path][2]:+.1f}",
        )
        for path, by in scores.items()
    )
    images = next(iter(next(iter(scores.values())).values())).images
    columns = ("path", "G multiply-accumulates", *(f"mIoU of {name}, %" for name in bundles), "gain, points", "95 %")
    return Table(f"{precision}, {images} images", columns, rows)


def _goals(gains: Mapping[str, tuple[float, float, float]]) -> list[Goal]:
    cheaper = {path: gain for path, gain in gains.items() if path != "full"}
    goals = []
    if cheaper:
        least = min(cheaper, key=lambda path: cheaper[path][0])
        value, low, high = cheaper[least]
        goals.append(Goal(f"least gain of a cheaper path ({least})", value, 0.0, " points", interval=(low, high)))
    if "full" in gains:
        value, low, high = gains["full"]
        goals.append(Goal("change of the full path", value, -FULL_MAY_LOSE, " points", interval=(low, high)))
    return goals
