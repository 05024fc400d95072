"""Decisions for days: nothing that the planning controller keeps may grow."""

from __future__ import annotations

import gc
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from edge.controller.contract import Decision, Observation
from edge.controller.goals import Goals
from edge.controller.plan import PlanningController
from edge.simulate.draw import draw
from edge.simulate.run import run
from tests.edge.controller.extent import extent

_TRACES = ("everything", "noisy-rails", "solar", "crowded-cap", "coarse-heat", "clock-steps")
GOALS = Goals(
    battery_hours=2000.0, max_temperature_c=70.0, max_power_w=6.0, deadline_ms=190.0, min_fps=4.0, allow_lower_fps=True,
    min_accuracy=0.4,
)  # fmt: skip


@dataclass(frozen=True)
class Memory:
    """After `decisions`: blocks that Python has handed out, objects that its collector tracks, bytes of the process in
    memory, bytes that the state comes to (`extent`)."""

    decisions: int
    blocks: int
    objects: int
    resident_bytes: int
    state_bytes: int


class Recorder(PlanningController):
    """Keeps what it saw."""

    def __init__(self, goals: Goals) -> None:
        super().__init__(goals)
        self.seen: list[Observation] = []

    def decide(self, state: Any, seen: Observation) -> tuple[Any, Decision]:
        self.seen.append(seen)
        return super().decide(state, seen)


def traces() -> list[Observation]:
    """What was seen in ten minutes of several scenarios, one after the other."""
    found: list[Observation] = []
    for name in _TRACES:
        scenario = replace(draw(name, 0), seconds=600.0)
        recorder = Recorder(scenario.goals)
        run(scenario, recorder, 0, "plan")
        found += recorder.seen
    return found


def unending(seen: list[Observation]) -> Iterator[Observation]:
    """The traces again and again, on a clock that goes on."""
    gaps_ns = [max(0, after.monotonic_ns - before.monotonic_ns) for before, after in itertools.pairwise(seen)]
    now_ns = seen[0].monotonic_ns
    for one, gap_ns in zip(itertools.cycle(seen), itertools.cycle([*gaps_ns, 1_000_000_000]), strict=False):
        yield replace(one, monotonic_ns=now_ns)
        now_ns += gap_ns


def memory_over(decisions: int, every: int) -> list[Memory]:
    controller = PlanningController(GOALS)
    state, running, found = controller.initial(), None, []
    observations = unending(traces())
    for number in range(1, decisions + 1):
        seen = next(observations)
        frames = seen.frames if running is None else tuple(replace(frame, variant=running) for frame in seen.frames)
        state, decision = controller.decide(state, replace(seen, running=running, frames=frames))
        running = decision.variant
        if number % every == 0:
            found.append(measured(number, state))
    return found


def measured(decisions: int, state: object) -> Memory:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Memory(decisions, sys.getallocatedblocks(), len(gc.get_objects()), resident, extent(state))


def check(found: list[Memory]) -> None:
    """All but the measurements' own records is as it was after the second part: by then every trace was seen once, and
    all that is to be learnt has its place."""
    first, last = found[1], found[-1]
    parts = len(found)
    # What may differ are the names of variants and sensors that are barred or refused just now.
    assert all(abs(one.state_bytes - first.state_bytes) <= 100 for one in found[1:])
    assert last.objects <= first.objects + 10 * parts
    assert last.blocks <= first.blocks + 50 * parts
    assert last.resident_bytes <= first.resident_bytes + 2_000_000


@pytest.mark.parametrize("more", [-101, 101])
def test_a_state_of_a_hundred_bytes_more_or_less_is_caught(more: int) -> None:
    steady = [Memory(number, 400_000, 100_000, 70_000_000, 3_700) for number in range(4)]
    check(steady)
    with pytest.raises(AssertionError):
        check([*steady, replace(steady[-1], state_bytes=3_700 + more)])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow() -> None:
    check(memory_over(7_500, 2_500))


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_over_a_million_decisions(capsys: pytest.CaptureFixture[str]) -> None:
    found = memory_over(1_000_000, 100_000)
    with capsys.disabled():
        print(*found, sep="\n")
    check(found)
