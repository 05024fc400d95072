"""What a daemon costs that has nothing to do, and how soon after its start the first frame is done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.bench.child import JOULEPATH, environment
from edge.bench.idle_daemon import CAMERA, LABELS, RATE_HZ
from edge.bench.interleave import Spread
from edge.bench.machine import describe_machine
from edge.bench.record import BenchError, Cell, Goal, Result, Table, now_utc

GOAL_CPU_PERCENT = 1.5
GOAL_START_S = 2.0
SETTLE_S = 5.0


@dataclass(frozen=True)
class Idle:
    """Processor time of the daemon and its processes over a while, in percent of one core, by process."""

    seconds: float
    percent: float
    by_process: dict[str, float]
    samples_per_s: float  # of each rail


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process: first inference under way, its mask done, process gone (one frame)."""

    infer_s: float
    first_frame_s: float
    ended_s: float


def bench_idle(
    bundle: Path,
    *,
    seconds: float = 40.0,
    starts: int = 7,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Result:
    """Measure `bundle` idle for `seconds`, and started `starts` times (and once before, for the file cache).

    Raises BenchError when the daemon does not run.
    """
    machine, started = describe_machine(("ai-edge-litert", "tflite-runtime", "numpy", "psutil")), now_utc()
    with tempfile.TemporaryDirectory(prefix="joulepath-bench-") as temporary:
        say(f"idle for {seconds:g} s")
        idle = measure_idle(bundle, Path(temporary) / "idle", seconds)
        found = []
        for number in range(starts + 1):
            say(f"start {number} of {starts}")
            found.append(measure_start(bundle, Path(temporary) / f"start-{number}"))
    return Result(
        name="idle",
        title="A daemon at rest, and its start",
        command=command,
        machine=machine,
        started_utc=started,
        method=(
            f"At rest: a daemon on camera `{CAMERA}` that samples {len(LABELS)} rails at {RATE_HZ:g} Hz each (the "
            "files of an INA3221 in a folder, read by the code that reads real ones); processor time of it, its camera "
            f"and its engine process over {seconds:g} s after {SETTLE_S:g} s of settling. Reading a real chip adds the "
            "time of its bus.",
            "Start: `joulepath run --camera synthetic --board simulated --frames 1`, monotonic time from starting the "
            "process to the end of the first frame's mask as the journal has it; one start before is not counted.",
        ),
        tables=(_idle_table(idle), _start_table(found[1:])),
        goals=(
            Goal("processor at rest, of one core", idle.percent, GOAL_CPU_PERCENT, " %", at_most=True),
            Goal(
                "start to first frame, warm file cache, median",
                Spread.of([one.first_frame_s for one in found[1:]]).median,
                GOAL_START_S,
                " s",
                at_most=True,
            ),
        ),
        notes=(f"bundle {bundle.resolve().name}",),
        details={"idle": asdict(idle), "starts": [asdict(one) for one in found]},
    )


# -- at rest --------------------------------------------------------------------------------------------------


def measure_idle(bundle: Path, folder: Path, seconds: float, settle_s: float = SETTLE_S) -> Idle:
    """Run an idle daemon for `seconds` after `settle_s`. Raises BenchError when it ends early or does not answer."""
    folder.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "edge.bench.idle_daemon", str(bundle.resolve()), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise BenchError(f"the idle daemon did not start: {_last_line(process)}")
        time.sleep(settle_s)
        before, began_s = _cpu_by_process(process.pid), time.monotonic()
        time.sleep(seconds)
        after, ended_s = _cpu_by_process(process.pid), time.monotonic()
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if not said.strip():
        raise BenchError("the idle daemon ended without its counts; run joulepath run by hand to see why")
    counts = json.loads(said.splitlines()[-1])
    return _idle(before, after, ended_s - began_s, counts)


def _idle(before: dict[int, Any], after: dict[int, Any], wall_s: float, counts: dict[str, Any]) -> Idle:
    by_process: dict[str, float] = {}
    for pid, (name, cpu_s) in after.items():
        spent = cpu_s - before.get(pid, (name, 0.0))[1]
        by_process[name] = by_process.get(name, 0.0) + 100 * spent / wall_s
    return Idle(wall_s, sum(by_process.values()), by_process, min(counts["reads"].values()) / counts["seconds"])


def _cpu_by_process(pid: int) -> dict[int, tuple[str, float]]:
    """Processor seconds of a process and all below it, with what each one is."""
    import psutil

    try:
        root = psutil.Process(pid)
        found = {}
        for process in (root, *root.children(recursive=True)):
            times = process.cpu_times()
            found[process.pid] = (_role(process.cmdline()), times.user + times.system)
    except psutil.Error as error:
        raise BenchError(f"the idle daemon's processes cannot be read: {error}") from error
    return found


def _role(arguments: Sequence[str]) -> str:
    modules = [argument for argument in arguments if argument.startswith("edge.")]
    return modules[0] if modules else "other"


def _last_line(process: subprocess.Popen[str]) -> str:
    _, said = process.communicate()
    lines = [line for line in (said or "").splitlines() if line.strip()]
    return lines[-1] if lines else f"status {process.returncode}"


# -- starting -------------------------------------------------------------------------------------------------


def measure_start(bundle: Path, folder: Path) -> Start:
    """Start `joulepath run` for one frame. Raises BenchError when it fails."""
    from edge.journal import JournalReader

    folder.mkdir(parents=True)
    journal = folder / "journal.db"
    arguments = [
        "run", "--bundle", str(bundle.resolve()), "--camera", "synthetic", "--board", "simulated", "--frames", "1",
        "--journal", str(journal), "--socket", str(folder / "s"), "--quiet",
    ]  # fmt: skip
    began_ns = time.monotonic_ns()
    done = subprocess.run([*JOULEPATH, *arguments], capture_output=True, text=True, env=environment(), cwd=os.getcwd())
    ended_ns = time.monotonic_ns()
    if done.returncode != 0:
        raise BenchError(f"joulepath run failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    with JournalReader(journal) as reader:
        first = next(iter(reader.frames()))
    finished_ns = first.start_ns + 1000 * (first.infer_us + first.finish_us)
    return Start(
        infer_s=(first.start_ns - began_ns) / 1e9,
        first_frame_s=(finished_ns - began_ns) / 1e9,
        ended_s=(ended_ns - began_ns) / 1e9,
    )


# -- reporting ------------------------------------------------------------------------------------------------


def _idle_table(idle: Idle) -> Table:
    rows: list[tuple[Cell, ...]] = [(name, percent) for name, percent in idle.by_process.items()]
    rows.append(("all", idle.percent))
    title = f"At rest, {idle.seconds:.0f} s, each rail read {idle.samples_per_s:.1f} times a second"
    return Table(title, ("process", "% of one core"), tuple(rows))


def _start_table(starts: Sequence[Start]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for what, name in (
        ("first inference begins", "infer_s"),
        ("first mask", "first_frame_s"),
        ("process gone", "ended_s"),
    ):
        spread = Spread.of([getattr(one, name) for one in starts])
        rows.append((what, spread.median, spread.p10, spread.p90))
    return Table(f"Start, {len(starts)} times", ("until", "median s", "p10 s", "p90 s"), tuple(rows))


def idle_command(
    bundle: Annotated[Path | None, typer.Option(help="bundle directory; the shipped one when absent")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="how long the daemon rests, s")] = 40.0,
    starts: Annotated[int, typer.Option(min=1, help="how often it is started")] = 7,
    record: Annotated[Path | None, typer.Option(help="write idle.json and idle.md into this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    from edge.bench.output import finish, note, own_command
    from edge.demo.run import BUNDLE

    finish(
        bench_idle(bundle or BUNDLE, seconds=seconds, starts=starts, command=own_command(), say=note), record, as_json
    )
