"""Predicting a network's latency on a board from the board's table of units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.families import segformer
from converters.latency.keys import KeyOps, Unit, total
from converters.ops import Ops
from edge.study.errors import StudyError
from edge.study.table import LatencyTable, Whole


@dataclass(frozen=True)
class Correction:
    """``predicted = factor * sum of units``: what running units one by one costs more or less than in one graph.

    `errors` are the relative errors of the networks that it was fitted to.
    """

    factor: float = 1.0
    errors: tuple[float, ...] = ()

    @classmethod
    def fitted(cls, sums_ms: Sequence[float], measured_ms: Sequence[float]) -> Correction:
        """The median ratio, which one odd measurement does not move; 1 without any network."""
        if not measured_ms:
            return cls()
        ratios = np.asarray(measured_ms, np.float64) / np.asarray(sums_ms, np.float64)
        factor = float(np.median(ratios))
        return cls(factor, tuple(float(error) for error in factor / ratios - 1))


@dataclass(frozen=True)
class Check:
    """A whole network's latency in ms, predicted and measured."""

    name: str
    predicted_ms: float
    measured_ms: float

    @property
    def error(self) -> float:
        """Signed, as a share of the measured."""
        return self.predicted_ms / self.measured_ms - 1


class LatencyModel:
    """Latencies of networks by a table; its correction is fitted to the whole networks that the table holds for it."""

    def __init__(self, table: LatencyTable) -> None:
        self.table = table
        known = [whole for whole in table.wholes.values() if whole.fitted and self._holds(whole)]
        self.correction = Correction.fitted(
            [self._sum_ms(whole.units) for whole in known],
            [whole.timing.median_ms for whole in known],
        )

    def checks(self) -> tuple[Check, ...]:
        """Predictions of the networks that the table holds and that nothing was fitted to."""
        return tuple(
            Check(name, self.correction.factor * self._sum_ms(whole.units), whole.timing.median_ms)
            for name, whole in self.table.wholes.items()
            if not whole.fitted and self._holds(whole)
        )

    def predict_ms(self, network: segformer.Network, size: tuple[int, int]) -> float:
        """Milliseconds of one inference of `network` on images of `size` (height, width).

        Raises StudyError naming how many units the table lacks (`missing` gives them).
        """
        return self.predict_build_ms(lambda ops: segformer.build(ops, network, size))

    def predict_build_ms(self, build: Callable[[Ops[Any]], None]) -> float:
        """The same for anything that writes itself to operations."""
        units = KeyOps.of(build).units()
        lacking = self._lacking(units)
        if lacking:
            kinds = ", ".join(dict.fromkeys(unit.kind for unit in lacking))
            raise StudyError(
                f"the latency table of {self.table.board} lacks {len(lacking)} units of this network ({kinds}); "
                "extend it with `joulepath study latency`, on the board with a kit"
            )
        return self.correction.factor * self._sum_ms(total(units))

    def missing(self, network: segformer.Network, size: tuple[int, int]) -> tuple[Unit, ...]:
        """The distinct units of `network` that the table has not."""
        return self._lacking(KeyOps.of(lambda ops: segformer.build(ops, network, size)).units())

    def _lacking(self, units: Sequence[Unit]) -> tuple[Unit, ...]:
        lacking = {unit.key: unit for unit in units}
        return tuple(unit for key, unit in lacking.items() if key not in self.table.entries)

    def _holds(self, whole: Whole) -> bool:
        return all(key in self.table.entries for key in whole.units)

    def _sum_ms(self, units: Mapping[str, int]) -> float:
        entries, overhead_ms = self.table.entries, self.table.overhead_ms
        return sum(max(0.0, entries[key].median_ms - overhead_ms) * count for key, count in units.items())
