"""`joulepath bench model`: one SegFormer on every CPU engine that is installed, as published and folded.

Every row is a process of its own; all are driven round-robin, so that ratios compare neighbours in time. Nothing heavy
is imported here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.bench.child import LineChild
from edge.bench.interleave import Rounds, Spread, interleave
from edge.bench.machine import describe_machine
from edge.bench.output import finish, note, own_command
from edge.bench.record import BenchError, Cell, Goal, Result, Table, now_utc

if TYPE_CHECKING:
    from converters.bench_graphs import Made, Network

LOAD_TIMEOUT_S, TURN_TIMEOUT_S = 300.0, 300.0
LIBRARIES = (
    "ai-edge-litert", "ai-edge-quantizer", "tensorflow-cpu", "tensorflow", "tflite-runtime", "onnxruntime", "onnx",
    "openvino", "torch", "transformers", "numpy",
)  # fmt: skip
STOCK, FOLDED, INT8 = "stock", "folded", "folded int8"

_HELP = """Latency of one SegFormer on every CPU engine here, stock and folded, interleaved.

Weights are random (latency does not depend on them) and the graph files are kept in --work, so that repeats are quick.
Rows whose engine is not installed say so.

Examples:

  joulepath bench model

  joulepath bench model --work ~/.cache/joulepath-bench --tflite-python ~/tflite/bin/python --record docs/bench
