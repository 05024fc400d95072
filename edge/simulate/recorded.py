"""A world made of what a journal recorded: what another controller would have met.

What is taken as it was: how fast frames came, how long each variant took, how everything slowed down together, what the
board drew beside its inferences, the battery at the start. What is a model: each variant's power (the planner's own,
fitted to the frames' energies), and heat (one capacity behind one resistance, fitted to temperature and power; ambient
is then whatever makes the recorded temperatures come out). The recorded decisions are run through the same model, so
that one can see how far it is from what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from boards.board import Quantity
from boards.recording import Floats, Recording
from edge.controller.contract import Decision, Observation
from edge.controller.goals import Goals
from edge.controller.learn.power import PowerModel
from edge.controller.learn.thermal import TAUS_S, ThermalModel
from edge.errors import JoulepathError
from edge.journal.reader import JournalReader
from edge.journal.summary import variant_name
from edge.replay import read_journal
from edge.simulate.scenario import Scenario, Senses
from edge.simulate.world import NOTHING, ROOM_C, Course, Physics, TrueVariant

_NS = 1e-9
_LEAST_FRAMES = 5
_SMOOTH_S = 60
_IDLE_GUESS_W = 3.0


@dataclass(frozen=True)
class Frames:
    """A run's frames as columns; seconds since its first frame. `energy_j` is NaN where it is unknown."""

    variants: tuple[str, ...]
    number: Floats  # which of `variants`
    begin_s: Floats
    end_s: Floats
    skipped: Floats
    infer_ms: Floats
    energy_j: Floats
    miou: Floats


@dataclass(frozen=True)
class Recorded:
    """A recorded run as a scenario, and the decisions that were taken: (second, variant), rising."""

    scenario: Scenario
    decisions: tuple[tuple[float, str], ...]
    notes: tuple[str, ...]
    energy_j: float | None  # as recorded
    hottest_c: float | None


class AsRecorded:
    """The controller that does again what was done."""

    def __init__(self, decisions: tuple[tuple[float, str], ...]) -> None:
        self.decisions = decisions

    def initial(self) -> int | None:
        return None

    def decide(self, state: int | None, seen: Observation) -> tuple[int, Decision]:
        """The variant that ran at this time of the run; `state` is when the run began."""
        begin_ns = seen.monotonic_ns if state is None else state
        at_s = (seen.monotonic_ns - begin_ns) * _NS
        variant = self.decisions[0][1]
        for second, name in self.decisions:
            if second > at_s:
                break
            variant = name
        return begin_ns, Decision(variant, "as recorded")


def recorded(path: Path, goals: Goals, accuracies: Mapping[str, float], run: int | None = None) -> Recorded:
    """The world of a run (the last one by default). `accuracies` by variant id; where one is missing, the frames' own
    mean score stands in.

    Raises JournalError for a missing run or damaged file, JoulepathError where too little was recorded.
    """
    with JournalReader(path) as journal:
        row = journal.run(run)
        frames = _frames(journal, row.id)
    recording = read_journal(path, {"run": str(row.id)})
    assert recording is not None
    seconds = float(frames.end_s[-1])
    offset_s = _offset_s(path, row.id, frames)
    scores = {**_scores(frames), **accuracies}
    unknown = [name for name in frames.variants if name not in scores]
    if unknown:
        raise JoulepathError(f"no accuracy is known of {', '.join(unknown)}: name the bundle that ran with --bundle")
    base_ms, slow = _latencies(frames, seconds)
    idle_w, dynamic_w, known_energy = _powers(frames, base_ms)
    power_w = _course(recording, Quantity.POWER, offset_s, seconds)
    heat_c = _course(recording, Quantity.TEMPERATURE, offset_s, seconds)
    notes = [
        f"{len(frames.begin_s):,} frames of {seconds / 60:.1f} min; variants that never ran are not part of it",
        "power and heat below are a model fitted to this recording; 'as recorded' is that model under the recorded "
        "decisions",
    ]
    if not known_energy:
        notes.append("no frame has an energy: power is a guess")
    ran_w = _modelled_w(frames, idle_w, dynamic_w, seconds)
    background = NOTHING if power_w is None else _stepped(_smooth(power_w - ran_w, 10))
    physics = Physics(
        tuple(
            TrueVariant(v, scores[v], base_ms[v], dynamic_w[v], base_ms[v], idle_w + dynamic_w[v])
            for v in sorted(frames.variants, key=lambda name: -base_ms[name])
        ),
        idle_w=idle_w,
        contention=_stepped(slow),
        background_w=background,
        throttle_c=200.0,  # what throttling did is in the slow-down that was recorded
        latency_noise=0.02,
        tail_share=0.0,
    )
    if heat_c is None:
        notes.append("no temperature was recorded: no temperature limit is judged")
        goals = replace(goals, max_temperature_c=None, emergency_temperature_c=None)
    else:
        physics = _heated(physics, heat_c, ran_w if power_w is None else power_w)
    physics, senses = _charged(physics, recording, offset_s, ran_w if power_w is None else power_w)
    fps = float((1 + frames.skipped).sum() / max(1e-9, seconds))
    scenario = Scenario(
        f"run {row.id}", physics, goals, senses, seconds=max(2.0, float(int(seconds))), fps=fps, about=row.board
    )
    measured_j = None if power_w is None else float(power_w.sum())
    return Recorded(
        scenario, _decisions(frames), tuple(notes), measured_j, None if heat_c is None else float(heat_c.max())
    )


