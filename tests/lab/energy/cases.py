"""Courses of power, played to the lab's chip, metered in the guest, and judged here."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.lab.energy.counted import PATIENCE_S, CountedMachine
from tests.lab.energy.truth import Knot, Score, Truth, bursts, knot, ramps, rippled, score, steps

FRAMES_S = (1 / 30, 1 / 15, 1 / 10)  # 30, 15 and 10 frames a second, drawn anew for each frame
MARGIN_S = 5.0  # a course goes on for this long after the last frame
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

    def rate_hz(self, channel: str) -> float:
        """Reads a second of one channel."""
        return self.stats[channel]["reads"] / self.seconds


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
    column = result["columns"].index
    wanted = [column(name) for name in ("start_ns", "end_ns", "energy_uj", "uncertainty_uj")]
    frames = [tuple(row[at] for at in wanted) for row in result["rows"]]
    assert len(frames) == len(frames_s), "a frame is missing"
    found = score(frames, Truth(course, result["start_ns"]))
    return Outcome(case.name, found, result["seconds"], result["cpu_s"], result["stats"], result)
