"""What sampling costs here: the total rail of an INA3221 at 50 Hz and two others at 5 Hz, from files laid out as sysfs.

    python -m tests.lab.energy.cost [SECONDS]

An emulated processor's time says nothing, so this runs on the machine itself; a real chip adds the time of its bus.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from boards.assembly import Assembly, SensorBoard
from boards.generic import add_power
from boards.roots import Roots
from edge.meter import Meter
from edge.sampler import Sampler
from tests.lab.energy.counted import LABELS, SHUNT_UOHM


def lay_out(root: Path) -> None:
    """The files of one INA3221 as its driver shows them."""
    chip = root / "sys/class/hwmon/hwmon0"
    chip.mkdir(parents=True)
    files: dict[str, object] = {"name": "ina3221", "update_interval": 7, "samples": 1}
    for number, label in enumerate(LABELS, 1):
        files |= {f"in{number}_label": label, f"in{number}_input": 5040, f"in{number}_enable": 1}
        files |= {f"curr{number}_input": 1200 + number, f"shunt{number}_resistor": SHUNT_UOHM}
    for name, value in files.items():
        (chip / name).write_text(f"{value}\n")


def share_of_a_core(board: SensorBoard, seconds: float) -> tuple[float, dict[str, float]]:
    """Processor time over time of the whole process, and reads a second of each channel."""
    channel = next(channel for channel in board.channels if channel.name == board.energy_channel)
    sampler = Sampler(board, meter=Meter.for_channel(channel), on_sample=lambda name, at_ns, value: None)
    sampler.start()
    time.sleep(1.0)
    reads = {channel.name: -sampler.stats(channel.name).reads for channel in board.channels}
    cpu_s, wall_s = time.process_time(), time.monotonic()
    time.sleep(seconds)
    cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
    rates = {name: (count + sampler.stats(name).reads) / wall_s for name, count in reads.items()}
    sampler.close()
    return cpu_s / wall_s, rates


def main(seconds: float) -> None:
    """Three runs, one line each."""
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder))
        assembly = Assembly(Roots.under(Path(folder)))
        add_power(assembly, LABELS[0])
        board = assembly.board("files", "files in a folder")
        for _ in range(3):
            share, rates = share_of_a_core(board, seconds)
            print(f"{100 * share:.2f} % of one core;", {name: round(rate, 1) for name, rate in rates.items()})
        board.close()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 15.0)