def _frames(journal: JournalReader, run_id: int) -> Frames:
    # Frames that were answered with an earlier answer gave the engine nothing to do, whoever had been in charge.
    rows = [row for row in journal.frames(run_id) if not row.reused]
    if len(rows) < 2 * _LEAST_FRAMES:
        raise JoulepathError(f"run {run_id} has {len(rows)} frames: too few to replay")
    known = journal.variants()
    names = tuple(dict.fromkeys(variant_name(known, row.variant_id) for row in rows))
    place = {name: number for number, name in enumerate(names)}
    first_ns = rows[0].start_ns

    def column(values: Any) -> Floats:
        return np.array([np.nan if value is None else float(value) for value in values])

    return Frames(
        names,
        column(place[variant_name(known, row.variant_id)] for row in rows),
        (column(row.start_ns for row in rows) - first_ns) * _NS,
        (column(row.end_ns for row in rows) - first_ns) * _NS,
        column(row.skipped for row in rows),
        column(row.infer_us for row in rows) / 1000,
        column(row.energy_uj for row in rows) / 1e6,
        column(row.miou_ppm for row in rows) / 1e6,
    )


def _offset_s(path: Path, run_id: int, frames: Frames) -> float:
    """How long after the recording's first second the first frame began."""
    with JournalReader(path) as journal:
        first = min((row.second for row in journal.samples(run_id)), default=0)
        start_ns = next(iter(journal.frames(run_id))).start_ns
    return start_ns * _NS - first


def _scores(frames: Frames) -> dict[str, float]:
    found = {}
    for number, name in enumerate(frames.variants):
        scores = frames.miou[(frames.number == number) & np.isfinite(frames.miou)]
        if len(scores):
            found[name] = float(scores.mean())
    return found


def _latencies(frames: Frames, seconds: float) -> tuple[dict[str, float], Floats]:
    """Each variant's own latency, and by what factor all were slower in each second (1 at the median)."""
    log = np.log(np.maximum(1e-3, frames.infer_ms))
    second = np.minimum(frames.begin_s.astype(int), int(seconds))
    number = frames.number.astype(int)
    own, slow = np.zeros(len(frames.variants)), np.zeros(int(seconds) + 1)
    for _ in range(5):
        for each in range(len(own)):
            own[each] = np.median((log - slow[second])[number == each])
        slow = _by_second(log - own[number], second, len(slow))
        slow -= np.median(slow)
    return dict(zip(frames.variants, np.exp(own).tolist(), strict=True)), np.exp(slow)


def _by_second(values: Floats, second: Any, count: int) -> Floats:
    """The mean of each second; seconds without a value take the one before."""
    sums, counts = np.bincount(second, values, count), np.bincount(second, minlength=count)
    means, last = np.zeros(count), 0.0
    for number in range(count):
        if counts[number]:
            last = float(sums[number] / counts[number])
        means[number] = last
    return means


