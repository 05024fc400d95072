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

LEAST_NETWORKS = 4  # that a line is fitted to; fewer give a factor only


@dataclass(frozen=True)
class Correction:
    """``predicted = factor * sum of units + unit_ms * number of units``.

    What a unit takes by itself differs from what it takes within a network by a share (clocks, memory that the rest of
    the network keeps busy) and by a constant (each start from cold caches, which a network pays once).
    """

    factor: float = 1.0
    unit_ms: float = 0.0

    @classmethod
    def fitted(cls, sums_ms: Sequence[float], units: Sequence[int], measured_ms: Sequence[float]) -> Correction:
        """Least squares of relative errors; the median ratio alone for fewer than `LEAST_NETWORKS`, 1 for none."""
        if not measured_ms:
            return cls()
        measured = np.asarray(measured_ms, np.float64)
        features = np.column_stack([sums_ms, units]) / measured[:, None]
        if len(measured) >= LEAST_NETWORKS and np.linalg.matrix_rank(features) == 2:
            factor, unit_ms = np.linalg.lstsq(features, np.ones(len(measured)), rcond=None)[0]
            if factor > 0:
                return cls(float(factor), float(unit_ms))
        return cls(float(np.median(measured / np.asarray(sums_ms, np.float64))))

    def of(self, unit_ms: float) -> float:
        """What a unit is expected to add to a network, never below nothing."""
        return max(0.0, self.factor * unit_ms + self.unit_ms)


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
            [sum(self._alone_ms(key) * count for key, count in whole.units.items()) for whole in known],
            [sum(whole.units.values()) for whole in known],
            [whole.timing.median_ms for whole in known],
        )

    def checks(self) -> tuple[Check, ...]:
        """Predictions of the networks that the table holds and that nothing was fitted to."""
        return tuple(
            Check(name, self._predicted_ms(whole.units), whole.timing.median_ms)
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
        return self._predicted_ms(total(units))

    def missing(self, network: segformer.Network, size: tuple[int, int]) -> tuple[Unit, ...]:
        """The distinct units of `network` that the table has not."""
        return self._lacking(KeyOps.of(lambda ops: segformer.build(ops, network, size)).units())

    def _lacking(self, units: Sequence[Unit]) -> tuple[Unit, ...]:
        lacking = {unit.key: unit for unit in units}
        return tuple(unit for key, unit in lacking.items() if key not in self.table.entries)

    def _holds(self, whole: Whole) -> bool:
        return all(key in self.table.entries for key in whole.units)

    def _predicted_ms(self, units: Mapping[str, int]) -> float:
        return sum(self.correction.of(self._alone_ms(key)) * count for key, count in units.items())

    def _alone_ms(self, key: str) -> float:
        """A unit by itself, without what the engine takes for an empty graph."""
        return max(0.0, self.table.entries[key].median_ms - self.table.overhead_ms)
