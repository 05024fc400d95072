"""How fast the journal takes frames, how many bytes one costs, how fast a summary is, and what a day writes to disk.

The day is real: every commit, checkpoint and retention delete of 24 hours at the default settings, on a journal that is
already as large as it may get; only the clock is made up. What it writes is read from /proc/self/io of a process that
does nothing else: `wchar` counts the bytes that SQLite hands to the kernel (WAL frames, checkpointed pages, headers),
`write_bytes` the whole 4 KB pages that the kernel sends to the disk for them, which is what a card sees apart from the
file system's own journal. SQLite's shared index (`-shm`) is mapped memory, which the kernel writes back when it is
older than half a minute; in a day that passes in minutes that has to be asked for.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from boards.board import Quantity
from boards.sensor import Method
from edge.journal import FrameRow, Journal, JournalError, JournalReader, JournalSettings
from edge.journal.summary import summarise

_BATCH = 50_000
_BULK = JournalSettings(batch_rows=_BATCH, max_pending_rows=4 * _BATCH, max_bytes=1 << 40)
_FRAME_NS = 100_000_000
_FPS = 10
_DAY_S = 86_400
_WRITE_BACK_S = 30  # Linux, Documentation/admin-guide/sysctl/vm.rst, dirty_expire_centisecs
# Name, quantity, and the seconds of a row as the daemon has them: short ones for what frames' energy comes from alone.
_CHANNELS = (
    ("VDD_IN", Quantity.POWER, 1),
    ("cpu-thermal", Quantity.TEMPERATURE, 10),
    ("battery", Quantity.RATIO, 10),
)


@dataclass(frozen=True)
class JournalBench:
    """The figures, and what they were measured on."""

    machine: str
    python: str
    sqlite: str
    frames: int
    ingest_frames_per_s: float
    ingest_frames_per_cpu_s: float
    bytes_per_frame: float
    summary_s: float
    summary_runs: int
    open_and_check_s: float
    day_frames: int
    day_wchar_bytes: int
    day_write_bytes: int
    day_journal_bytes: int
    day_cpu_s: float
    command: str


def bench_journal(frames: int = 2_600_000, directory: Path | None = None, day_s: int = _DAY_S) -> JournalBench:
    """Measure everything in a temporary folder under `directory`; takes about two minutes and 1 GB for the defaults."""
    with tempfile.TemporaryDirectory(dir=directory, prefix="joulepath-bench-") as place:
        big = Path(place) / "big.db"
        wall_s, cpu_s = _ingest(big, frames)
        size = big.stat().st_size
        summary_s = [_summary(big) for _ in range(5)]
        check_s = _open_and_check(big)
        big.unlink()
        day = _day_in_a_process(Path(place) / "day.db", day_s)
    return JournalBench(
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        frames=frames,
        ingest_frames_per_s=frames / wall_s,
        ingest_frames_per_cpu_s=frames / cpu_s,
        bytes_per_frame=size / frames,
        summary_s=statistics.median(summary_s),
        summary_runs=len(summary_s),
        open_and_check_s=check_s,
        day_frames=day_s * _FPS,
        day_wchar_bytes=day["wchar"],
        day_write_bytes=day["write_bytes"],
        day_journal_bytes=day["journal_bytes"],
        day_cpu_s=day["cpu_ms"] / 1e3,
        command=f"joulepath bench journal --frames {frames}",
    )


def render(result: JournalBench) -> Table:
    """The figures as a table."""
    table = Table(title=f"Journal ({result.machine}, Python {result.python}, SQLite {result.sqlite})")
    table.add_column("what")
    table.add_column("measured", justify="right")
    for what, value in (
        (f"ingest, {result.frames:,} frames in batches of {_BATCH:,}", f"{result.ingest_frames_per_s:,.0f} frames/s"),
        ("the same per second of CPU time", f"{result.ingest_frames_per_cpu_s:,.0f} frames/s"),
        ("on disk", f"{result.bytes_per_frame:.1f} bytes a frame"),
        (f"summary of all runs, median of {result.summary_runs}", f"{result.summary_s * 1e3:,.1f} ms"),
        ("open, check and close the whole file", f"{result.open_and_check_s * 1e3:,.0f} ms"),
        (f"a day at {_FPS} fps and 3 channels, bytes handed to the kernel", f"{result.day_wchar_bytes / 1e6:,.1f} MB"),
        ("the same day, pages sent to the disk", f"{result.day_write_bytes / 1e6:,.1f} MB"),
        ("CPU time of that day", f"{result.day_cpu_s:,.1f} s"),
        ("size of that journal, full and purged as it goes", f"{result.day_journal_bytes / 1e6:,.1f} MB"),
    ):
        table.add_row(what, value)
    return table


def bench_command(
    frames: Annotated[int, typer.Option("--frames", help="How many frames to ingest.")] = 2_600_000,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where to write: a folder on the disk in question.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the journal: ingest, bytes a frame, summary, bytes written a day."""
    result = bench_journal(frames, directory)
    if as_json:
        typer.echo(json.dumps(asdict(result), indent=2))
    else:
        Console().print(render(result))


