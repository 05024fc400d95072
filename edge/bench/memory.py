"""Memory of an engine process with several float paths resident, and what sharing packed weights costs and saves.

Contestants differ in one thing at a time: the plain interpreter or shared weights, all paths or the full path alone.
Memory is what the kernel counts for the worker process (proportional set size: pages that n processes map count
1/n), read after every path has run. Latency is taken in rounds, both engines resident.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer

from edge.bench.interleave import Rounds, interleave
from edge.bench.machine import describe_machine
from edge.bench.record import BenchError, Cell, Goal, Result, Table, now_utc
from edge.bundle.load import Bundle
from edge.variants import Pool

FLOATS = ("float32", "float16")
GOAL_RATIO = 1.4
STARTS = 3
Frame = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]


@dataclass(frozen=True)
class Pair:
    """A bundle whose paths live in one float file, and one that has the first of these paths alone."""

    name: str
    paths: Bundle
    alone: Bundle


@dataclass(frozen=True)
class Memory:
    """One start of a worker: MiB, and milliseconds to open the file and to be ready to serve."""

    pss_mib: float
    anonymous_mib: float
    file_mib: float
    open_ms: float
    load_ms: float
    shared: bool


def bench_memory(
    pairs: Sequence[Pair],
    *,
    rounds: int = 20,
    starts: int = STARTS,
    threads: int = 1,
    command: str = "",
    note: Callable[[str], None] = lambda _: None,
) -> Result:
    """Measure every pair. Raises BenchError for a bundle without a float file of several paths, EngineError."""
    machine, started = describe_machine(("numpy", "ai-edge-litert", "tflite-runtime")), now_utc()
    tables: list[Table] = []
    goals: list[Goal] = []
    details: dict[str, object] = {}
    for pair in pairs:
        ids, lone = _float_ids(pair.paths), _float_ids(pair.alone)[:1]
        note(f"{pair.name}: {len(ids)} paths")
        with tempfile.TemporaryDirectory(prefix="joulepath-memory-") as folder:
            cache = Path(folder)
            rows = {
                "plain, full alone": _starts(pair.alone, lone, threads, None, starts),
                "plain, all paths": _starts(pair.paths, ids, threads, None, starts),
                "shared, full alone": _starts(pair.alone, lone, threads, cache, starts + 1),
                "shared, all paths": _starts(pair.paths, ids, threads, cache, starts + 1),
            }
            timed = _latencies(pair.paths, ids, threads, cache, rounds)
        tables += [_memory_table(pair.name, len(ids), rows), _latency_table(pair.name, ids, timed)]
        goals += _goals(pair.name, len(ids), rows)
        details[pair.name] = {
            "starts": {name: [asdict(one) for one in found] for name, found in rows.items()},
            "latency_ms": dict(timed.values),
        }
    return Result(
        name="memory",
        title="Memory of several resident float paths",
        command=command,
        machine=machine,
        started_utc=started,
        method=(
            f"{threads} inference thread(s); one worker process at a time, its memory by /proc/PID/smaps_rollup after "
            f"every path has run twice; medians of {starts} starts",
            "plain: the interpreter, which packs each signature's weights for itself. shared: CompiledModel with one "
            "cache of packed weights for all signatures, kept as a file and mapped",
            "first start: no kept weights yet, they are packed and written; other starts map the kept file",
            "open: what the library takes to open the file; ready: from the start of loading until every path has "
            "run twice and may serve. The process's own start comes before",
            f"latency: {rounds} rounds, both engines resident, every path in turn on each; a turn is one inference "
            "that settles and one that counts, the model alone; ratios pair neighbours in time",
            "integer files keep the plain interpreter: the library's cache mixes up their paths (edge/engines)",
        ),
        tables=tuple(tables),
        goals=tuple(goals),
        details=details,
    )


def _float_ids(bundle: Bundle) -> list[str]:
    for precision in FLOATS:
        found = [v for v in bundle.manifest.variants if v.precision == precision and v.engine == "litert"]
        if found:
            return [v.id for v in found if v.file == found[0].file]
    raise BenchError(f"{bundle.root}: has no float32 or float16 variant; convert it with one of them")


def _starts(bundle: Bundle, ids: Sequence[str], threads: int, cache: Path | None, starts: int) -> list[Memory]:
    """Start a worker so many times; with a `cache` the first finds none."""
    found = []
    only = _only(bundle, ids)
    for _ in range(starts):
        with _pool(only, threads, cache) as pool:
            loaded = pool.wait(ids[0], timeout_s=600)
            for name in [*ids, *ids]:
                pool.infer(name, _frame())
            (worker,) = (process.pid for process in pool._files.values())
            fields = _rollup(Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines())
            found.append(
                Memory(
                    fields["Pss"],
                    fields["Pss_Anon"],
                    fields["Pss_File"] + fields["Pss_Shmem"],
                    loaded.open_ms,
                    loaded.load_ms,
                    loaded.shares_weights,
                )
            )
    return found


def _only(bundle: Bundle, ids: Sequence[str]) -> Bundle:
    variants = tuple(v for v in bundle.manifest.variants if v.id in ids)
    return Bundle(bundle.root, bundle.manifest.model_copy(update={"variants": variants}), bundle.golden, bundle.digest)


def _pool(bundle: Bundle, threads: int, cache: Path | None) -> Pool:
    return Pool(bundle, threads=threads, max_resident_files=1, slots=1, share_weights=cache is not None, cache=cache)


def _frame() -> Frame:
    return np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)


def _rollup(lines: Iterable[str]) -> dict[str, float]:
    """The fields of smaps_rollup in MiB."""
    fields: dict[str, float] = {}
    for line in lines:
        name, separator, rest = line.partition(":")
        if separator and rest.strip().endswith("kB"):
            fields[name] = int(rest.split()[0]) / 1024
    return fields


def _latencies(bundle: Bundle, ids: Sequence[str], threads: int, cache: Path, rounds: int) -> Rounds:
    only, frame = _only(bundle, ids), _frame()
    with ExitStack() as stack:
        pools = {
            kind: stack.enter_context(_pool(only, threads, cache if kind == "shared" else None))
            for kind in ("plain", "shared")
        }

        def turn(kind: str, name: str) -> Callable[[], float]:
            def measure() -> float:
                pools[kind].infer(name, frame)
                return pools[kind].infer(name, frame).invoke_ns / 1e6

            return measure

        for pool in pools.values():
            pool.wait(ids[0], timeout_s=600)
        return interleave({f"{kind} {name}": turn(kind, name) for name in ids for kind in pools}, rounds)


def _memory_table(name: str, paths: int, rows: dict[str, list[Memory]]) -> Table:
    def cells(what: str, found: Sequence[Memory]) -> tuple[Cell, ...]:
        keys = ("pss_mib", "anonymous_mib", "file_mib", "open_ms", "load_ms")
        return (what, *(median(getattr(one, key) for one in found) for key in keys))

    made: list[tuple[Cell, ...]] = []
    for what, found in rows.items():
        if found[0].shared:
            made.append(cells(f"{what}, first start", found[:1]))
            made.append(cells(f"{what}, other starts", found[1:]))
        else:
            made.append(cells(what, found))
    return Table(
        f"{name}: memory, {paths} paths",
        ("engine", "PSS MiB", "of it anonymous MiB", "of it files MiB", "open ms", "ready ms"),
        tuple(made),
    )


def _latency_table(name: str, ids: Sequence[str], timed: Rounds) -> Table:
    rows = tuple(
        (
            path,
            timed.spread(f"plain {path}").median,
            timed.spread(f"shared {path}").median,
            str(timed.ratio(f"shared {path}", f"plain {path}")),
        )
        for path in ids
    )
    return Table(f"{name}: latency", ("variant", "plain ms", "shared ms", "shared / plain (95 %)"), rows)


def _goals(name: str, paths: int, rows: dict[str, list[Memory]]) -> list[Goal]:
    all_paths, alone = rows["shared, all paths"], rows["shared, full alone"]
    if not all_paths[0].shared:
        why = "this library has no cache of packed weights"
        return [Goal(f"{name}: {paths} paths / full alone", None, GOAL_RATIO, "x", at_most=True, why_unknown=why)]
    ratio = median(one.pss_mib for one in all_paths[1:]) / median(one.pss_mib for one in alone[1:])
    return [Goal(f"{name}: PSS of {paths} resident paths / full alone", ratio, GOAL_RATIO, "x", at_most=True)]


def memory_command(
    bundle: Annotated[list[Path], typer.Option(help="bundle with several float paths in a file; may be repeated")],
    alone: Annotated[list[Path], typer.Option(help="the same with the full path alone; one for each --bundle")],
    rounds: Annotated[int, typer.Option(min=1, help="rounds of the latency comparison")] = 20,
    threads: Annotated[int, typer.Option(min=1, help="inference threads")] = 1,
    record: Annotated[Path | None, typer.Option(help="write memory.json and memory.md into this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Memory of an engine with several float paths resident: plain interpreter against shared packed weights.

    Example:

      joulepath bench memory --bundle b0-paths --alone b0-full --record docs/bench
    """
    from edge.bench.output import finish, note, own_command
    from edge.bundle.load import load_bundle

    if len(bundle) != len(alone):
        raise BenchError(f"{len(bundle)} --bundle and {len(alone)} --alone: each bundle needs its full path alone")
    pairs = [Pair(many.name, load_bundle(many), load_bundle(one)) for many, one in zip(bundle, alone, strict=True)]
    finish(bench_memory(pairs, rounds=rounds, threads=threads, command=own_command(), note=note), record, as_json)
