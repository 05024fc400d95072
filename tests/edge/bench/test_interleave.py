from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bench.interleave import Rounds, Spread, interleave, paired_ratio

times = st.floats(0.01, 1e4)


def test_every_contestant_runs_once_a_round_in_order() -> None:
    order: list[str] = []

    def contestant(name: str, value: float) -> Callable[[], float]:
        def measure() -> float:
            order.append(name)
            return value * (1 + order.count(name))

        return measure

    done: list[int] = []
    found = interleave({"a": contestant("a", 1.0), "b": contestant("b", 10.0)}, 3, on_round=done.append)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert found.values == {"a": (2.0, 3.0, 4.0), "b": (20.0, 30.0, 40.0)}
    assert done == [1, 2, 3]


def test_a_spread_is_the_median_and_the_middle_eighty_percent() -> None:
    spread = Spread.of([float(n) for n in range(11)])
    assert (spread.count, spread.median, spread.p10, spread.p90) == (11, 5.0, 1.0, 9.0)
    with pytest.raises(ValueError, match="no measurements"):
        Spread.of([])


def test_a_ratio_pairs_neighbours_in_time() -> None:
    # The machine got three times slower meanwhile: unpaired medians would say 1.5, the pairs say 2.
    found = Rounds({"slow": (2.0, 2.0, 6.0, 6.0, 6.0), "fast": (1.0, 1.0, 3.0, 3.0, 3.0)})
    ratio = found.ratio("slow", "fast")
    assert (ratio.median, ratio.low, ratio.high, ratio.rounds) == (2.0, 2.0, 2.0, 5)
    assert str(ratio) == "2.00 (2.00-2.00)"


@given(st.lists(st.tuples(times, times), min_size=1, max_size=30))
def test_an_interval_holds_its_median_and_stays_among_the_ratios(pairs: list[tuple[float, float]]) -> None:
    above, below = [a for a, _ in pairs], [b for _, b in pairs]
    ratio = paired_ratio(above, below)
    single = [a / b for a, b in pairs]
    assert min(single) <= ratio.low * (1 + 1e-9)
    assert ratio.low <= ratio.median * (1 + 1e-9)
    assert ratio.median <= ratio.high * (1 + 1e-9)
    assert ratio.high <= max(single) * (1 + 1e-9)
    assert paired_ratio(above, below) == ratio


def test_a_wide_scatter_gives_a_wide_interval() -> None:
    steady = paired_ratio([2.0, 2.01, 1.99, 2.0, 2.0, 2.01], [1.0] * 6)
    loose = paired_ratio([1.0, 3.0, 2.0, 4.0, 1.5, 2.5], [1.0] * 6)
    assert steady.high - steady.low < 0.03
    assert loose.high - loose.low > 1.0


@pytest.mark.parametrize(("above", "below"), [([], []), ([1.0], [1.0, 2.0])])
def test_ratios_need_pairs(above: list[float], below: list[float]) -> None:
    with pytest.raises(ValueError, match="ratios need pairs"):
        paired_ratio(above, below)


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        interleave({"a": lambda: 1.0}, 0)
