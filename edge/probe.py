"""What a board offers, found and tried: each channel is read at its own rate for a while, and what came is told."""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from boards.board import Board, Channel
from boards.roots import Roots
from boards.sensor import Method, Reading, SensorLost
from boards.sysfs import numbered, read_once_word
from edge.sampler import Sampler

_COST_READS = 5


@dataclass(frozen=True)
class ChannelFinding:
    """One channel after some seconds of sampling. Values are in `unit`; None is unknown, never zero."""

    name: str
    unit: str
    method: str  # "measured", "counter" or "modelled"; also for channels that are no energy
    path: str
    value: float | None  # the last one
    lowest: float | None
    highest: float | None
    wanted_hz: float
    reached_hz: float | None
    longest_gap_ms: float | None
    read_us: float | None  # median cost of one read
    failures: int
    problem: str | None  # why the last read failed


@dataclass(frozen=True)
class CameraFinding:
    """One video node that captures."""

    path: str
    name: str
    permitted: bool


@dataclass(frozen=True)
class BoardFinding:
    """Everything that `joulepath probe` tells."""

    board: str
    model: str
    energy_channel: str | None
    energy_method: str
    rails_included: tuple[str, ...]
    seconds: float
    channels: tuple[ChannelFinding, ...]
    cameras: tuple[CameraFinding, ...]
    details: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def probe_board(
    board: Board,
    seconds: float,
    *,
    roots: Roots | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
    wait: Callable[[float], object] = time.sleep,
) -> BoardFinding:
    """Sample `board` for `seconds` with the daemon's own sampler and tell what came of each channel."""
    readings: dict[str, list[Reading]] = {channel.name: [] for channel in board.channels}
    problems: dict[str, str] = {}
    sampler = Sampler(
        board,
        clock=clock,
        on_sample=lambda name, at_ns, value: readings[name].append(Reading(value, at_ns)),
        on_event=lambda level, kind, message: problems.update(_problem(kind, message)),
    )
    began_ns = clock()
    sampler.start()
    try:
        wait(seconds)
    finally:
        sampler.close()
    elapsed_s = (clock() - began_ns) / 1e9
    findings = tuple(
        _finding(channel, sampler, readings[channel.name], problems.get(channel.name)) for channel in board.channels
    )
    energy = next((channel for channel in board.channels if channel.name == board.energy_channel), None)
    return BoardFinding(
        board=board.info.name,
        model=board.info.model,
        energy_channel=board.energy_channel,
        energy_method=(Method.UNAVAILABLE if energy is None else energy.method).name.lower(),
        rails_included=board.info.rails_included,
        seconds=elapsed_s,
        channels=findings,
        cameras=tuple(find_cameras(roots or Roots())),
        details=dict(board.info.details),
    )


def find_cameras(roots: Roots) -> list[CameraFinding]:
    """Video nodes by number; a driver's further nodes (metadata, statistics) have an index above 0 and are left out."""
    found = []
    for folder in numbered(roots.sys / "class/video4linux", "video"):
        if (read_once_word(folder / "index") or "0") != "0":
            continue
        node = roots.dev / folder.name
        permitted = os.access(node, os.R_OK | os.W_OK)
        found.append(CameraFinding(str(node), read_once_word(folder / "name") or "unnamed", permitted))
    return found


def _read_cost(channel: Channel) -> float | None:
    """Median microseconds of a read; None where none succeeds. A channel's first read is often its dearest."""
    costs = []
    for _ in range(_COST_READS):
        before = time.perf_counter_ns()
        try:
            channel.sensor.read()
        except SensorLost:
            continue
        costs.append((time.perf_counter_ns() - before) / 1000)
    return statistics.median(costs) if costs else None


def _problem(kind: str, message: str) -> dict[str, str]:
    match = re.match(r"(.+?) is lost: (.*)", message, re.DOTALL) if kind == "sensor_lost" else None
    return {match[1]: match[2]} if match else {}


def _finding(channel: Channel, sampler: Sampler, readings: list[Reading], problem: str | None) -> ChannelFinding:
    stats = sampler.stats(channel.name)
    values = [reading.value for reading in readings]
    span_s = (readings[-1].monotonic_ns - readings[0].monotonic_ns) / 1e9 if readings else 0.0
    return ChannelFinding(
        name=channel.name,
        unit=channel.quantity.value,
        method=channel.method.name.lower(),
        path=channel.path,
        value=values[-1] if values else None,
        lowest=min(values, default=None),
        highest=max(values, default=None),
        wanted_hz=1 / channel.period_s,
        reached_hz=(len(readings) - 1) / span_s if span_s > 0 else None,
        longest_gap_ms=stats.longest_gap_ns / 1e6 if stats.reads > 1 else None,
        read_us=_read_cost(channel),
        failures=stats.failures,
        problem=problem if stats.failures else None,
    )


def short_path(path: str) -> str:
    """A path for a narrow table: the last three parts of it."""
    parts = Path(path).parts
    return path if len(parts) <= 4 else "…/" + "/".join(parts[-3:])
