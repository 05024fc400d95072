"""How long a switch takes: from the decision to the entry of the first inference on the new, resident variant.

The decision is the instant after which the program knows what to run; the entry is stamped in the worker when it has
the frame and before it touches it. Every ordered pair is measured, in a new order each round. Beside it: the same
dispatch with no switch, and what the frame after a switch takes longer than the next frame on the same variant.
A pair whose inputs differ must prepare the waiting frame anew; that is part of its figure.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from edge.bench.machine import describe_machine
from edge.bench.record import BenchError, Goal, Result, Table, now_utc
from edge.bundle.load import Bundle
from edge.bundle.manifest import Variant
from edge.engines.process import InferResult
from edge.prepare import Frame, Preparers
from edge.variants import Pool

GOAL_MS = 1.0
Pair = tuple[str, str]


@dataclass
class _Samples:
    entry_ms: list[float] = field(default_factory=list)  # decision to entry
    first_ms: list[float] = field(default_factory=list)  # the frame after the switch
    second_ms: list[float] = field(default_factory=list)  # the next frame on the same variant
    steady_entry_ms: list[float] = field(default_factory=list)  # dispatch of that next frame

    @property
    def extra_ms(self) -> list[float]:
        return [first - second for first, second in zip(self.first_ms, self.second_ms, strict=True)]


def bench_switch(
    bundle: Bundle,
    *,
    rounds: int = 40,
    threads: int = 1,
    library: str = "auto",
    seed: int = 0,
    command: str = "",
    on_round: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Measure all ordered pairs `rounds` times. Raises BenchError for fewer than two variants, EngineError."""
    variants = bundle.manifest.variants
    if len(variants) < 2:
        raise BenchError(f"{bundle.root}: has one variant; there is nothing to switch to")
    machine, started = describe_machine(("numpy", "ai-edge-litert", "tflite-runtime")), now_utc()
    files = len({v.file for v in variants})
    drawn = random.Random(seed)
    frame = np.random.default_rng(seed).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    samples: dict[Pair, _Samples] = {(a.id, b.id): _Samples() for a, b in permutations(variants, 2)}
    with Pool(bundle, threads=threads, library=library, max_resident_files=files) as pool:
        for variant in variants:
            loaded = pool.wait(variant.id, timeout_s=300)
        switcher = _Switcher(pool, {v.id: v for v in variants}, frame)
        for done in range(1, rounds + 1):
            for pair in drawn.sample(list(samples), len(samples)):
                switcher.measure(pair, samples[pair])
            on_round(done, rounds)
    shared = "one file" if files == 1 else f"{files} files"
    return Result(
        name="switch",
        title="Switching between resident variants",
        command=command,
        machine=machine,
        started_utc=started,
        method=(
            f"{bundle.manifest.name}: {len(variants)} variants in {shared}, {len(samples)} ordered pairs, "
            f"{rounds} rounds, {threads} thread(s), {loaded.library} {loaded.version}",
            "decision to entry: monotonic time from the decision to the worker's stamp before it copies the frame in",
            "extra time: the first frame after a switch less the second, paired; it includes the copies in and out",
        ),
        tables=(_summary(samples), _by_pair(samples)),
        goals=(_goal(samples),),
        details={f"{a} -> {b}": vars(s) for (a, b), s in samples.items()},
    )


class _Switcher:
    def __init__(self, pool: Pool, variants: dict[str, Variant], frame: Frame) -> None:
        self._pool, self._variants, self._frame = pool, variants, frame
        self._prepare = Preparers()

    def measure(self, pair: Pair, into: _Samples) -> None:
        """Two frames on the first variant, then a decision and two frames on the second."""
        before, after = pair
        self._ready(before)
        self._run(before)
        self._run(before)
        differs = self._variants[before].input != self._variants[after].input
        decided_ns = time.monotonic_ns()
        if differs:
            self._ready(after)
        first = self._run(after)
        dispatched_ns = time.monotonic_ns()
        second = self._run(after)
        into.entry_ms.append((first.start_ns - decided_ns) / 1e6)
        into.steady_entry_ms.append((second.start_ns - dispatched_ns) / 1e6)
        into.first_ms.append((first.end_ns - first.start_ns) / 1e6)
        into.second_ms.append((second.end_ns - second.start_ns) / 1e6)

    def _ready(self, variant: str) -> None:
        spec = self._variants[variant].input
        self._prepare(self._frame, spec, self._pool.input_view(0, spec))

    def _run(self, variant: str) -> InferResult:
        self._pool.submit(variant, 0)
        return self._pool.result()


def _percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(np.asarray(values), share))


def _summary(samples: dict[Pair, _Samples]) -> Table:
    def row(name: str, values: list[float]) -> tuple[str, int, float, float, float]:
        return name, len(values), _percentile(values, 50), _percentile(values, 99), max(values)

    rows = (
        row("decision to entry, switching", [x for s in samples.values() for x in s.entry_ms]),
        row("decision to entry, staying", [x for s in samples.values() for x in s.steady_entry_ms]),
        row("extra time of the frame after a switch", [x for s in samples.values() for x in s.extra_ms]),
    )
    return Table("All pairs", ("what", "count", "p50 ms", "p99 ms", "max ms"), rows)


def _by_pair(samples: dict[Pair, _Samples]) -> Table:
    rows = tuple(
        (
            f"{a} -> {b}",
            _percentile(s.entry_ms, 50),
            _percentile(s.entry_ms, 99),
            _percentile(s.extra_ms, 50),
            _percentile(s.second_ms, 50),
        )
        for (a, b), s in samples.items()
    )
    columns = ("pair", "entry p50 ms", "entry p99 ms", "extra time ms (paired median)", "frame ms (median)")
    return Table("Each ordered pair", columns, rows)


def _goal(samples: dict[Pair, _Samples]) -> Goal:
    entries = [x for s in samples.values() for x in s.entry_ms]
    return Goal("decision to entry, p99 over all ordered pairs", _percentile(entries, 99), GOAL_MS, " ms", at_most=True)


def switch_command(
    bundle: Annotated[Path, typer.Argument(help="The bundle directory.", show_default=False)],
    rounds: Annotated[int, typer.Option(min=1, help="How often each ordered pair is measured.")] = 40,
    threads: Annotated[int, typer.Option(min=1, help="Inference threads.")] = 1,
    library: Annotated[str, typer.Option("--engine-library", help="Which LiteRT library.")] = "auto",
    record: Annotated[Path | None, typer.Option(help="Folder to write switch.json and switch.md into.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how long a switch between resident variants takes."""
    import json
    import sys

    from edge.bench.record import command_line, show, write
    from edge.bundle.load import load_bundle

    result = bench_switch(
        load_bundle(bundle), rounds=rounds, threads=threads, library=library, command=command_line(sys.argv[1:])
    )
    if record is not None:
        write(result, record)
    if as_json:
        print(json.dumps(result.as_json(), indent=1))
    else:
        show(result)