"""


def register(bench: typer.Typer) -> None:
    """Add `model` to the bench commands (entry point group ``joulepath.bench``)."""
    bench.command("model", help=_HELP)(model)


def model(
    networks: Annotated[str, typer.Option(help="comma-separated: b0, b2, or tiny for a trial")] = "b0,b2",
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of the input, pixels")] = "512x512",
    classes: Annotated[int, typer.Option(min=2)] = 150,
    threads: Annotated[int, typer.Option(min=1, help="threads of every engine")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="interleaved rounds of the smallest network; b2 gets half")] = 24,
    work: Annotated[Path | None, typer.Option(help="keeps graph files for the next run")] = None,
    tflite_python: Annotated[Path | None, typer.Option(help="interpreter with tflite-runtime and numpy 1")] = None,
    engines: Annotated[str | None, typer.Option(help="comma-separated, only these engines")] = None,
    prepare: Annotated[bool, typer.Option("--prepare", help="only make the graph files in --work")] = False,
    record: Annotated[Path | None, typer.Option(help="write model.json and model.md into this folder")] = None,
) -> None:
    height, width = _size(size)
    names = _named(networks)
    if prepare:
        _prepare([(name, height, width, classes) for name in names], work)
        return
    with tempfile.TemporaryDirectory(prefix="joulepath-bench-") as temporary:
        result = measure(
            [(name, height, width, classes) for name in names],
            rounds={name: max(1, rounds // 2) if name == "b2" else rounds for name in names},
            threads=threads,
            work=work or Path(temporary),
            tflite_python=tflite_python,
            engines=None if engines is None else tuple(engines.split(",")),
            command=own_command(),
        )
    finish(result, record)


def _prepare(networks: Sequence[tuple[str, int, int, int]], work: Path | None) -> None:
    from converters.bench_graphs import Network, make_files

    if work is None:
        raise typer.BadParameter("--prepare needs --work FOLDER, where the files are to be kept")
    for one in networks:
        for kind, made in make_files(Network(*one), work, say=note).items():
            print(f"{Network(*one).name}{kind}: {made.reason or 'ready'}")


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.partition("x")
    if not (cross and height.isdigit() and width.isdigit() and int(height) >= 32 and int(width) >= 32):
        raise typer.BadParameter(f"{text!r} is not a size; write HEIGHTxWIDTH of at least 32x32, such as 512x512")
    return int(height), int(width)


def _named(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in ("b0", "b2", "tiny"):
            raise typer.BadParameter(f"{name!r} is not a network of this benchmark; it has: b0, b2, tiny")
    return names


@dataclass
class Row:
    """One engine with one form of the network; what `open_rows` and the rounds find out about it."""

    engine: str
    form: str
    file: str
    raw: bool  # takes raw BGR pixels, channels last; otherwise what published graphs take
    foreign: Path | None = None
    eager: str | None = None
    child: LineChild | None = None
    missing: str = ""
    version: str = ""
    agreement: float | None = None
    busy_cores: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.engine}, {self.form}"


def rows_of(tflite_python: Path | None) -> list[Row]:
    """Everything that is compared, in the order of a round."""
    rows = []
    for form, file in ((STOCK, "-stock.tflite"), (FOLDED, "-folded.tflite"), (INT8, "-int8.tflite")):
        rows.append(Row("ai-edge-litert", form, file, raw=True))
    for engine in ("onnxruntime", "openvino", "openvino-bf16"):
        rows.append(Row(engine, STOCK, "-stock.onnx", raw=False))
        rows.append(Row(engine, FOLDED, "-folded.onnx", raw=False))
    for form, file in ((STOCK, "-stock.tflite"), (FOLDED, "-folded.tflite")):
        rows.append(Row("tflite-runtime", form, file, raw=True, foreign=tflite_python))
    rows += [Row("torch", form, "-hf", raw=False, eager=form) for form in (STOCK, FOLDED)]
    return rows


def measure(
    networks: Sequence[tuple[str, int, int, int]],
    *,
    rounds: Mapping[str, int],
    threads: int,
    work: Path,
    tflite_python: Path | None,
    engines: tuple[str, ...] | None,
    command: str,
) -> Result:
    """Measure each network (config, height, width, classes) in rounds of its own. Raises BenchError."""
    from converters.bench_graphs import Network, make_files

    every_row = rows_of(tflite_python)
    if engines is not None:
        known = {row.engine for row in every_row}
        if strange := sorted(set(engines) - known):
            raise BenchError(f"no engine {', '.join(strange)} in this benchmark; it has: {', '.join(sorted(known))}")
    wanted = [Network(*one) for one in networks]
    kinds = {row.file for row in every_row if engines is None or row.engine in engines}
    made = {one: make_files(one, work, kinds, note) for one in wanted}
    machine, started = describe_machine(LIBRARIES), now_utc()
    tables, goals, details = [], [], {}
    for one in wanted:
        rows = [row for row in rows_of(tflite_python) if engines is None or row.engine in engines]
        found = _measure_network(one, made[one], rows, rounds[one.config], threads)
        tables.append(_table(one, rows, found, threads))
        goals += list(_goals(one, found))
        details[one.name] = {
            "times_ms": found.values,
            "busy_cores": {row.name: row.busy_cores for row in rows if row.busy_cores},
            "versions": {row.name: row.version for row in rows if row.version},
            "missing": {row.name: row.missing for row in rows if row.missing},
        }
    return Result(
        name="model",
        title="Model latency: stock against folded, engine by engine",
        command=command,
        machine=machine,
        started_utc=started,
        method=_method(threads),
        tables=tuple(tables),
        goals=tuple(goals),
        details=details,
    )


def _measure_network(wanted: Network, made: Mapping[str, Made], rows: list[Row], rounds: int, threads: int) -> Rounds:
    from rich.console import Console
    from rich.progress import Progress

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="joulepath-bench-")))
        _open_rows(wanted, made, rows, threads, folder, stack)
        running = {row.name: row for row in rows if row.child is not None}
        if not running:
            reasons = "; ".join(f"{row.name}: {row.missing}" for row in rows)
            raise BenchError(f"no engine of this benchmark can run here: {reasons}; pip install 'joulepath[convert]'")
        # Drawn between rounds only: a bar that redraws itself would run beside the engines.
        bar = stack.enter_context(Progress(console=Console(stderr=True), auto_refresh=False, transient=True))
        task = bar.add_task(f"{wanted.name}: rounds", total=rounds)
        return interleave(
            {name: partial(_turn, row) for name, row in running.items()},
            rounds,
            on_round=lambda done: bar.update(task, completed=done, refresh=True),
        )


def _open_rows(
    wanted: Network, made: Mapping[str, Made], rows: list[Row], threads: int, folder: Path, stack: ExitStack
) -> None:
    import numpy as np

    from converters.bench_graphs import published_input, raw_input

    image = wanted.image()
    np.save(folder / "raw.npy", raw_input(image))
    np.save(folder / "published.npy", published_input(image))
    classes: dict[str, Any] = {}
    for number, row in enumerate(rows):
        file = made[row.file].path
        if file is None:
            row.missing = made[row.file].reason
            continue
        output = folder / f"{number}.npy"
        plan = {
            "engine": row.engine,
            "model": str(file) if row.eager is None else f"{file}:{row.eager}",
            "threads": threads,
            "input": str(folder / ("raw.npy" if row.raw else "published.npy")),
            "output": str(output),
        }
        note(f"loading {row.name}")
        if _start(row, plan, stack):
            classes[row.name] = np.load(output)[0].argmax(-1 if row.raw else 0)
            reference = next(iter(classes.values()))
            row.agreement = float((classes[row.name] == reference).mean())


def _start(row: Row, plan: dict[str, Any], stack: ExitStack) -> bool:
    """Start the row's process; False when it says, or shows, that it cannot run this file."""
    from converters import bench_worker

    try:
        if row.foreign is None:
            child = stack.enter_context(LineChild.module("converters.bench_worker"))
        else:
            child = stack.enter_context(LineChild.script(row.foreign, Path(bench_worker.__file__)))
        child.tell(plan)
        answer = child.hear(LOAD_TIMEOUT_S)
    except BenchError as error:
        row.missing = str(error)
        return False
    if "missing" in answer:
        row.missing = answer["missing"]
        return False
    row.child, row.version = child, answer["version"]
    return True


