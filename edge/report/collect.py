"""What a report draws, read from a journal in one pass over a run's frames and one over its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from boards.board import Quantity
from edge.journal.reader import JournalReader
from edge.journal.rows import RunRow, StoredFrame
from edge.journal.summary import LABELS, RunSummary, summarise, variant_name
from edge.report.foretold import Comparison, Foretold
from edge.report.series import MOST_POINTS, Buckets, Floats, Gathered, Series

MOST_STRETCHES = 300
_PLACE = {name: place for place, name in enumerate(StoredFrame._fields)}


@dataclass(frozen=True)
class Stretch:
    """A variant at work without a break, or most of the time where breaks are too many to draw."""

    variant: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Sampled:
    """A channel's values over time in its quantity's own unit."""

    name: str
    quantity: Quantity
    method: str
    series: Series


@dataclass(frozen=True)
class RunData:
    """Everything that a report draws of one run. Times are seconds since the run's start."""

    summary: RunSummary
    span_s: float
    thinned: bool
    variants: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    stretches_merged: bool
    channels: tuple[Sampled, ...]
    energy_j: dict[str, Series]
    power_w: Series
    miou: Series
    age_ms: Series
    infer_ms: Series
    foretold: Foretold


def collect(journal: JournalReader, run: RunRow) -> RunData:
    """Read one run; raises JournalError."""
    summary = summarise(journal, run)
    span_s = _span_s(journal, run, summary)
    frames = _Frames(journal, run, span_s, _stored_frames(journal, run))
    for page in journal.frame_pages(run.id):
        frames.add(page)
    merged = len(frames.stretches) > MOST_STRETCHES
    channels = tuple(_sampled(journal, run, span_s))
    heat = next((each.method for each in channels if each.quantity is Quantity.TEMPERATURE), "unavailable")
    return RunData(
        summary=summary,
        span_s=span_s,
        thinned=frames.expected > MOST_POINTS,
        variants=tuple(dict.fromkeys(row.variant for row in summary.variants)),
        stretches=tuple(frames.dominant() if merged else frames.stretches),
        stretches_merged=merged,
        channels=channels,
        energy_j={name: gathered.series() for name, gathered in frames.energy_j.items()},
        power_w=frames.power_w.series(),
        miou=frames.miou.series(),
        age_ms=frames.age_ms.series(),
        infer_ms=frames.infer_ms.series(),
        foretold=frames.comparison.result(thermometer=heat),
    )


