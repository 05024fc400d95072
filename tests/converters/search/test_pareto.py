"""The Pareto set, for any paths."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from converters.search.contract import Measured
from converters.search.pareto import dominates, frontier
from tests.converters.search.toy import SPACE


def measured(name: str, accuracy: float, latency_ms: float, size: int = 1) -> Measured:
    return Measured(replace(SPACE.full(), name=name), accuracy, latency_ms, "measured", 1, 1, size)


# Few different values, so that ties of every kind occur.
values = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=14)
several = values.map(lambda pairs: [measured(f"p{i}", a / 10, float(ms)) for i, (a, ms) in enumerate(pairs)])


@given(several)
def test_nobody_kept_is_dominated_and_everybody_refused_is_covered(paths: list[Measured]) -> None:
    found = frontier(paths)
    refused = [each for each in paths if each.path.name in {r.path.name for r in found.refused}]
    assert sorted(each.path.name for each in [*found.kept, *refused]) == sorted(each.path.name for each in paths)
    assert not any(dominates(one, other) for one in paths for other in found.kept)
    for each in refused:
        assert any(k.accuracy >= each.accuracy and k.latency_ms <= each.latency_ms for k in found.kept)


@given(several)
def test_kept_go_from_slow_and_right_to_fast_and_wrong(paths: list[Measured]) -> None:
    kept = frontier(paths).kept
    pairs = [(each.latency_ms, each.accuracy) for each in kept]
    assert all(a[0] > b[0] and a[1] > b[1] for a, b in pairwise(pairs))


@given(several, st.randoms())
def test_the_order_of_paths_does_not_matter(paths: list[Measured], random: object) -> None:
    shuffled = list(paths)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert frontier(shuffled).kept == frontier(paths).kept
    assert set(frontier(shuffled).refused) == set(frontier(paths).refused)


def test_the_reason_names_the_better_path_and_the_numbers() -> None:
    found = frontier([measured("p3", 0.521, 20.1), measured("p7", 0.519, 22.4), measured("p8", 0.521, 22.0)])
    assert {each.path.name: each.reason for each in found.refused} == {
        "p7": "p3 is more accurate (52.1 % against 51.9 %) and faster (20.1 against 22.4 ms)",
        "p8": "p3 is as accurate (52.1 % against 52.1 %) and faster (20.1 against 22.0 ms)",
    }


def test_of_equals_the_smaller_file_stays() -> None:
    found = frontier([measured("a", 0.5, 20.0, size=9), measured("b", 0.5, 20.0, size=5), measured("c", 0.4, 20.0)])
    assert [each.path.name for each in found.kept] == ["b"]
    assert {each.path.name: each.reason for each in found.refused} == {
        "a": "b does the same (50.0 %, 20.0 ms)",
        "c": "b is more accurate (50.0 % against 40.0 %) and as fast (20.0 ms)",
    }
