"""Budgets of time and what meets them."""

from __future__ import annotations

import pytest

from converters.search.budgets import Budget, budgets, meet, parse_numbers
from edge.errors import UsageError
from tests.converters.search.test_pareto import measured


def test_both_kinds_the_loosest_first() -> None:
    assert budgets((40, 20), (2, 5), 120.0) == (
        Budget("2x", 60.0), Budget("40 ms", 40), Budget("5x", 24.0), Budget("20 ms", 20)
    )  # fmt: skip


def test_the_most_accurate_within_and_the_nearest_where_there_is_none() -> None:
    found = [measured("a", 0.9, 50), measured("b", 0.7, 30), measured("c", 0.8, 31), measured("d", 0.5, 25)]
    assert meet(Budget("35 ms", 35), found).path.path.name == "c"
    assert meet(Budget("35 ms", 35), found).reason is None
    nearest = meet(Budget("10x", 5.0), found)
    assert nearest.path.path.name == "d"
    assert nearest.reason == (
        "10x (5.0 ms) cannot be met: the fastest path found takes 25.0 ms at 50.0 %; it is offered instead"
    )


def test_numbers_of_an_option() -> None:
    assert parse_numbers("--speedup", "1.5,2, 3", 1.0) == (1.5, 2.0, 3.0)
    assert parse_numbers("--speedup", None, 1.0) == ()


@pytest.mark.parametrize("text", ["", "fast", "2,,3", "0.5", "1", "nan", "inf", "-3"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(UsageError, match=r"--speedup .*: expected numbers above 1 joined by commas"):
        parse_numbers("--speedup", text, 1.0)