def _turn(row: Row) -> float:
    assert row.child is not None
    row.child.tell({"runs": 1})
    answer = row.child.hear(TURN_TIMEOUT_S)
    row.busy_cores.append(float(answer["busy_cores"]))
    return float(Spread.of(answer["times_ms"]).median)


# -- reporting ------------------------------------------------------------------------------------------------


def _table(wanted: Network, rows: list[Row], found: Rounds, threads: int) -> Table:
    ours = f"ai-edge-litert, {FOLDED}"
    lines: list[tuple[Cell, ...]] = []
    for row in rows:
        label = f"{row.engine} {row.version}".strip()
        if row.name not in found.values:
            lines.append((label, row.form, row.missing, None, None, None, None, None))
            continue
        spread, busy = found.spread(row.name), Spread.of(row.busy_cores)
        against = str(found.ratio(row.name, ours)) if ours in found.values else None
        agreement = None if row.agreement is None else f"{row.agreement:.4f}"
        lines.append((label, row.form, spread.median, spread.p10, spread.p90, against, agreement, busy.median))
    counts = {len(values) for values in found.values.values()}
    title = (
        f"SegFormer-{wanted.config.upper()} {wanted.height}x{wanted.width}, {wanted.classes} classes, "
        f"{threads} thread{'s' * (threads > 1)}, {max(counts)} rounds"
    )
    columns = (
        "engine", "form", "median ms", "p10 ms", "p90 ms", "times ours (95 %)", "same argmax", "cores busy",
    )  # fmt: skip
    return Table(title, columns, tuple(lines))


def _goals(wanted: Network, found: Rounds) -> Iterator[Goal]:
    """The goals hold for the networks and the size that they were set for."""
    if (wanted.height, wanted.width, wanted.classes) != (512, 512, 150):
        return
    litert = "ai-edge-litert"
    stock, folded, int8 = (f"{litert}, {form}" for form in (STOCK, FOLDED, INT8))
    published = f"onnxruntime, {STOCK}"
    bounds = {
        "b0": [(stock, folded, 1.7), (folded, int8, 1.3)],
        "b2": [(stock, folded, 2.3), (published, folded, 2.5)],
    }
    for slow, fast, bound in bounds.get(wanted.config, []):
        what = f"SegFormer-{wanted.config.upper()}: {slow} / {fast}"
        if slow in found.values and fast in found.values:
            ratio = found.ratio(slow, fast)
            yield Goal(what, ratio.median, bound, "x", interval=(ratio.low, ratio.high))
        else:
            lacking = slow if slow not in found.values else fast
            yield Goal(what, None, bound, "x", why_unknown=f"no row {lacking}")


def _method(threads: int) -> tuple[str, ...]:
    return (
        f"Each row is a process of its own with {threads} inference thread{'s' * (threads > 1)}; rounds are "
        "interleaved (every row once a round, in the table's order). A turn is one run that is not counted, then one "
        "that is.",
        "Timed: from a float32 image in memory to the output in the engine's memory. Preparing the image is in no "
        "row's time (stock and folded ONNX and torch take it normalised; ours take raw pixels).",
        '"times ours": the median over rounds of this row\'s time over that of ai-edge-litert folded in the same '
        "round, with a 95 % bootstrap interval over rounds.",
        "stock: the published computation; in TFLite files our own NHWC writing of it, for ONNX and torch "
        "transformers' own module. folded: the same function after exact rewrites; for ONNX and torch those of the "
        "decoder and its batch norm. folded int8: static int8 in the matrix products and convolutions that pay.",
        'Weights are random with a fixed seed, the image is one of the synthetic street; "same argmax" is the share '
        "of output positions whose class is the first row's, a check that all rows compute the same function (on "
        "random weights; no accuracy).",
        '"cores busy": processor time over wall time within a turn.',
    )
