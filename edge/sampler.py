"""The sampler: one thread that reads every channel of a board at its own period, and nothing else.

Deadlines are absolute, so that a late wake-up does not shift the ones after it; ticks that were missed are counted and
not made up for, because a bunch of readings at one instant says nothing new. Some chips hold their reader for several
milliseconds: a channel that would make the energy channel late waits until that one has just been read, and one such
is read in a turn. A sensor that fails is reported once, read less and less often meanwhile, and reported once more when
it is back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread, get_native_id
from typing import Protocol

from boards.board import Board, Channel
from boards.sensor import Reading, SensorLost
from edge.meter import Meter

Clock = Callable[[], int]
OnSample = Callable[[str, int, float], None]  # channel, monotonic ns, value in the channel's unit
OnEvent = Callable[[str, str, str], None]  # level, kind, message

STALE_PERIODS = 3.0
LONGEST_BACK_OFF_S = 2.0
_STEADY_PERIODS = 50  # good reads in a row after which a sensor's past failures are forgotten
_LONGEST_SLEEP_S = 0.05
_NS = 1_000_000_000
_LONGEST_TURN_NS = _NS


class Wait(Protocol):
    """Waits; true when the sampler is to end. `threading.Event.wait` is one."""

    def __call__(self, timeout: float, /) -> bool: ...


@dataclass
class ChannelStats:
    """What happened to one channel: good reads, failed reads, ticks that came too late, longest time between two
    reads."""

    reads: int = 0
    failures: int = 0
    missed: int = 0
    longest_gap_ns: int = 0


@dataclass
class _Line:
    """A channel on its way: when it is due next, what was read last."""

    channel: Channel
    period_ns: int
    due_ns: int
    first: bool  # the energy channel is read before all others that are due
    latest: Reading | None = None
    lost: bool = False
    back_off_ns: int = 0
    good_in_a_row: int = 0
    usual_ns: int = 0  # how long a read takes, the long ones remembered for a while
    stats: ChannelStats = field(default_factory=ChannelStats)


class Sampler:
    """Reads `board`'s channels; the energy channel's readings go to `meter`, all of them to `on_sample`.

    `wait` stands in for sleeping and makes time the caller's; `rate_hz` overrides the energy channel's own period;
    `priority` asks the kernel to run this thread before others (real-time, else niceness) where it is permitted.
    Callbacks run on the sampler's thread and must be quick; one that raises is reported once and tolerated.
    """

    def __init__(
        self,
        board: Board,
        *,
        clock: Clock = time.monotonic_ns,
        wait: Wait | None = None,
        meter: Meter | None = None,
        on_sample: OnSample | None = None,
        on_event: OnEvent | None = None,
        rate_hz: float | None = None,
        priority: bool = False,
    ) -> None:
        self._clock = clock
        self._meter = meter
        self._on_sample = on_sample
        self._on_event = on_event
        self._ended = Event()
        self._sampled = Event()
        self._wait: Wait = wait or self._doze
        self._priority = priority
        self._thread: Thread | None = None
        self._callback_failed = False
        self.turns = 0  # rounds of the thread: while it lives there is at least one a second, or one a slow read
        begin_ns = clock()
        self._lines = [
            self._line(channel, channel.name == board.energy_channel, begin_ns, rate_hz) for channel in board.channels
        ]
        self._by_name = {line.channel.name: line for line in self._lines}

    @staticmethod
    def _line(channel: Channel, first: bool, begin_ns: int, rate_hz: float | None) -> _Line:
        period_s = 1 / rate_hz if first and rate_hz else channel.period_s
        return _Line(channel, max(1, round(period_s * _NS)), begin_ns, first)

    # -- the thread -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin sampling on a thread of its own."""
        if self._thread is not None:
            raise RuntimeError("the sampler was started already")
        self._thread = Thread(target=self.run, name="sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; waits for the read under way."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def run(self) -> None:
        """Sample until `close`, or until `wait` says so."""
        if self._priority:
            _ask_for_priority()
        while not self._ended.is_set():
            next_due_ns = self.sample_due()
            self.turns += 1
            left_ns = min(next_due_ns - self._clock(), _LONGEST_TURN_NS)
            if left_ns > 0 and self._wait(left_ns / _NS):
                return

    def _doze(self, timeout: float, /) -> bool:
        # Plain sleep costs half of what an interruptible wait does; nobody minds 50 ms at the end.
        if timeout > _LONGEST_SLEEP_S:
            return self._ended.wait(timeout)
        time.sleep(timeout)
        return self._ended.is_set()

    def sample_due(self) -> int:
        """Read the channels that are due now; returns when the next turn is, in monotonic ns."""
        now_ns = self._clock()
        due = [line for line in self._lines if line.due_ns <= now_ns]
        energy = next((line for line in self._lines if line.first), None)
        after_energy = False
        postponed: list[_Line] = []
        for line in sorted(due, key=lambda line: (not line.first, line.due_ns)):
            if line is energy or energy is None or self._in_time(line, energy, after_energy):
                self._read(line)
                after_energy = line is energy
            else:
                postponed.append(line)
        # What was put off comes with the energy channel's next turn; it alone must not wake the thread before.
        awaited = [line.due_ns for line in self._lines if line not in postponed]
        return min(awaited, default=now_ns + _NS)

    def _in_time(self, line: _Line, energy: _Line, after_energy: bool) -> bool:
        """Whether a read ends before the energy channel is due. One that never fits is least harmful right after the
        energy channel's, unless that one is behind already; it waits for half of its own period at most."""
        now_ns = self._clock()
        left_ns = energy.due_ns - now_ns
        overdue = now_ns - line.due_ns > line.period_ns // 2
        return line.usual_ns <= left_ns or (after_energy and (left_ns > 0 or overdue))

    def _read(self, line: _Line) -> None:
        now_ns = self._clock()
        late = (now_ns - line.due_ns) // line.period_ns
        if not line.lost:
            line.stats.missed += late
        line.due_ns += (late + 1) * line.period_ns
        try:
            try:
                reading = line.channel.sensor.read()
            finally:
                line.usual_ns = max(self._clock() - now_ns, line.usual_ns * 7 // 8)
        except SensorLost as error:
            self._failed(line, str(error), now_ns)
        except Exception as error:
            self._failed(line, f"{type(error).__name__}: {error}", now_ns)
        else:
            self._succeeded(line, reading)

    def _succeeded(self, line: _Line, reading: Reading) -> None:
        if line.latest is not None and not line.lost:
            line.stats.longest_gap_ns = max(line.stats.longest_gap_ns, reading.monotonic_ns - line.latest.monotonic_ns)
        line.stats.reads += 1
        line.latest = reading
        line.good_in_a_row += 1
        if line.good_in_a_row >= _STEADY_PERIODS:
            line.back_off_ns = 0
        if line.lost:
            line.lost = False
            self._tell("info", "sensor_back", f"{line.channel.name} gives values again")
        if line.first and self._meter is not None:
            self._meter.add(reading)
            self._sampled.set()
        self._hand_over(line.channel.name, reading)

    def _failed(self, line: _Line, why: str, now_ns: int) -> None:
        line.stats.failures += 1
        line.good_in_a_row = 0
        if line.first and self._meter is not None:
            self._meter.lost(now_ns)
        # Still on the grid of its deadlines, but ever fewer of them.
        line.back_off_ns = min(
            max(line.period_ns, 2 * line.back_off_ns), max(line.period_ns, round(LONGEST_BACK_OFF_S * _NS))
        )
        skipped = line.back_off_ns // line.period_ns - 1
        line.due_ns += skipped * line.period_ns
        if not line.lost:
            line.lost = True
            self._tell("warning", "sensor_lost", f"{line.channel.name} is lost: {why}")

    def _hand_over(self, name: str, reading: Reading) -> None:
        if self._on_sample is None:
            return
        try:
            self._on_sample(name, reading.monotonic_ns, reading.value)
        except Exception as error:
            if not self._callback_failed:
                self._callback_failed = True
                self._tell("error", "sample_not_kept", f"a sample of {name} could not be kept: {error}")

    def _tell(self, level: str, kind: str, message: str) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(level, kind, message)
        except Exception:
            self._callback_failed = True  # whoever listens for trouble is in trouble: nobody is left to tell

    # -- what others ask --------------------------------------------------------------------------------------

    def latest(self, name: str) -> Reading | None:
        """The last reading of a channel; None when it is lost, was never read, or is older than three periods."""
        line = self._by_name.get(name)
        reading = None if line is None else line.latest
        if line is None or reading is None or line.lost:
            return None
        return reading if self._clock() - reading.monotonic_ns <= STALE_PERIODS * line.period_ns else None

    def stats(self, name: str) -> ChannelStats:
        """Counts of one channel since the start. Raises KeyError for a name the board does not have."""
        return self._by_name[name].stats

    def wait_past(self, end_ns: int, timeout_s: float) -> bool:
        """Wait until the meter can tell the energy up to `end_ns`, at most `timeout_s`; true when it can."""
        deadline_ns = time.monotonic_ns() + round(timeout_s * _NS)
        while self._meter is not None and not self._meter.ready(end_ns):
            left_ns = deadline_ns - time.monotonic_ns()
            if left_ns <= 0:
                return False
            self._sampled.clear()
            if not self._meter.ready(end_ns):
                self._sampled.wait(min(left_ns / _NS, 0.05))
        return True


def _ask_for_priority() -> None:
    """Real-time round robin for the calling thread alone; where refused, ten steps of niceness; else nothing."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), -10)
