"""Courses of power, played to the lab's chip, metered in the guest, and judged here."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from boards.rails import ina3221_age_ms
from boards.sensor import Method, Reading
from edge.meter import PowerMeter
from tests.lab.energy.counted import PATIENCE_S, CountedMachine
from tests.lab.energy.truth import Knot, Score, Truth, bursts, knot, ramps, rippled, score, steps

FRAMES_S = (1 / 30, 1 / 15, 1 / 10)  # 30, 15 and 10 frames a second, drawn anew for each frame
MARGIN_S = 5.0  # a course goes on for this long after the last frame
AGE_S = ina3221_age_ms(7.0, 3, 1) * 1e-3  # what the chip's values are dated back by: its driver says 7 ms a round
CHANNEL_FIELDS = ("period_s", "resolution", "relative_error")


@dataclass(frozen=True)
class Case:
    """A course of the total rail and how many seconds of frames are metered."""

    name: str
    course: Callable[[float], list[Knot]]
    seconds: float


# 3 to 8 W: what a small module draws. Nothing here is in step with frames, ticks or the chip's rounds.
CASES = (
    Case("steps", lambda seconds: steps(seconds, 1, 0.6, 1.6, (0.15, 0.7)), 120.0),
    Case("bursts", lambda seconds: bursts(seconds, 2, 0.6, 1.2, (0.05, 0.2)), 60.0),
    Case("ramps", lambda seconds: ramps(seconds, 3, 0.6, 1.6, (0.15, 0.7)), 60.0),
    Case("steps with ripple", lambda seconds: rippled(steps(seconds, 4, 0.6, 1.6, (0.15, 0.7)), 5, 0.04), 60.0),
)


@dataclass(frozen=True)
class Outcome:
    """A case's score, and what the sampler did: reads and missed ticks a channel, seconds and processor seconds."""

    case: str
    score: Score
    seconds: float
    cpu_s: float
    stats: dict[str, dict[str, int]]
    raw: dict[str, Any]
    truth: Truth
    by_length: dict[int, Score]  # for frames of each length in ms by itself

    @property
    def worst_ratio(self) -> float:
        """Median stated uncertainty over median true error, for the length of frames where it is largest.

        One median over frames of several lengths would jump with the share of each, not with what is stated.
        """
        return max(found.ratio for found in self.by_length.values())

    def rate_hz(self, channel: str) -> float:
        """Reads a second of one channel."""
        return self.stats[channel]["reads"] / self.seconds

    def score_if_later(self, shift_s: float) -> Score:
        """The score that the same samples would have if each were dated `shift_s` later than it was."""
        channel = self.raw["channel"]
        name = next(iter(self.raw["samples"]))
        samples = self.raw["samples"][name]
        meter = PowerMeter(
            Method.MEASURED,
            channel["period_s"],
            resolution=channel["resolution"],
            relative_error=channel["relative_error"],
            capacity=len(samples),
        )
        for at_ns, watts in samples:
            meter.add(Reading(watts, at_ns + round(shift_s * 1e9)))
        windows = [(start, end, meter.energy(start, end)) for start, end, _, _ in frames_of(self.raw)]
        return score([(start, end, found.energy_uj, found.uncertainty_uj) for start, end, found in windows], self.truth)

    def record(self) -> dict[str, Any]:
        """What is kept of it."""
        rates = {name: round(self.rate_hz(name), 2) for name in self.stats}
        return {
            "case": self.case,
            "seconds": round(self.seconds, 1),
            "score": asdict(self.score),
            "by_frame_ms": {length: asdict(found) for length, found in self.by_length.items()},
            "score_if_dated_when_read": asdict(self.score_if_later(AGE_S)),
            "rates_hz": rates,
            "missed": {name: counts["missed"] for name, counts in self.stats.items()},
        }


def frames_of(raw: dict[str, Any]) -> list[tuple[int, int, int | None, int | None]]:
    """Frames of a result: start ns, end ns, energy uJ, uncertainty uJ."""
    column = raw["columns"].index
    start, end, energy, stated = (column(name) for name in ("start_ns", "end_ns", "energy_uj", "uncertainty_uj"))
    return [(row[start], row[end], row[energy], row[stated]) for row in raw["rows"]]


def meter(machine: CountedMachine, case: Case, *, seconds: float | None = None, samples: int = 1) -> Outcome:
    """Play a case on a running machine and judge its frames; `samples` is the chip's averaging."""
    seconds = seconds or case.seconds
    drawn = random.Random(9)
    frames_s: list[float] = []
    while sum(frames_s) < seconds:
        frames_s.append(drawn.choice(FRAMES_S))
    course = case.course(seconds + MARGIN_S)
    waveforms = {"1": course, "2": [knot(0.0, 0.3)], "3": [knot(0.0, 0.2)]}
    plan = {"total": machine.total, "waveforms": waveforms, "frames_s": frames_s, "fields": CHANNEL_FIELDS}
    machine.share.joinpath("plan.json").write_text(json.dumps(plan))
    machine.ok(f"echo {samples} > {machine.chip}/samples", PATIENCE_S)
    machine.ok(
        "cd /opt/packages && PYTHONPATH=. python3 -B /mnt/host/lab_meter.py /mnt/host/plan.json /mnt/host/result.json",
        PATIENCE_S,
    )
    result = json.loads(machine.share.joinpath("result.json").read_text())
    frames = frames_of(result)
    assert len(frames) == len(frames_s), "a frame is missing"
    truth = Truth(course, result["start_ns"])
    lengths_ms = [round(length_s * 1e3) for length_s in frames_s]
    by_length = {
        length: score([frame for frame, own in zip(frames, lengths_ms, strict=True) if own == length], truth)
        for length in sorted(set(lengths_ms))
    }
    found = score(frames, truth)
    return Outcome(case.name, found, result["seconds"], result["cpu_s"], result["stats"], result, truth, by_length)
