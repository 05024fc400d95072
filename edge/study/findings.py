"""EfficientFormer's on-device findings (Li et al., 2022, arXiv 2206.01191, section 3), as questions to this engine.

The paper measured them on an iPhone 12 with CoreML. Each finding here is some pairs of graphs with the same result
shape; whether it holds is read off the ratio of their times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.bench.interleave import Ratio, paired_ratio
from edge.study.errors import StudyError
from edge.study.table import Entry, LatencyTable

# A pair counts as different when its ratio's whole interval lies beyond this: less is nothing to design by.
TELLING = 1.05


@dataclass(frozen=True)
class Pair:
    """Two graphs by their names in a table's `compared`; the finding says that `slow` takes longer than `fast`.

    With `alike` it says the opposite: that the two take about the same.
    """

    slow: str
    fast: str
    alike: bool = False

    def holds(self, ratio: Ratio) -> bool | None:
        """None when the interval leaves it open."""
        if ratio.low > TELLING:
            return not self.alike
        if ratio.high <= TELLING:
            return self.alike
        return None


@dataclass(frozen=True)
class Finding:
    """One claim and the pairs that speak about it."""

    name: str
    claim: str
    pairs: tuple[Pair, ...]


FINDINGS = (
    Finding(
        "patch embedding",
        "A patch embedding with a large kernel and stride is slower than a stack of 3x3 convolutions of stride 2.",
        (
            Pair("patch: 16x16 stride 16", "patch: four 3x3 stride 2, to the same grid"),
            Pair("patch: 7x7 stride 4 (SegFormer's)", "patch: two 3x3 stride 2, to the same grid"),
        ),
    ),
    Finding(
        "feature dimensions",
        "Keeping one feature dimension is faster than changing between 4-D and 3-D; reshapes cost more than attention.",
        (
            Pair("dims: linear maps, 3-D and back in each block", "dims: convolutions, 4-D throughout"),
            Pair("dims: linear maps, channels first and back in each block", "dims: convolutions, 4-D throughout"),
            Pair("dims: attention with its reshapes and transposes", "dims: attention on split heads, twice"),
        ),
    ),
    Finding(
        "normalisation",
        "CONV-BN (batch norm folded away) is faster than LN-Linear at the same multiply-accumulates.",
        (
            Pair("norm: LN-Linear, 3-D", "norm: CONV-BN folded, 4-D"),
            Pair("norm: LN-Linear as RMS (centred stream), 3-D", "norm: CONV-BN folded, 4-D"),
        ),
    ),
    Finding(
        "nonlinearity",
        "A nonlinearity's cost depends on hardware and compiler: there, GELU took as long as ReLU, HardSwish longer.",
        (
            Pair("act: GELU", "act: ReLU", alike=True),
            Pair("act: tanh GELU", "act: ReLU", alike=True),
            Pair("act: HardSwish", "act: GELU"),
        ),
    ),
)


@dataclass(frozen=True)
class Answer:
    """A pair's times in ms and their ratio (95 % interval over rounds)."""

    pair: Pair
    slow: Entry
    fast: Entry
    ratio: Ratio
    holds: bool | None


@dataclass(frozen=True)
class Verdict:
    """A finding on this engine."""

    finding: Finding
    answers: tuple[Answer, ...]

    @property
    def words(self) -> str:
        """Whether it holds here."""
        answers = {answer.holds for answer in self.answers}
        if answers == {True}:
            return "holds here"
        if answers == {False}:
            return "does not hold here"
        return (
            "holds here in part" if True in answers else "not decided here" if answers == {None} else "mostly does not"
        )


def verdicts(table: LatencyTable) -> tuple[Verdict, ...]:
    """Every finding whose graphs the table holds. Raises StudyError for entries without their rounds."""
    found = []
    for finding in FINDINGS:
        answers = tuple(
            _answer(pair, table.compared)
            for pair in finding.pairs
            if pair.slow in table.compared and pair.fast in table.compared
        )
        if answers:
            found.append(Verdict(finding, answers))
    return tuple(found)


def _answer(pair: Pair, entries: Mapping[str, Entry]) -> Answer:
    slow, fast = entries[pair.slow], entries[pair.fast]
    if not slow.values_ms or not fast.values_ms or len(slow.values_ms) != len(fast.values_ms):
        raise StudyError(
            f"{pair.slow!r} and {pair.fast!r} were not measured in the same rounds; measure into a new table"
        )
    ratio = paired_ratio(slow.values_ms, fast.values_ms)
    return Answer(pair, slow, fast, ratio, pair.holds(ratio))