class _Frames:
    """Takes frames page by page."""

    def __init__(self, journal: JournalReader, run: RunRow, span_s: float, expected: int) -> None:
        self.expected = expected
        self.stretches: list[Stretch] = []
        self.energy_j: dict[str, Gathered] = {}
        self.comparison = Comparison(journal, run)
        self._start_ns = run.start_ns
        self._span_s = span_s
        self._names = {number: variant_name(journal.variants(), number) for number in journal.variants()}
        self._share: dict[str, Buckets] = {}
        self.power_w, self.miou, self.age_ms, self.infer_ms = (self._gathered() for _ in range(4))

    def add(self, page: list[tuple[Any, ...]]) -> None:
        columns = list(zip(*page, strict=True))
        start_s, end_s = (self._seconds(columns[_PLACE[name]]) for name in ("start_ns", "end_ns"))
        self.age_ms.add(end_s, np.array(columns[_PLACE["age_us"]]) / 1e3)
        inferred = np.array(columns[_PLACE["reused"]]) == 0
        self.infer_ms.add(end_s[inferred], np.array(columns[_PLACE["infer_us"]])[inferred] / 1e3)
        energy_j, known = _nullable(columns[_PLACE["energy_uj"]])
        lasting = known & (end_s > start_s)
        self.power_w.add(end_s[lasting], energy_j[lasting] / (end_s - start_s)[lasting])
        miou, scored = _nullable(columns[_PLACE["miou_ppm"]])
        self.miou.add(end_s[scored], miou[scored])
        self.comparison.add(columns)
        self._add_by_variant(np.array(columns[_PLACE["variant_id"]]), start_s, end_s, energy_j, known)

    def _add_by_variant(
        self,
        variants: npt.NDArray[np.int64],
        start_s: Floats,
        end_s: Floats,
        energy_j: Floats,
        known: npt.NDArray[np.bool_],
    ) -> None:
        for number in np.unique(variants).tolist():
            name = self._names.get(number, f"variant {number}")
            of_it = variants == number
            self._share.setdefault(name, Buckets(self._span_s, MOST_STRETCHES)).add(
                start_s[of_it], (end_s - start_s)[of_it]
            )
            if (of_it & known).any():
                gathered = self.energy_j.setdefault(name, self._gathered())
                gathered.add(end_s[of_it & known], energy_j[of_it & known])
        edges = [0, *(np.flatnonzero(np.diff(variants)) + 1).tolist(), len(variants)]
        for first, after in pairwise(edges):
            name = self._names.get(int(variants[first]), f"variant {int(variants[first])}")
            self._extend(Stretch(name, float(start_s[first]), float(end_s[after - 1])))

    def _extend(self, stretch: Stretch) -> None:
        if self.stretches and self.stretches[-1].variant == stretch.variant:
            stretch = Stretch(stretch.variant, self.stretches.pop().start_s, stretch.end_s)
        self.stretches.append(stretch)

    def dominant(self) -> list[Stretch]:
        """One stretch for each bucket of time, of the variant that ran longest in it; equal neighbours joined."""
        width_s = self._span_s / MOST_STRETCHES
        busy = {name: buckets.totals() for name, buckets in self._share.items()}
        exact, self.stretches = self.stretches, []
        for place in range(MOST_STRETCHES):
            name = max(busy, key=lambda each: busy[each][place])
            if busy[name][place] > 0:
                self._extend(Stretch(name, place * width_s, (place + 1) * width_s))
        merged, self.stretches = self.stretches, exact
        return merged

    def _gathered(self) -> Gathered:
        return Gathered(self._span_s, self.expected, MOST_POINTS)

    def _seconds(self, column: Sequence[int]) -> Floats:
        return (np.array(column, dtype=np.int64) - self._start_ns) / 1e9


def _nullable(column: Sequence[int | None]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Millionths as units, and where they are known."""
    known = np.array([value is not None for value in column])
    return np.array([0 if value is None else value for value in column]) / 1e6, known


def _stored_frames(journal: JournalReader, run: RunRow) -> int:
    first, last = journal.frame_range(run.id)
    return last - first


def _span_s(journal: JournalReader, run: RunRow, summary: RunSummary) -> float:
    last = journal.query("SELECT max(second) FROM sample WHERE run_id = ?", (run.id,))[0][0]
    ends_s = [summary.seconds]
    if run.ended_ns is not None:
        ends_s.append((run.ended_ns - run.start_ns) / 1e9)
    if last is not None:
        ends_s.append(last + 1 - run.start_ns / 1e9)
    return max(*ends_s, 0.001)


def _sampled(journal: JournalReader, run: RunRow, span_s: float) -> list[Sampled]:
    gathered: dict[int, Gathered] = {}
    channels = journal.channels()
    for page in journal.sample_pages(run.id):
        second, number, *values = np.array(page)[:, 2:].T
        for channel_id in np.unique(number).tolist():
            of_it = number == channel_id
            # A row's mean stands in the middle of what it covers; the first row may have begun before the run.
            covers_s = np.median(np.diff(second[of_it])) if of_it.sum() > 1 else 1.0
            times_s = np.clip(second[of_it] + covers_s / 2 - run.start_ns / 1e9, 0.0, span_s)
            mean, low, high = (value[of_it] / channels[channel_id].scale for value in values)
            gathered.setdefault(channel_id, Gathered(span_s, int(span_s), MOST_POINTS)).add(times_s, mean, low, high)
    return [
        Sampled(channel.name, channel.quantity, LABELS[channel.method], gathered[channel.id].series())
        for channel in channels.values()
        if channel.id in gathered
    ]
