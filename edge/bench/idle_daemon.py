"""A daemon that has next to nothing to do, for `joulepath bench idle`: three rails at 50 Hz, a frame every 100 s.

Run as a process of its own: ``python -m edge.bench.idle_daemon BUNDLE FOLDER``. The rails are an INA3221's files under
a folder that stands for /sys, read by the same code as real ones. Ends at SIGTERM and prints what was sampled.
"""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from boards.assembly import SensorBoard
from boards.board import Activity, BoardInfo, Channel, Quantity
from boards.linux import open_linux
from boards.roots import Roots

RATE_HZ = 50.0
LABELS = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")
CAMERA = "synthetic:360x480@0.01"


@dataclass(frozen=True)
class FastRails:
    """A Linux board that reads each of its rails at `RATE_HZ`; all else as it is."""

    board: SensorBoard

    @property
    def info(self) -> BoardInfo:
        return self.board.info

    @property
    def energy_channel(self) -> str | None:
        return self.board.energy_channel

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(
            replace(channel, period_s=1 / RATE_HZ) if channel.quantity is Quantity.POWER else channel
            for channel in self.board.channels
        )

    def note(self, activity: Activity) -> None:
        self.board.note(activity)

    def close(self) -> None:
        self.board.close()


def write_rails(sys_root: Path) -> Path:
    """The files of an INA3221 with three lines under `sys_root`, as its Linux driver lays them out."""
    chip = sys_root / "class/hwmon/hwmon0"
    chip.mkdir(parents=True)
    (chip / "name").write_text("ina3221\n")
    for number, label in enumerate(LABELS, start=1):
        (chip / f"in{number}_label").write_text(f"{label}\n")
        (chip / f"in{number}_input").write_text("5064\n")
        (chip / f"curr{number}_input").write_text(f"{400 * number}\n")
        (chip / f"shunt{number}_resistor").write_text("5000\n")
    return sys_root


def main(arguments: list[str]) -> None:
    """Run until SIGTERM."""
    from edge.daemon import Daemon, RunOptions

    bundle, folder = map(Path, arguments)
    board = FastRails(open_linux(Roots(sys=write_rails(folder / "sys"))))
    options = RunOptions(bundle=bundle, camera=CAMERA, board="linux", journal=folder / "journal.db", threads=1)
    with Daemon(options, board=board) as daemon:
        signal.signal(signal.SIGTERM, lambda number, frame: daemon.stop())
        print(json.dumps({"running": True}), flush=True)
        summary = daemon.run()
        reads = {label: daemon.sampler.stats(label).reads for label in LABELS}
    print(json.dumps({"reads": reads, "frames": summary.frames, "seconds": summary.seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