def _powers(frames: Frames, base_ms: Mapping[str, float]) -> tuple[float, dict[str, float], bool]:
    """Idle and each variant's dynamic power, by the planner's own filter over windows of about a second."""
    model = PowerModel.prior(dict.fromkeys(base_ms, 2.8), _IDLE_GUESS_W, frozenset(base_ms))
    known = np.isfinite(frames.energy_j)
    for _ in range(2):
        begin = 0
        for end in range(1, len(known) + 1):
            whole = end == len(known) or frames.number[end] != frames.number[begin]
            if not whole and frames.begin_s[end] - frames.begin_s[begin] < 1.0:
                continue
            part = slice(begin, end)
            if known[part].all():
                window_s = float((frames.end_s[part] - frames.begin_s[part]).sum())
                infer_s = min(window_s, float(frames.infer_ms[part].sum()) / 1000)
                variant = frames.variants[int(frames.number[begin])]
                model = model.seen(variant, float(frames.energy_j[part].sum()), window_s, infer_s)
            begin = end
    return model.idle_w, {name: model.dynamic_w(name) or 0.0 for name in base_ms}, bool(known.any())


def _modelled_w(frames: Frames, idle_w: float, dynamic_w: Mapping[str, float], seconds: float) -> Floats:
    """Mean power of each second as the model has it."""
    joules = frames.infer_ms / 1000 * np.array([dynamic_w[v] for v in frames.variants])[frames.number.astype(int)]
    second = np.minimum(frames.begin_s.astype(int), int(seconds))
    return np.asarray(idle_w + np.bincount(second, joules, int(seconds) + 1), np.float64)


def _course(recording: Recording, quantity: Quantity, offset_s: float, seconds: float) -> Floats | None:
    """One value a second, from the first frame on; None where it was not recorded."""
    named = [s for s in recording.series if s.quantity is quantity]
    if quantity is Quantity.POWER:
        named = [s for s in named if s.name == recording.energy]
    if not named:
        return None
    grid = np.arange(int(seconds) + 1) + offset_s
    return np.asarray(np.interp(grid, named[0].times_s, named[0].values), np.float64)


def _smooth(values: Floats, width: int) -> Floats:
    width = max(1, min(width, len(values)))
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _stepped(values: Floats) -> Course:
    return lambda at_s: float(values[min(len(values) - 1, max(0, int(at_s)))])


def _heated(physics: Physics, heat_c: Floats, power_w: Floats) -> Physics:
    """Resistances and time constant by the planner's thermal filter; ambient so that the recording comes out."""
    model = ThermalModel()
    for value, watts in zip(heat_c.tolist(), power_w.tolist(), strict=True):
        model = model.seen(value, watts, 1.0)
    if model.mean is None:
        return physics
    weights = model.weights()
    tau_s = float(np.exp(weights @ np.log(TAUS_S)))
    resistance, chip = (float(weights @ model.mean[:, column]) for column in (2, 3))
    case_c = _smooth(heat_c - chip * power_w, _SMOOTH_S)
    ambient_c = case_c + tau_s * np.gradient(case_c) - resistance * _smooth(power_w, _SMOOTH_S)
    return replace(
        physics,
        resistance=lambda at_s: resistance,
        capacity_j_per_k=tau_s / resistance,
        chip_k_per_w=chip,
        ambient_c=_stepped(_smooth(ambient_c, _SMOOTH_S)) if len(case_c) > 1 else ROOM_C,
        start_c=float(case_c[0]),
    )


def _charged(physics: Physics, recording: Recording, offset_s: float, power_w: Floats) -> tuple[Physics, Senses]:
    """The battery at the start; its capacity from joules that were counted, or from what was drawn while it fell."""
    by_name = {s.name: s for s in recording.series}
    counted, charge = by_name.get("battery_energy_j"), by_name.get("battery")
    if charge is None:
        return physics, Senses()
    begin, end = float(charge.values[0]), float(charge.values[-1])
    drawn_j = float(power_w.sum())
    if counted is not None and begin > 0:
        left_j = float(counted.values[0])
        return replace(physics, battery_j=left_j, full_j=left_j / begin), Senses(counts_energy=True)
    if begin - end < 0.02:
        return physics, Senses()  # on mains, or too short a run to say what the battery holds
    full_j = drawn_j / (begin - end)
    return replace(physics, battery_j=begin * full_j, full_j=full_j), Senses()


def _decisions(frames: Frames) -> tuple[tuple[float, str], ...]:
    """When each variant began to run."""
    changed = np.flatnonzero(np.diff(frames.number, prepend=-1.0))
    return tuple((float(frames.begin_s[k]), frames.variants[int(frames.number[k])]) for k in changed)
