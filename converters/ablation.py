"""``python -m converters.ablation``: what each idea of the workshop brings, without training, measured on the engine.

Every path is cut, converted, scored on a labelled set and timed against the folded full path in interleaved rounds on
one thread. What was fitted and scored is kept in --work, so that an interrupted run goes on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from converters.ablation_paths import FOUND, LADDER, NAIVE, SINGLE, Row, rows
from converters.evaluate import readable, spread
from converters.families import segformer
from converters.keep import Kept, digest
from converters.litert import to_litert
from converters.metrics.segmentation import Confusions, Score, summarise
from converters.ops.count import CountOps
from converters.paths import read_paths
from converters.workshop import Workshop
from edge.bench.interleave import Ratio, Rounds, interleave
from edge.bench.machine import describe_machine
from edge.bench.output import finish, note
from edge.bench.record import Cell, Goal, Result, Table, command_line, now_utc
from edge.bundle.manifest import InputSpec
from edge.errors import JoulepathError
from edge.prepare import prepare
from edge.tasks.score import IncrementalConfusion
from edge.tasks.upsample import upsampled_argmax

FULL = "full, folded"
LOST_AT_MOST, FASTER_AT_LEAST, REPAIRED_AT_LEAST = 1.4, 1.5, 0.3
# Two ratios closer than this are one: naive cuts and repaired ones run almost the same graph.
_SAME_SPEED = 1.02
_LIBRARIES = ("ai-edge-litert", "numpy", "tensorflow-cpu", "tensorflow")


@dataclass(frozen=True)
class Measured:
    """One row with what was measured of it; mIoU in 0..1, the change and its interval against the full path."""

    row: Row | None
    macs: int
    miou: float
    change: float
    interval: tuple[float, float]
    median_ms: float
    faster: Ratio

    def cells(self) -> tuple[Cell, ...]:
        low, high = (f"{100 * value:+.2f}" for value in self.interval)
        cut, way = (FULL, "") if self.row is None else (self.row.cut, self.row.way)
        change = f"{100 * self.change:+.2f} ({low} to {high})"
        return cut, way, f"{100 * self.miou:.2f}", change, self.macs // 10**6, self.median_ms, str(self.faster)


class Bench:
    """Cuts, converts, scores and times; results are kept under the hash of the network that they belong to."""

    def __init__(self, shop: Workshop, dataset: str, kept: Kept) -> None:
        self._shop, self._dataset, self._kept = shop, dataset, kept
        with readable(dataset) as opened:
            if opened.classes != shop.weights.config.labels:
                raise JoulepathError(f"{dataset}: its classes are not those of the network")
            self._pairs = [opened.read(index) for index in range(len(opened))]
        self.runs: dict[str, Callable[[], float]] = {}
        self.counts: dict[str, Confusions] = {}
        self.macs: dict[str, int] = {}

    def add(self, name: str, network: segformer.Network, size: tuple[int, int]) -> None:
        """Convert and score one network, and make it ready to be timed."""
        content = to_litert(segformer.builders({"path": network}, size), {segformer.INPUT: (1, *size, 3)}).content
        run = _Interpreter(content)
        key = digest("counts", network, size, self._dataset, len(self._pairs))
        stored = self._kept.get(key)
        if stored is None:
            stored = [np.stack([self._confusion(run, size, *pair) for pair in self._pairs])]
            self._kept.put(key, stored)
        ops = CountOps()
        segformer.build(ops, network, size)
        self.counts[name], self.macs[name], self.runs[name] = stored[0], ops.macs, run.timed

    def _confusion(self, run: _Interpreter, size: tuple[int, int], image: Any, truth: Any) -> npt.NDArray[np.int64]:
        given: npt.NDArray[np.uint8] = np.empty((*size, 3), np.uint8)
        prepare(image, InputSpec(height=size[0], width=size[1], dtype="uint8"), given)
        logits = run(given[None].astype(np.float32))[0]
        confusion = IncrementalConfusion(len(self._shop.weights.config.labels))
        confusion.add(upsampled_argmax(logits, truth.shape), truth)
        return confusion.matrix

    def miou(self, name: str) -> float:
        """Of all images together, 0..1."""
        return self._scores(name)[name].miou

    def change(self, name: str) -> tuple[float, tuple[float, float]]:
        """The mIoU of `name` less that of the full path, with its 95 % interval."""
        scores = self._scores(name)
        if scores[name].difference == 0:  # it is the better one: then the full path's difference is from this one
            low, high = scores[FULL].difference_interval
            return -scores[FULL].difference, (-high, -low)
        return scores[name].difference, scores[name].difference_interval

    def _scores(self, name: str) -> dict[str, Score]:
        pair = {one: self.counts[one] for one in (FULL, name)}
        return {score.variant_id: score for score in summarise(pair, self._shop.weights.config.labels, self._dataset)}


class _Interpreter:
    """One network on ai-edge-litert, on one thread."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._engine: Any = Interpreter(model_content=content, num_threads=1)
        self._engine.allocate_tensors()
        self._input = self._engine.get_input_details()[0]["index"]
        self._output = self._engine.get_output_details()[0]["index"]

    def __call__(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self._engine.set_tensor(self._input, image)
        self._engine.invoke()
        return np.asarray(self._engine.get_tensor(self._output))

    def timed(self) -> float:
        """Milliseconds of one run after one that is not counted."""
        self._engine.invoke()
        began_ns = time.perf_counter_ns()
        self._engine.invoke()
        return (time.perf_counter_ns() - began_ns) / 1e6


def measure(
    shop: Workshop, dataset: str, wanted: Sequence[Row], kept: Kept, rounds: int, say: Callable[[str], None]
) -> list[Measured]:
    """The full path and every row of `wanted`, measured. Raises JoulepathError."""
    bench = Bench(shop, dataset, kept)
    bench.add(FULL, shop.full, shop.size)
    for number, row in enumerate(wanted, start=1):
        bench.add(row.name, shop.network(row.path), row.path.size or shop.size)
        change, _ = bench.change(row.name)
        say(f"{number} of {len(wanted)}: {row.name}: {100 * change:+.2f} points")
    say(f"timing {len(wanted) + 1} networks in {rounds} rounds")
    times = interleave(bench.runs, rounds)
    return [_measured(bench, times, FULL, None), *(_measured(bench, times, row.name, row) for row in wanted)]


def _measured(bench: Bench, times: Rounds, name: str, row: Row | None) -> Measured:
    change, interval = bench.change(name)
    median_ms, faster = times.spread(name).median, times.ratio(FULL, name)
    return Measured(row, bench.macs[name], bench.miou(name), change, interval, median_ms, faster)


def goals(found: Sequence[Measured]) -> tuple[Goal, ...]:
    """The figures that the workshop is held to."""
    near = [one for one in found if -100 * one.change <= LOST_AT_MOST]
    fastest = max(near, key=lambda one: one.faster.median)
    return (
        Goal(
            f"fastest path at most {LOST_AT_MOST} points below full, times the folded full path",
            fastest.faster.median,
            FASTER_AT_LEAST,
            "x",
            interval=(fastest.faster.low, fastest.faster.high),
        ),
        Goal(
            "share of the loss that compensation repairs, mean over the ladder",
            repaired(found),
            REPAIRED_AT_LEAST,
            why_unknown="no path lost anything",
        ),
        Goal(
            "naive paths that one of ours beats at the same speed or faster", _beaten(found), 1.0,
            why_unknown="no naive path was faster than the full one",
        ),
    )  # fmt: skip


def repaired(found: Sequence[Measured]) -> float | None:
    """The mean over the ladder of 1 - loss with compensation / loss without it, all else equal; at most 1 a path."""
    shares = []
    for one in found:
        before = _partner(found, one)
        if before is not None and one.row is not None and one.row.section == LADDER and before.change < 0:
            shares.append(1 - max(0.0, -one.change) / -before.change)
    return float(np.mean(shares)) if shares else None


def _partner(found: Sequence[Measured], one: Measured) -> Measured | None:
    """The same cut with the same choice of channels, not compensated; None for one that is not compensated."""
    ways = {"both": "chosen", "fitted": "naive"}
    if one.row is None or one.row.way not in ways:
        return None
    wanted = (one.row.cut, ways[one.row.way])
    return next((o for o in found if o.row is not None and (o.row.cut, o.row.way) == wanted), None)


def _beaten(found: Sequence[Measured]) -> float | None:
    naive = [one for one in found if one.row is not None and one.row.way == "naive"]
    ours = [one for one in found if one.row is not None and one.row.way in ("both", "fitted", "searched")]
    if not naive:
        return None

    def beaten(one: Measured) -> bool:
        return any(o.faster.median * _SAME_SPEED >= one.faster.median and o.miou >= one.miou for o in ours)

    return float(np.mean([beaten(one) for one in naive]))


def result(found: Sequence[Measured], shop: Workshop, images: int, dataset: str, started_utc: str) -> Result:
    """The page."""
    columns = ("cut", "made", "mIoU %", "points (95 %)", "M MACs", "median ms", "times faster (95 %)")
    full = [one for one in found if one.row is None]
    tables = tuple(
        Table(
            title, columns, tuple(o.cells() for o in [*full, *(o for o in found if o.row and o.row.section == title)])
        )
        for title in (SINGLE, LADDER, NAIVE, FOUND)
        if any(one.row and one.row.section == title for one in found)
    )
    kind = dataset.partition(":")[0]
    return Result(
        name="paths-untrained",
        title="Execution paths without training: what each idea brings",
        command=command_line(sys.argv[1:]).replace("joulepath", "python -m converters.ablation", 1),
        machine=describe_machine(_LIBRARIES),
        started_utc=started_utc,
        method=(
            f"{Path(shop.weights.source).name}, {shop.size[0]}x{shop.size[1]}, scored on every image of {kind}, masks "
            "at their own resolution; intervals are those of a paired block bootstrap over images.",
            f"Calibration: {images} training images, no labels. No weight was trained; all fits are closed-form.",
            "made: naive keeps the first blocks and channels and changes no weight. chosen keeps the channels that "
            "outputs can best be rebuilt from. fitted keeps the first and fits what reads a cut again. both is both. "
            "searched: a path of `joulepath search`, which chose and repaired on training images alone.",
            "The baseline is the folded full path, not the published graph. Latency: ai-edge-litert, one thread, each "
            "network one settling run and one timed run a round; ratios are within a round, with a bootstrap interval.",
            "stage 1 merged 2x2: its blocks work on means of 2x2 positions. pooled: keys and values on a grid halved "
            "again. chain: coarse stages are brought to the decoder's grid a stage at a time.",
        ),
        tables=tables,
        goals=goals(found),
    )


def main(
    weights: Annotated[str, typer.Option(help="a SegFormer checkpoint: folder or hub id")],
    calibration: Annotated[str, typer.Option(help="training images as KIND:DIR; labels are not used")],
    dataset: Annotated[str, typer.Option(help="labelled images to score on, as KIND:DIR")],
    size: Annotated[str, typer.Option(help="input as HEIGHTxWIDTH")] = "288x384",
    images: Annotated[int, typer.Option(min=8, help="calibration images, evenly spread over the set")] = 48,
    rounds: Annotated[int, typer.Option(min=1, help="rounds of the timing")] = 20,
    work: Annotated[Path | None, typer.Option(help="folder that keeps fits and scores")] = None,
    paths: Annotated[Path | None, typer.Option(help="paths.json of a search, to be measured beside the others")] = None,
    record: Annotated[Path | None, typer.Option(help="folder for paths-untrained.md and .json")] = None,
) -> None:
    """Measure the ablation of the workshop."""
    started, (height, _, width) = now_utc(), size.partition("x")
    with readable(calibration) as opened:
        seen = [opened.read(index)[0] for index in spread(len(opened), images)]
    shop = Workshop(segformer.load(weights), seen, (int(height), int(width)), cache=work, say=note)
    space = shop.weights.space
    searched = () if paths is None else read_paths(paths, space)
    found = measure(shop, dataset, rows(space, shop.size, searched), Kept(work, note), rounds, note)
    finish(result(found, shop, len(seen), dataset, started), record)


if __name__ == "__main__":
    try:
        typer.run(main)
    except JoulepathError as error:
        sys.exit(f"ablation: {error}")
