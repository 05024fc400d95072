"""Evaluating paths, each once: the ledger first, workers for the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from converters.paths import ExecutionPath
from converters.search.contract import Measured, Outcome, Refused, Say
from converters.search.energy import EnergyModel
from converters.search.identity import canonical, path_key
from converters.search.ledger import Ledger
from converters.search.pool import Workers

_SAY_EVERY_S = 10.0


class Remembering:
    """What the strategies call: outcomes of paths in their order, those known already without work.

    `seen` holds every outcome asked for in this search, in the order of first asking, and so does not depend on
    which worker was first. `evaluated` counts the work done now.
    """

    def __init__(
        self,
        workers: Workers,
        ledger: Ledger,
        fingerprint: str,
        size: tuple[int, int],
        say: Say = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        energy: EnergyModel | None = None,
    ) -> None:
        self._workers, self._ledger, self._fingerprint, self._size = workers, ledger, fingerprint, size
        self._say, self._clock, self._said_s, self._energy = say, clock, clock(), energy
        self.seen: dict[str, Outcome] = {}
        self.evaluated = 0

    def __call__(self, paths: Sequence[ExecutionPath]) -> list[Outcome]:
        """Raises SearchError when workers keep dying or the ledger cannot be written; what finished is kept."""
        keys = [path_key(path, self._size, self._fingerprint) for path in paths]
        wanted = {key: path for key, path in zip(keys, paths, strict=True) if self._ledger.get(key) is None}
        order = list(wanted)
        for number, outcome in self._workers.run([canonical(wanted[key], self._size) for key in order]):
            self._ledger.append(order[number], outcome)
            self.evaluated += 1
            self._tell(outcome)
        outcomes = []
        for key in keys:
            known = self._ledger.get(key)
            assert known is not None
            # Not in the ledger: another profile changes no accuracy.
            priced = self._priced(known)
            self.seen.setdefault(key, priced)
            outcomes.append(priced)
        return outcomes

    def measured(self) -> list[Measured]:
        """Every path of this search that could be had, in the order of first asking."""
        return [outcome for outcome in self.seen.values() if isinstance(outcome, Measured)]

    def _priced(self, outcome: Outcome) -> Outcome:
        if self._energy is None or isinstance(outcome, Refused):
            return outcome
        return replace(outcome, energy_mj=self._energy.energy_mj(outcome.latency_ms, outcome.macs))

    def _tell(self, outcome: Outcome) -> None:
        if self._clock() - self._said_s < _SAY_EVERY_S:
            return
        self._said_s = self._clock()
        last = (
            f"last {100 * outcome.accuracy:.1f} % at {outcome.latency_ms:.1f} ms"
            if isinstance(outcome, Measured)
            else "last could not be built"
        )
        self._say(f"  {self.evaluated} evaluated now, {len(self._ledger)} in the ledger; {last}")
