"""The slow way to what roll-ups say, to compare with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from boards.sensor import Method
from edge.journal import FrameRow, StoredFrame
from edge.journal.rollup import QUANTITIES, WITH_PERCENTILES, RollUps
from edge.journal.sketch import RELATIVE_ERROR

Values = dict[tuple[int, int, int], dict[str, list[int]]]


def gather(rows: Iterable[tuple[int, FrameRow | StoredFrame]]) -> Values:
    """Every known value of every quantity, by run, variant and method."""
    found: Values = {}
    for run_id, row in rows:
        method = int(row.method) if row.energy_uj is not None else int(Method.UNAVAILABLE)
        values = found.setdefault((run_id, row.variant_id, method), {name: [] for name in QUANTITIES})
        for name in QUANTITIES:
            value: Any = row.end_ns - row.start_ns if name == "duration_ns" else getattr(row, name)
            if value is not None:
                values[name].append(value)
    return found


def assert_equal(rollups: RollUps, expected: Values) -> None:
    """Counts, sums and ends are equal, percentiles within the stated error."""
    assert rollups.keys() == expected.keys()
    for key, values in expected.items():
        for name, numbers in values.items():
            tally = rollups[key][name]  # type: ignore[index]
            got = (tally.count, tally.sum, tally.min, tally.max)
            assert got == (len(numbers), sum(numbers), min(numbers, default=None), max(numbers, default=None)), name
            if name in WITH_PERCENTILES and numbers:
                _assert_percentiles(tally.quantile, sorted(numbers))


def _assert_percentiles(quantile: Any, numbers: list[int]) -> None:
    for q in (0.0, 0.5, 0.9, 0.99, 1.0):
        exact = numbers[max(1, math.ceil(q * len(numbers))) - 1]
        assert abs(quantile(q) - exact) <= abs(exact) * RELATIVE_ERROR * (1 + 1e-9)
