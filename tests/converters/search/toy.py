"""A landscape with known answers: what each rung of each ladder costs and saves is written down here."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import ConvertError
from converters.paths import ExecutionPath
from converters.search.contract import Evaluate, Measured, Outcome
from converters.search.identity import as_json
from converters.search.pool import attempted
from converters.search.space import SearchSpace

SIZE = (128, 192)
SPACE = SearchSpace.of((2, 2), 64, SIZE, ("blocks", "ffn", "decoder"))
FULL_MS, FULL_ACCURACY = 100.0, 0.8
# By gene: loss of accuracy and milliseconds saved at each further rung.
LANDSCAPE: dict[str, tuple[tuple[float, float], ...]] = {
    "skip_1_1": ((0.20, 10.0),),
    "skip_1_2": ((0.01, 10.0),),
    "skip_2_1": ((0.10, 8.0),),
    "skip_2_2": ((0.03, 8.0),),
    "ffn_1": ((0.002, 4.0), (0.008, 4.0), (0.02, 2.0), (0.04, 2.0)),
    "ffn_2": ((0.004, 2.0), (0.008, 2.0), (0.02, 1.0), (0.04, 1.0)),
    "decoder": ((0.001, 6.0), (0.006, 6.0), (0.02, 3.0), (0.05, 3.0), (0.1, 1.5)),
}


@dataclass(frozen=True)
class Toy:
    """Adds up the landscape. Writes a line to `log` when it is asked; dies on `deadly` while `charges` are left."""

    log: Path
    deadly: str = ""
    charges: Path | None = None
    impossible: str = ""

    @property
    def fingerprint(self) -> str:
        return "toy"

    def build(self) -> Toy:
        return self

    def __call__(self, path: ExecutionPath) -> Measured:
        rungs = SPACE.rungs_of(path)
        text = json.dumps(as_json(path), sort_keys=True)
        with self.log.open("a") as log:
            log.write(text + "\n")
        if self.deadly and rungs.get(self.deadly) and self.charges is not None and self.charges.read_text():
            self.charges.write_text(self.charges.read_text()[1:])
            os.kill(os.getpid(), signal.SIGKILL)
        if self.impossible and rungs.get(self.impossible):
            raise ConvertError(f"{self.impossible} cannot be had")
        taken = [step for gene, rung in rungs.items() for step in LANDSCAPE[gene][:rung]]
        saved = sum(ms for _, ms in taken)
        return Measured(
            path=path,
            accuracy=round(FULL_ACCURACY - sum(loss for loss, _ in taken), 6),
            latency_ms=FULL_MS - saved,
            latency_kind="predicted",
            macs=round(1e6 * (FULL_MS - saved)),
            parameters=1000,
            bytes=4000,
        )

    def asked(self) -> list[str]:
        """One line an evaluation, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []


def directly(toy: Toy) -> Evaluate:
    """Evaluates here and now, remembering nothing."""

    def evaluate(paths: Sequence[ExecutionPath]) -> list[Outcome]:
        return [attempted(toy, path) for path in paths]

    return evaluate
