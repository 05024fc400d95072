"""A board that replays a recording against the clock, from the moment it is opened.

Every value of it is *modelled*: a recording says what some board drew once, not what this run draws. Frames' energy is
taken from a counter, the running integral of the recorded power, so that the energies of frames add up to the
recording's own joules however fast it is sampled or replayed.

At a `speed` other than 1 watts stay watts and time shrinks: a minute's recording at speed 10 lasts six seconds and
holds a tenth of its joules. A battery that lost a hundredth in that minute loses it in six seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from boards.assembly import RAIL_PERIOD_S, SIDE_RAIL_PERIOD_S, SensorBoard
from boards.board import Board, BoardInfo, Channel, Quantity
from boards.counter import BreakingCounter
from boards.recording import Recording, Series
from boards.recordings.files import read_recording
from boards.sensor import BoardError, Method, Reading, SensorLost
from boards.sysfs import Clock

ENERGY_CHANNEL = "recorded-energy"
_SLOWEST_S = 10.0
_S_PER_NS = 1e-9


class ReadsRecording(Protocol):
    """A reader of recordings from another room (the journal's): None when the file is not of its kind.

    `options` are those of the board's that the readers here do not know, such as ``run=3``. Raises BoardError.
    """

    def __call__(self, path: Path, options: Mapping[str, str], /) -> Recording | None: ...


class Playhead:
    """Where in the recording the board is: the same for all of its sensors."""

    def __init__(self, recording: Recording, clock: Clock, speed: float, loop: bool) -> None:
        self.recording = recording
        self.clock = clock
        self.speed = speed
        self.loop = loop
        self.start_ns = clock()

    def now(self) -> tuple[int, float, int]:
        """(rounds gone by, seconds into the recording, monotonic ns). Raises SensorLost after the end."""
        now_ns = self.clock()
        played_s = (now_ns - self.start_ns) * _S_PER_NS * self.speed
        rounds, at_s = divmod(played_s, self.recording.duration_s)
        if rounds and not self.loop:
            raise SensorLost(f"{self.recording.source}: recording ended")
        return int(rounds), at_s, now_ns


class HeldSensor:
    """A series as it was recorded: each value until the next."""

    def __init__(self, series: Series, head: Playhead) -> None:
        self._series = series
        self._head = head

    def read(self) -> Reading:
        _, at_s, now_ns = self._head.now()
        index = self._series.index_at(at_s)
        if index is None:
            raise SensorLost(_nothing(self._head.recording, self._series, at_s))
        return Reading(float(self._series.values[index]), now_ns)


class EnergySensor:
    """The integral of a power series over replayed time, joules; it starts anew after a gap."""

    def __init__(self, power: Series, head: Playhead) -> None:
        self._power = power
        self._head = head
        self._counter = BreakingCounter()
        # A round ends in a gap when the series does not reach from the recording's first instant to its last.
        whole = power.times_s[0] <= 0.0 and power.ends_s[-1] >= head.recording.duration_s
        self._breaks_a_round = len(power.gap_indices) + (not whole)

    def read(self) -> Reading:
        rounds, at_s, now_ns = self._head.now()
        power = self._power
        index = power.index_at(at_s)
        if index is None:
            raise SensorLost(_nothing(self._head.recording, power, at_s))
        joules = rounds * power.total + power.sums[index] + power.values[index] * (at_s - power.times_s[index])
        stretch = rounds * self._breaks_a_round + int(power.gap_indices.searchsorted(index, side="right"))
        return self._counter.reading(float(joules) / self._head.speed, stretch, now_ns)


def replayed(
    recording: Recording,
    *,
    clock: Clock = time.monotonic_ns,
    speed: float = 1.0,
    loop: bool = False,
    total: str | None = None,
) -> Board:
    """The board that plays `recording`; `total` names the POWER series that frames' energy is taken from.

    Raises BoardError for a speed that is not above 0, and for a `total` that is not there.
    """
    if not 0 < speed <= 1e6 or not math.isfinite(speed):
        raise BoardError(f"replay board: speed must be above 0, at most 1000000; it is {speed:g}")
    power = _energy_series(recording, total)
    head = Playhead(recording, clock, speed, loop)
    channels = []
    if power is not None:
        channels.append(_channel(ENERGY_CHANNEL, Quantity.ENERGY, EnergySensor(power, head), RAIL_PERIOD_S, recording))
    for series in recording.series:
        if series.name == ENERGY_CHANNEL:
            continue  # the name is taken here; its watts are in the counter where it is the whole
        period_s = min(_SLOWEST_S, max(SIDE_RAIL_PERIOD_S, series.step_s / speed))
        channels.append(_channel(series.name, series.quantity, HeldSensor(series, head), period_s, recording))
    details = dict(recording.notes) | {
        "recording": f"{recording.kind}, {recording.source}, {recording.duration_s:.0f} s",
        "played": f"{speed:g} times as fast" + (", again and again" if loop else ", once"),
    }
    if power is not None:
        details["energy"] = f"modelled: the recorded power {power.name}, not what this run draws"
        if speed != 1:
            details["energy"] += f"; joules are those of time shortened {speed:g} times"
    else:
        details.setdefault("energy", "unavailable: the recording has no power")
    included = recording.rails_included if total is None else (total,)
    info = BoardInfo(
        "replay", f"recording {Path(recording.source).name}", included if power else (), bool(power), details
    )
    return SensorBoard(info, tuple(channels), ENERGY_CHANNEL if power is not None else None)


def open_replay(
    path: Path,
    *,
    clock: Clock = time.monotonic_ns,
    speed: float = 1.0,
    loop: bool = False,
    total: str | None = None,
    interval_s: float | None = None,
    cells: int | None = None,
    options: Mapping[str, str] | None = None,
    readers: tuple[ReadsRecording, ...] = (),
) -> Board:
    """Replay the recording in `path`; `readers` are asked first, with `options` of their own. Raises BoardError."""
    options = options or {}
    for read in readers:
        recording = read(path, options)
        if recording is not None:
            return replayed(recording, clock=clock, speed=speed, loop=loop, total=total)
    for key in options:
        raise BoardError(f"{path}: {key} says nothing here; it belongs to recorded journals, and this is none")
    recording = read_recording(path, interval_s=interval_s, cells=cells)
    return replayed(recording, clock=clock, speed=speed, loop=loop, total=total)


def _energy_series(recording: Recording, total: str | None) -> Series | None:
    name = total if total is not None else recording.energy
    if name is None:
        return None
    series = recording.find(name)
    if series is None or series.quantity is not Quantity.POWER:
        known = ", ".join(each.name for each in recording.series if each.quantity is Quantity.POWER) or "none"
        raise BoardError(f"{recording.source}: no power named {name!r} was recorded; there are: {known}")
    return series


def _channel(
    name: str, quantity: Quantity, sensor: HeldSensor | EnergySensor, period_s: float, recording: Recording
) -> Channel:
    return Channel(name, quantity, sensor, period_s, Method.MODELLED, recording.source)


def _nothing(recording: Recording, series: Series, at_s: float) -> str:
    return f"{recording.source}: nothing was recorded of {series.name} at {at_s:.1f} s"
