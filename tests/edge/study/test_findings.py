"""What counts as a finding that holds."""

from __future__ import annotations

import pytest

from edge.bench.interleave import Ratio
from edge.study import Entry, StudyError
from edge.study.findings import FINDINGS, Pair, verdicts
from tests.edge.study.test_table import table


def entry(*values_ms: float) -> Entry:
    middle = sorted(values_ms)[len(values_ms) // 2]
    return Entry(
        median_ms=middle, p10_ms=min(values_ms), p90_ms=max(values_ms), rounds=len(values_ms), values_ms=values_ms
    )


@pytest.mark.parametrize(
    ("low", "high", "slower", "alike"),
    [(1.06, 1.2, True, False), (0.9, 1.04, False, True), (1.01, 1.2, None, None), (0.5, 0.6, False, True)],
)
def test_a_pair_is_decided_by_the_whole_interval(
    low: float, high: float, slower: bool | None, alike: bool | None
) -> None:
    ratio = Ratio((low + high) / 2, low, high, 9)
    assert Pair("a", "b").holds(ratio) is slower
    assert Pair("a", "b", alike=True).holds(ratio) is alike


def test_a_verdict_takes_ratios_round_by_round() -> None:
    (first, second) = FINDINGS[0].pairs
    found = verdicts(
        table(
            compared={
                # The machine slowed down by ten in the last round, for both alike.
                first.slow: entry(2.0, 2.0, 20.0),
                first.fast: entry(1.0, 1.0, 10.0),
                second.slow: entry(1.0, 1.0, 10.0),
                second.fast: entry(1.0, 1.0, 10.0),
            }
        )
    )
    assert [verdict.finding.name for verdict in found] == ["patch embedding"]
    assert [answer.ratio.median for answer in found[0].answers] == [2.0, 1.0]
    assert [answer.holds for answer in found[0].answers] == [True, False]
    assert found[0].words == "holds here in part"


def test_pairs_that_were_not_measured_together_are_refused() -> None:
    pair = FINDINGS[0].pairs[0]
    with pytest.raises(StudyError, match="not measured in the same rounds"):
        verdicts(table(compared={pair.slow: entry(1.0, 1.0), pair.fast: entry(1.0)}))


def test_every_finding_of_the_paper_is_asked() -> None:
    assert [finding.name for finding in FINDINGS] == [
        "patch embedding",
        "feature dimensions",
        "normalisation",
        "nonlinearity",
    ]
