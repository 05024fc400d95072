"""Running totals for each run, variant and method, kept while frames come in, so that a summary reads no frames.

Keyed by method too: modelled and measured joules are never added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from boards.sensor import Method
from edge.journal import sketch
from edge.journal.rows import FrameRow

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

QUANTITIES = (
    "duration_ns",
    "skipped",
    "age_us",
    "prepare_us",
    "infer_us",
    "finish_us",
    "energy_uj",
    "infer_energy_uj",
    "uncertainty_uj",
    "samples",
    "miou_ppm",
    "reused",
)
WITH_PERCENTILES = frozenset({"age_us", "infer_us", "energy_uj"})
_MOST = 1 << 40  # us: 12 days, uJ: 1.1 MJ; millions of such frames still add up below 2**63
_MOST_NS = 1 << 62
_MOST_DURATION_NS = 1 << 50  # 13 days
_NULLABLE = ("energy_uj", "infer_energy_uj", "uncertainty_uj", "miou_ppm")


class Key(NamedTuple):
    """What one set of totals is about."""

    run_id: int
    variant_id: int
    method: int


@dataclass
class Tally:
    """Count, sum, least, greatest and, for some quantities, a histogram of the values known."""

    count: int = 0
    sum: int = 0
    min: int | None = None
    max: int | None = None
    histogram: Ints | None = None

    def plus(self, other: Tally) -> Tally:
        """Both together, as a new tally."""
        if self.histogram is None or other.histogram is None:
            histogram = self.histogram if other.histogram is None else other.histogram
        else:
            histogram = self.histogram + other.histogram
        least = [value for value in (self.min, other.min) if value is not None]
        most = [value for value in (self.max, other.max) if value is not None]
        return Tally(
            self.count + other.count,
            self.sum + other.sum,
            min(least, default=None),
            max(most, default=None),
            histogram,
        )

    def quantile(self, q: float) -> float | None:
        """The value of rank ceil(q * count) within `sketch.RELATIVE_ERROR`; None where nothing is known."""
        if self.histogram is None or self.min is None or self.max is None:
            return None
        value = sketch.quantile(self.histogram, q)
        return None if value is None else min(max(value, float(self.min)), float(self.max))

    @property
    def mean(self) -> float | None:
        return self.sum / self.count if self.count else None


Totals = dict[str, Tally]


@dataclass
class FrameColumns:
    """A list of frames as columns. Raises ValueError where a value is no integer or a row contradicts itself."""

    ints: dict[str, Ints]
    known: dict[str, Bools]
    rows: int

    @classmethod
    def of(cls, rows: Sequence[FrameRow]) -> FrameColumns:
        """Columns of int64; where a nullable value is unknown the column holds 0 and `known` False."""
        ints: dict[str, Ints] = {}
        known: dict[str, Bools] = {}
        for name, column in zip(FrameRow._fields, zip(*rows, strict=True), strict=True):
            if name in _NULLABLE:
                known[name] = np.fromiter((value is not None for value in column), np.bool_, len(rows))
                if not known[name].all():
                    column = tuple(0 if value is None else value for value in column)
            ints[name] = _integers(name, column)
        ints["duration_ns"] = ints["end_ns"] - ints["start_ns"]
        if (ints["duration_ns"] < 0).any() or (ints["duration_ns"] >= _MOST_DURATION_NS).any():
            raise ValueError("a frame ends before it starts, or lasts for weeks")
        known["infer_energy_uj"] &= known["energy_uj"]
        known["uncertainty_uj"] &= known["energy_uj"]
        if ((ints["reused"] != 0) & (ints["reused"] != 1)).any():
            raise ValueError("a frame is reused (1) or not (0)")
        known["infer_us"] = ints["reused"] == 0
        if (known["energy_uj"] & (ints["method"] == Method.UNAVAILABLE)).any():
            raise ValueError("a frame has an energy, yet says that energy was unavailable")
        ints["method"] = np.where(known["energy_uj"], ints["method"], int(Method.UNAVAILABLE))
        return cls(ints, known, len(rows))

    def nullable(self, name: str) -> list[int | None]:
        """A column as Python values, with None where unknown."""
        values: list[int | None] = self.ints[name].tolist()
        known = self.known[name]
        if known.all():
            return values
        return [value if there else None for value, there in zip(values, known.tolist(), strict=True)]

    def totals(self, run_id: int) -> Iterator[tuple[Key, Totals]]:
        """One set of totals for each variant and method among the rows."""
        groups = self.ints["variant_id"] * len(Method) + self.ints["method"]
        for group in np.unique(groups).tolist():
            inside = groups == group
            totals = {name: self._tally(name, inside) for name in QUANTITIES}
            yield Key(run_id, group // len(Method), group % len(Method)), totals

    def _tally(self, name: str, inside: Bools) -> Tally:
        values = self.ints[name][inside & self.known[name] if name in self.known else inside]
        histogram = sketch.count(values) if name in WITH_PERCENTILES else None
        if not values.size:
            return Tally(histogram=histogram)
        return Tally(values.size, int(values.sum()), int(values.min()), int(values.max()), histogram)


def _integers(name: str, column: Sequence[object]) -> Ints:
    values = np.array(column)
    if values.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers")
    most = _MOST_NS if name in ("start_ns", "end_ns") else _MOST
    if (values >= most).any() or (values <= -most).any():
        raise ValueError(f"{name} is beyond what a frame can have")
    return values.astype(np.int64, copy=False)


def good_rows(rows: Sequence[FrameRow]) -> list[FrameRow]:
    """The rows that can be stored: all of them, unless one spoils the batch."""
    with suppress(ValueError, TypeError, OverflowError):
        FrameColumns.of(rows)
        return list(rows)
    good = []
    for row in rows:
        try:
            FrameColumns.of([row])
        except (ValueError, TypeError, OverflowError):
            continue
        good.append(row)
    return good


class RollUps(dict[Key, Totals]):
    """Totals by key."""

    def add(self, key: Key, totals: Totals) -> None:
        """Add to what is known of `key`."""
        have = self.get(key)
        self[key] = totals if have is None else {name: have[name].plus(totals[name]) for name in QUANTITIES}

    def add_rows(self, run_id: int, rows: Sequence[FrameRow]) -> None:
        """Add frames; raises ValueError as FrameColumns does."""
        if rows:
            for key, totals in FrameColumns.of(rows).totals(run_id):
                self.add(key, totals)
