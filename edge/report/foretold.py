"""What the controller foretold, held against what came.

A recorded decision foretells, for the variant that it chose, an inference's latency (`expected_latency_ms` in its body)
and, where the controller can, a frame's energy (`expected_energy_mj`) and the temperature in a minute
(`expected_temperature_c`, see `edge.report.foretold_heat`). The first two are held against the mean over that variant's
frames from the decision until the next recorded one: frames of another variant, which served while the chosen one was
not ready, are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from boards.sensor import Method
from edge.journal.reader import JournalReader
from edge.journal.rows import RunRow, StoredFrame
from edge.journal.summary import LABELS, variant_name
from edge.report.foretold_heat import AHEAD_NS, came_in_a_minute
from edge.report.series import Floats

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
ENERGY, INFERENCE, TEMPERATURE = "energy a frame", "inference", "temperature"
_UNKNOWN = -1
_PLACE = {name: place for place, name in enumerate(StoredFrame._fields)}


@dataclass(frozen=True)
class Compared:
    """One quantity, a value for each decision that something came of, in order of time; arrays of one length.

    `start_s` to `end_s`, since the run's start, is what the foretold value is held against: from the first frame to the
    end of the last. Of a temperature both are the instant for which it was foretold.
    """

    what: str
    unit: str
    method: str  # how what came was obtained
    variants: tuple[str, ...]
    start_s: Floats
    end_s: Floats
    foretold: Floats
    came: Floats

    @property
    def relative(self) -> bool:
        """Whether errors are shares of what came; a share of degrees Celsius says nothing."""
        return self.what != TEMPERATURE


@dataclass(frozen=True)
class Errors:
    """How far one variant's foretold values lay from what came.

    `p50` and `p90` are percentiles of |foretold - came| / came, of a temperature of |foretold - came| in °C.
    """

    variant: str
    decisions: int
    foretold: float  # means over the decisions
    came: float
    p50: float
    p90: float


@dataclass(frozen=True)
class Foretold:
    """Of a run: what can be compared, an energy for each way in which it was obtained; sentences on what cannot."""

    compared: tuple[Compared, ...]
    absent: tuple[str, ...]


def errors(compared: Compared) -> Iterator[Errors]:
    """One row for each variant, in order of their first decision."""
    names = np.array(compared.variants)
    off = np.abs(compared.foretold - compared.came) / (compared.came if compared.relative else 1.0)
    for name in dict.fromkeys(compared.variants):
        of_it = names == name
        p50, p90 = np.percentile(off[of_it], (50, 90)).tolist()
        foretold, came = (float(values[of_it].mean()) for values in (compared.foretold, compared.came))
        yield Errors(name, int(of_it.sum()), foretold, came, p50, p90)


class Comparison:
    """Takes a run's frames page by page; its memory grows with the decisions, of which a day has some thousands."""

    def __init__(self, journal: JournalReader, run: RunRow) -> None:
        self._start_ns = run.start_ns
        rows = list(journal.decisions(run.id))
        self._at_ns = np.array([time_ns for time_ns, *_ in rows], dtype=np.int64)
        self._variant = np.array([variant for _, _, variant, _, _ in rows], dtype=np.int64)
        known = journal.variants()
        self._names = [variant_name(known, number) for number in self._variant.tolist()]
        self._energy_mj, self._latency_ms = (
            np.array([_positive(body.get(name)) for *_, body in rows], dtype=np.float64)
            for name in ("expected_energy_mj", "expected_latency_ms")
        )
        self._foretold_c = np.array([_number(body.get("expected_temperature_c")) for *_, body in rows])
        self._came_c = came_in_a_minute(journal, run.id, self._at_ns, [(row[2], row[4].get("max_fps")) for row in rows])
        self._latency = _Means(len(rows))
        self._energy: dict[int, _Means] = {}
        # A frame that was answered with the answer before belongs to the inference before it, energy and all: where one
        # of the two is unknown, so is their mean.
        self._reused, self._energyless = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)

    def add(self, columns: Sequence[Sequence[Any]]) -> None:
        """Frames in order of time, as columns in the order of StoredFrame's fields."""
        if not self._at_ns.size:
            return
        start_ns, end_ns, variant, infer_us, method, reused = (
            np.array(columns[_PLACE[name]], dtype=np.int64)
            for name in ("start_ns", "end_ns", "variant_id", "infer_us", "method", "reused")
        )
        energy_uj = np.array([_UNKNOWN if uj is None else uj for uj in columns[_PLACE["energy_uj"]]], dtype=np.int64)
        decision = np.searchsorted(self._at_ns, start_ns, side="right") - 1
        chosen = (decision >= 0) & (variant == self._variant[decision])
        inferred, known = reused == 0, energy_uj != _UNKNOWN
        span = (start_ns, end_ns)
        self._latency.add(decision, chosen & inferred, infer_us / 1e3, inferred, span)
        for code in np.unique(method[chosen & known]).tolist():
            means = self._energy.setdefault(code, _Means(len(self._at_ns)))
            means.add(decision, chosen & known & (method == code), energy_uj / 1e3, inferred, span)
        np.add.at(self._reused, decision[chosen & ~inferred], 1)
        np.add.at(self._energyless, decision[chosen & ~known], 1)

    def result(self, thermometer: str) -> Foretold:
        """What was foretold and what came, once all frames were added; `thermometer` is how it comes by its values."""
        if not self._at_ns.size:
            return Foretold((), ("This run recorded no decision, so nothing was foretold.",))
        energies, latency, heat = self._energies(), self._latencies(), self._temperatures(thermometer)
        found = (
            ("the energy of a frame", self._energy_mj, energies, "no frame whose energy is known came on its variant"),
            ("the latency of an inference", self._latency_ms, [latency], "no frame was inferred on its variant"),
            ("the temperature in a minute", self._foretold_c, [heat], "no decision stood for a minute of readings"),
        )
        compared = [each for _, _, several, _ in found for each in several if each.came.size]
        nowhere = [what for what, foretold, _, _ in found if np.isnan(foretold).all()]
        absent = [f"No recorded decision foretells {' or '.join(nowhere)}."] if nowhere else []
        absent += [
            f"{what.capitalize()} was foretold, but {why}."
            for what, _, several, why in found
            if what not in nowhere and not any(each.came.size for each in several)
        ]
        return Foretold(tuple(compared), tuple(absent))

    def _energies(self) -> list[Compared]:
        whole = (self._reused == 0) | (self._energyless == 0)
        return [
            self._mean(ENERGY, "mJ", LABELS[Method(code)], np.where(whole, self._energy_mj, np.nan), means)
            for code, means in sorted(self._energy.items())
        ]

    def _latencies(self) -> Compared:
        return self._mean(INFERENCE, "ms", LABELS[Method.MEASURED], self._latency_ms, self._latency)

    def _temperatures(self, thermometer: str) -> Compared:
        due_ns = self._at_ns + AHEAD_NS
        return self._at(TEMPERATURE, "°C", thermometer, (due_ns, due_ns), self._foretold_c, self._came_c)

    def _mean(self, what: str, unit: str, method: str, foretold: Floats, means: _Means) -> Compared:
        came = np.full(len(foretold), np.nan)
        np.divide(means.sums, means.inferred, out=came, where=(means.inferred > 0) & (means.sums > 0))
        return self._at(what, unit, method, (means.start_ns, means.end_ns), foretold, came)

    def _at(
        self, what: str, unit: str, method: str, span_ns: tuple[Ints, Ints], foretold: Floats, came: Floats
    ) -> Compared:
        """Of the decisions of which both are known."""
        places = np.flatnonzero(~np.isnan(foretold) & ~np.isnan(came))
        start_s, end_s = ((ns[places] - self._start_ns) / 1e9 for ns in span_ns)
        names = tuple(self._names[place] for place in places.tolist())
        return Compared(what, unit, method, names, start_s, end_s, foretold[places], came[places])


class _Means:
    """For each decision: a sum over frames, how many of them were inferred, and from when to when they ran."""

    def __init__(self, decisions: int) -> None:
        self.sums = np.zeros(decisions)
        self.inferred = np.zeros(decisions, dtype=np.int64)
        self.start_ns = np.full(decisions, np.iinfo(np.int64).max)
        self.end_ns = np.zeros(decisions, dtype=np.int64)

    def add(self, decision: Ints, of_it: Flags, values: Floats, inferred: Flags, span_ns: tuple[Ints, Ints]) -> None:
        places = decision[of_it]
        np.add.at(self.sums, places, values[of_it])
        np.add.at(self.inferred, places, inferred[of_it])
        np.minimum.at(self.start_ns, places, span_ns[0][of_it])
        np.maximum.at(self.end_ns, places, span_ns[1][of_it])


def _number(value: object) -> float:
    """A foretold figure; NaN where there is none."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else math.nan


def _positive(value: object) -> float:
    number = _number(value)
    return number if number > 0 else math.nan