def _rows(first: int, count: int, start_ns: int, rng: random.Random) -> list[FrameRow]:
    """Frames as the daemon makes them: a slow clock, times and energies that vary, accuracy unknown."""
    rows = []
    for sequence in range(first, first + count):
        at_ns = start_ns + sequence * _FRAME_NS + rng.randrange(1_000_000)
        energy_uj = 500_000 + rng.randrange(100_000)
        rows.append(
            FrameRow(
                sequence=sequence,
                start_ns=at_ns,
                end_ns=at_ns + _FRAME_NS,
                variant_id=1 + sequence // 6000 % 4,
                skipped=0,
                age_us=90_000 + rng.randrange(40_000),
                prepare_us=4_000 + rng.randrange(3_000),
                infer_us=70_000 + rng.randrange(20_000),
                finish_us=3_000 + rng.randrange(5_000),
                energy_uj=energy_uj,
                infer_energy_uj=energy_uj * 4 // 5,
                uncertainty_uj=10_000 + rng.randrange(5_000),
                samples=5,
                method=Method.MEASURED,
            )
        )
    return rows


def _ingest(path: Path, frames: int) -> tuple[float, float]:
    """Wall and CPU seconds from the first append to the last commit; making the rows is not counted."""
    rng = random.Random(1)
    wall_s = cpu_s = 0.0
    with Journal.open(path, _BULK) as journal:
        for number in range(1, 5):
            journal.register_variant(f"path-{number}", f"path-{number}", "int8", "litert")
        journal.start_run("bench", "bench")
        _save(journal)
        start_ns = time.monotonic_ns()
        for first in range(0, frames, _BATCH):
            rows = _rows(first, min(_BATCH, frames - first), start_ns, rng)
            wall, cpu = time.perf_counter(), time.process_time()
            journal.append_frames(rows)
            _save(journal)
            wall_s += time.perf_counter() - wall
            cpu_s += time.process_time() - cpu
    return wall_s, cpu_s


def _save(journal: Journal) -> None:
    if not journal.flush(60):
        raise JournalError(f"the journal could not be written: {journal.blocked}")


def _summary(path: Path) -> float:
    start = time.perf_counter()
    with JournalReader(path) as reader:
        for run in reader.runs():
            summarise(reader, run)
    return time.perf_counter() - start


def _open_and_check(path: Path) -> float:
    start = time.perf_counter()
    Journal.open(path, _BULK, threaded=False).close()
    return time.perf_counter() - start


class _Clock:
    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns


