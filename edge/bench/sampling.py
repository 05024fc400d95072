"""`joulepath bench sampling`: what it costs to read three rails at 50 Hz from files laid out as sysfs has them."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from boards.board import Activity, BoardInfo, Channel, Quantity
from boards.rails import find_hwmon_rails
from edge.meter import Meter
from edge.sampler import Sampler

RAILS = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")


@dataclass(frozen=True)
class Cost:
    """Share of one core (0..1) that the whole process took, and how well deadlines were met."""

    rate_hz: float
    seconds: float
    core_share: float
    reads: int
    missed: int
    longest_gap_ms: float


class _RailsBoard:
    """Three hwmon rails, all sampled alike."""

    def __init__(self, sys_root: Path, rate_hz: float) -> None:
        self.channels = tuple(
            Channel(rail.label, Quantity.POWER, rail.sensor, 1 / rate_hz) for rail in find_hwmon_rails(sys_root)
        )
        self.energy_channel = RAILS[0]
        self.info = BoardInfo("rails", "files in a folder", RAILS[:1])

    def note(self, activity: Activity) -> None:
        """Files need not be told."""

    def close(self) -> None:
        """The folder goes with its context."""


def measure(rate_hz: float = 50.0, seconds: float = 10.0) -> Cost:
    """Sample in real time and read this process's own CPU clock before and after; nothing else may run in it."""
    with tempfile.TemporaryDirectory() as folder:
        _lay_out(Path(folder))
        board = _RailsBoard(Path(folder), rate_hz)
        meter = Meter.for_channel(replace(board.channels[0]))
        kept: list[int] = [0]

        def keep(name: str, at_ns: int, value: float) -> None:
            kept[0] += 1

        sampler = Sampler(board, meter=meter, on_sample=keep)
        sampler.start()
        time.sleep(0.5)
        cpu_s, wall_s = time.process_time(), time.monotonic()
        time.sleep(seconds)
        cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
        sampler.close()
        stats = [sampler.stats(name) for name in RAILS]
    return Cost(
        rate_hz=rate_hz,
        seconds=seconds,
        core_share=cpu_s / wall_s,
        reads=sum(line.reads for line in stats),
        missed=sum(line.missed for line in stats),
        longest_gap_ms=max(line.longest_gap_ns for line in stats) / 1e6,
    )


def run(
    *, rates_hz: Sequence[float] = (50.0, 100.0), seconds: float = 10.0, runs: int = 3, out: Path | None = None
) -> list[Cost]:
    """Measure every rate `runs` times in turn, print a table, and write it as JSON to `out`."""
    from rich.console import Console
    from rich.table import Table

    costs = [measure(rate_hz, seconds) for _ in range(runs) for rate_hz in rates_hz]
    table = Table(
        title=f"sampling three rails, {seconds:g} s a run, {platform.machine()}, Python {platform.python_version()}"
    )
    for column in ("Hz", "of one core", "reads", "missed ticks", "longest gap"):
        table.add_column(column, justify="right")
    for cost in sorted(costs, key=lambda cost: cost.rate_hz):
        table.add_row(
            f"{cost.rate_hz:g}",
            f"{100 * cost.core_share:.2f} %",
            str(cost.reads),
            str(cost.missed),
            f"{cost.longest_gap_ms:.1f} ms",
        )
    Console().print(table)
    if out is not None:
        record = {
            "command": "joulepath bench sampling",
            "machine": platform.platform(),
            "runs": [asdict(c) for c in costs],
        }
        out.write_text(json.dumps(record, indent=1) + "\n")
    return costs


def _lay_out(sys_root: Path) -> None:
    for number, label in enumerate(RAILS):
        chip = sys_root / f"class/hwmon/hwmon{number}"
        chip.mkdir(parents=True)
        for name, text in (
            ("name", "ina226"),
            ("power1_label", label),
            ("power1_input", f"{1_234_567 * (number + 1)}"),
        ):
            (chip / name).write_text(f"{text}\n")
