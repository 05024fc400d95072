"""Power constants of real boards, read off public traces: MLPerf Inference v1.0 power results (mlcommons, Apache-2.0).

Each trace is a wall meter's watts once a second around ten minutes of ResNet-50, one image after the other (single
stream), so the processor is busy throughout. Idle is the trace's 1st percentile (the seconds before and after the run),
busy its median; the run's summary gives the throughput and with it joules an inference. Watts are at the wall: the
supply's losses are in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boards.recordings.spl import read_spl
from edge.errors import JoulepathError


@dataclass(frozen=True)
class BoardPower:
    """`dynamic_w` is what a busy board draws over `idle_w`; `energy_mj` one inference of the trace's own model."""

    trace: str  # the folder under ../shared/data/traces
    idle_w: float
    busy_w: float
    inferences_per_s: float

    @property
    def dynamic_w(self) -> float:
        return self.busy_w - self.idle_w

    @property
    def energy_mj(self) -> float:
        return 1000 * self.busy_w / self.inferences_per_s


BOARDS: dict[str, BoardPower] = {
    "rpi4-fan-off": BoardPower("rpi4-fan-off", 2.99, 5.83, 1.69),
    "rpi4-fan-on": BoardPower("rpi4-fan-on", 3.88, 6.69, 1.69),
    "xavier-nx": BoardPower("xavier-nx-resnet50", 4.83, 12.05, 331.37),
    "agx-xavier": BoardPower("agx-xavier-mode2-resnet50", 6.54, 7.80, 2.49),
}


def fit(folder: Path) -> BoardPower:
    """The constants of one trace's folder (``spl.txt`` and ``mlperf_log_summary.txt``), to the hundredth.

    Raises BoardError for a damaged trace, JoulepathError for a summary without throughput.
    """
    watts = read_spl(folder / "spl.txt").series[0].values
    idle_w, busy_w = (round(float(np.percentile(watts, share)), 2) for share in (1, 50))
    return BoardPower(folder.name, idle_w, busy_w, _throughput(folder / "mlperf_log_summary.txt"))


def _throughput(path: Path) -> float:
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "QPS w/o loadgen overhead":
            return float(value)
    raise JoulepathError(f"{path}: no line 'QPS w/o loadgen overhead'")