def _day_in_a_process(path: Path, day_s: int) -> dict[str, int]:
    _fill(path)
    done = subprocess.run(
        [sys.executable, "-m", "edge.bench.journal", "--day", str(path), str(day_s)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def _fill(path: Path) -> None:
    """A journal at its default bound: the state in which each new row drives an old one out."""
    rng = random.Random(2)
    rows = _rows(0, _BATCH, 0, rng)
    with Journal.open(path, JournalSettings(batch_rows=_BATCH, max_pending_rows=4 * _BATCH)) as journal:
        for name, quantity, row_s in _CHANNELS:
            journal.register_channel(name, quantity, row_s=row_s)
        journal.start_run("bench", "bench")
        start_ns = time.monotonic_ns()
        first = 0
        while path.stat().st_size < journal.settings.max_bytes:
            shift_ns = start_ns + first * _FRAME_NS
            journal.append_frames(
                [
                    row._replace(sequence=first + place, start_ns=row.start_ns + shift_ns, end_ns=row.end_ns + shift_ns)
                    for place, row in enumerate(rows)
                ]
            )
            for second in range(_BATCH // _FPS):
                _samples(journal, shift_ns + second * 1_000_000_000, rng)
            _save(journal)
            first += _BATCH


def _samples(journal: Journal, time_ns: int, rng: random.Random) -> None:
    for part in (0, 500_000_000):
        journal.sample("VDD_IN", time_ns + part, 5 + rng.random())
        journal.sample("cpu-thermal", time_ns + part, 60 + rng.random())
        journal.sample("battery", time_ns + part, 0.5 + rng.random() / 1000)


def _decide(journal: Journal, time_ns: int, rng: random.Random) -> None:
    """An observation and a decision as long as the daemon's own, for a bundle of ten variants."""
    latencies = {f"p{path}-{precision}": round(10 + rng.random(), 2) for path in range(5) for precision in ("a", "b")}
    seen = {"battery": 0.5, "temperature_c": 60.1234, "power_w": 5.1234, "throttled": False, "fps": 9.9876}
    number = journal.observation(time_ns, seen | {"running": "p1-int8", "camera_fps": 10.0, "latency_ms": latencies})
    reason = "the battery has 12.1 Wh for 3.2 h: 3.78 W, so p1-int8, sharing time: full for 33 %, p1 for the rest"
    names = ("latency_ms", "power_w", "energy_mj", "temperature_c", "accuracy", "slowdown", "budget_w", "share")
    journal.decision(time_ns, number, 1, reason, {f"expected_{name}": round(rng.random(), 4) for name in names})


def _live_a_day(path: Path, day_s: int) -> Iterator[tuple[str, int]]:
    clock = _Clock()
    rng = random.Random(3)
    before = _io()
    journal = Journal.open(path, monotonic_ns=clock, utc_ns=lambda: 1_790_000_000_000_000_000 + clock(), threaded=False)
    for name, quantity, row_s in _CHANNELS:
        journal.register_channel(name, quantity, row_s=row_s)
    start_ns = clock()
    journal.start_run("bench", "bench")
    for second in range(day_s):
        journal.append_frames(_rows(second * _FPS, _FPS, start_ns, rng))
        _samples(journal, clock(), rng)
        if second % 30 == 0:
            _decide(journal, clock(), rng)
        if second % 600 == 0:
            journal.switch(clock(), 1 + second // 600 % 4, 1 + (second // 600 + 1) % 4, "bench")
        clock.now_ns += 1_000_000_000
        journal.tick()
        if second % _WRITE_BACK_S == 0:
            _write_back(path.with_name(f"{path.name}-shm"))
    if not journal.close():
        raise JournalError(f"the day's journal could not be written: {journal.blocked}")
    after = _io()
    yield from ((name, after[name] - before[name]) for name in ("wchar", "write_bytes"))
    yield "journal_bytes", path.stat().st_size
    yield "cpu_ms", round(time.process_time() * 1000)


def _write_back(file: Path) -> None:
    """What the kernel does of itself once a file's dirty pages are old."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _io() -> dict[str, int]:
    lines = Path("/proc/self/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(":") for line in lines)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--day"]:
        print(json.dumps(dict(_live_a_day(Path(sys.argv[2]), int(sys.argv[3])))))
    else:
        typer.run(bench_command)
