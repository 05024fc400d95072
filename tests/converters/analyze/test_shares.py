"""Correlation of shares, on breakdowns made for the purpose."""

from __future__ import annotations

import pytest

from converters.analyze.layers import Breakdown, Layer
from converters.analyze.shares import finding


def made(*layers: tuple[int, float | None]) -> Breakdown:
    return Breakdown(
        "t", tuple(Layer(f"l{n}", "k", macs, 0, 0, 0, "", ms) for n, (macs, ms) in enumerate(layers)), units=()
    )


def test_time_in_proportion_to_work_is_told_by_it() -> None:
    found = finding(made((10, 1.0), (20, 2.0), (70, 7.0)))
    assert found is not None
    assert found.linear == pytest.approx(1)
    assert found.rank == pytest.approx(1)
    assert found.misplaced == pytest.approx(0)
    assert not found.holds
    assert (found.largest, found.largest_macs, found.largest_time) == ("l2", 0.7, 0.7)


def test_time_where_there_is_no_work_is_misplaced() -> None:
    found = finding(made((90, 1.0), (10, 1.0), (0, 2.0)))
    assert found is not None
    assert found.without_macs == 0.5
    assert found.misplaced == pytest.approx((0.65 + 0.15 + 0.5) / 2)
    assert found.holds
    assert "holds here" in found.sentence("x")
    assert "65 % of the time is not where" in found.sentence("x")


def test_ranks_of_equal_values_are_shared() -> None:
    found = finding(made((0, 3.0), (0, 1.0), (5, 2.0)))
    assert found is not None
    # Ranks 0.5, 0.5, 2 against 2, 0, 1: covariance zero.
    assert found.rank == pytest.approx(0.0)


def test_without_times_or_work_there_is_no_finding() -> None:
    assert finding(made((1, None), (2, 1.0))) is None
    assert finding(made((0, 1.0))) is None
