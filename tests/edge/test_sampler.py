from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from boards.board import Activity, BoardInfo, Channel, Quantity
from boards.sensor import Method, Reading, SensorLost
from edge.meter import PowerMeter
from edge.sampler import Sampler

MS = 1_000_000


@dataclass
class Time:
    """A clock, and a wait that moves it; ends the sampler at `end_ns`, wakes up late when told to."""

    end_ns: int
    now_ns: int = 0
    late_ns: dict[int, int] = field(default_factory=dict)  # from which instant on: how late the next wake-up is

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, timeout: float, /) -> bool:
        self.now_ns += round(timeout * 1e9)
        self.now_ns += self.late_ns.pop(self.now_ns, 0)
        return self.now_ns >= self.end_ns


@dataclass
class Script:
    """A sensor that counts its reads and fails between two instants."""

    clock: Time
    fails: tuple[int, int] = (0, 0)
    error: Exception = field(default_factory=lambda: SensorLost("gone"))
    read_at: list[int] = field(default_factory=list)

    def read(self) -> Reading:
        self.read_at.append(self.clock.now_ns)
        if self.fails[0] <= self.clock.now_ns < self.fails[1]:
            raise self.error
        return Reading(float(len(self.read_at)), self.clock.now_ns)


@dataclass
class Fake:
    """A board made of given channels."""

    channels: tuple[Channel, ...]
    energy_channel: str | None = None
    info: BoardInfo = field(default_factory=lambda: BoardInfo("fake", "fake"))

    def note(self, activity: Activity) -> None:
        del activity

    def close(self) -> None:
        return None


def line(name: str, sensor: Script, period_s: float, quantity: Quantity = Quantity.POWER) -> Channel:
    return Channel(name, quantity, sensor, period_s)


def test_each_channel_ticks_at_its_own_period_without_drift() -> None:
    clock = Time(end_ns=1000 * MS)
    fast, slow = Script(clock), Script(clock)
    board = Fake((line("slow", slow, 0.25), line("fast", fast, 0.03)), "fast")
    Sampler(board, clock=clock, wait=clock.wait).run()
    assert fast.read_at == [tick * 30 * MS for tick in range(34)]
    assert slow.read_at == [tick * 250 * MS for tick in range(4)]


def test_missed_ticks_are_counted_and_not_made_up_for() -> None:
    clock = Time(end_ns=200 * MS, late_ns={50 * MS: 34 * MS})
    sensor = Script(clock)
    sampler = Sampler(Fake((line("rail", sensor, 0.01),), "rail"), clock=clock, wait=clock.wait)
    sampler.run()
    ticks = [at // MS for at in sensor.read_at]
    assert ticks == [0, 10, 20, 30, 40, 84, *range(90, 200, 10)]
    stats = sampler.stats("rail")
    assert (stats.reads, stats.missed, stats.failures) == (17, 3, 0)
    assert stats.longest_gap_ns == 44 * MS


def test_the_energy_channel_is_read_first_and_feeds_the_meter() -> None:
    clock = Time(end_ns=100 * MS)
    order: list[str] = []
    channels = tuple(line(name, Script(clock), 0.01) for name in ("a", "total", "b"))
    meter = PowerMeter(Method.MEASURED, 0.01)
    sampler = Sampler(
        Fake(channels, "total"),
        clock=clock,
        wait=clock.wait,
        meter=meter,
        on_sample=lambda name, at, value: order.append(name),
    )
    sampler.run()
    assert order[:3] == ["total", "a", "b"]
    assert meter.energy(0, 90 * MS).samples == 9
    assert meter.ready(80 * MS)
    assert not meter.ready(81 * MS)


@dataclass
class Slow(Script):
    """A sensor that holds its reader, as a chip does that waits for its next conversion."""

    holds_ns: int = 0

    def read(self) -> Reading:
        reading = super().read()
        self.clock.now_ns += self.holds_ns
        return reading


def test_slow_channels_are_read_one_a_turn_right_after_the_energy_channel() -> None:
    clock = Time(end_ns=2000 * MS)
    total = Slow(clock, holds_ns=7 * MS)
    sides = [Slow(clock, holds_ns=12 * MS) for _ in range(3)]
    quick = Slow(clock, holds_ns=MS // 20)
    channels = [line("total", total, 0.02), *(line(f"side{number}", side, 0.2) for number, side in enumerate(sides))]
    sampler = Sampler(Fake((*channels, line("heat", quick, 0.05)), "total"), clock=clock, wait=clock.wait)
    sampler.run()
    # In the first round nobody knows how long a read takes; from then on the total keeps its 50 Hz to the tick.
    settled = [at for at in total.read_at if at >= 100 * MS]
    assert settled == [tick * 20 * MS for tick in range(5, 100)]
    for number, side in enumerate(sides):
        assert len(side.read_at) == 10, number
        assert all(at % (20 * MS) == 7 * MS for at in side.read_at[1:]), number
    later = sorted(at for side in sides for at in side.read_at[1:])
    assert all(after - before >= 20 * MS for before, after in pairwise(later))
    assert len(quick.read_at) == 39  # its first was put off past its second, while nobody knew how long the others take
    assert sum(sampler.stats(f"side{number}").missed for number in range(3)) == 0


def test_a_chip_that_makes_every_read_wait_leaves_the_energy_channel_its_rate() -> None:
    # An INA3221 in single-shot mode: 14 ms a rail, total at 50 Hz, two others at 5 Hz: 84 % of the bus.
    clock = Time(end_ns=10_000 * MS)
    total, sides = Slow(clock, holds_ns=14 * MS), [Slow(clock, holds_ns=14 * MS) for _ in range(2)]
    channels = [line("total", total, 0.02), *(line(f"side{number}", side, 0.2) for number, side in enumerate(sides))]
    sampler = Sampler(Fake(tuple(channels), "total"), clock=clock, wait=clock.wait)
    sampler.run()
    assert sampler.stats("total").missed <= 2  # in the first round, while nobody knew
    assert len(total.read_at) >= 498
    assert [len(side.read_at) for side in sides] == [50, 50]
    assert sampler.stats("total").longest_gap_ns <= 42 * MS


def test_a_channel_slower_than_the_energy_channels_period_is_still_read() -> None:
    clock = Time(end_ns=4000 * MS)
    total, side = Slow(clock, holds_ns=5 * MS), Slow(clock, holds_ns=45 * MS)
    Sampler(Fake((line("total", total, 0.02), line("side", side, 0.5)), "total"), clock=clock, wait=clock.wait).run()
    assert len(side.read_at) == 8
    gaps = [later - earlier for earlier, later in pairwise(total.read_at)]
    assert max(gaps) == 50 * MS  # its own read and the other's: no chip can be read twice at once
    assert sum(gap != 20 * MS for gap in gaps) <= 3 * 8


def test_a_lost_sensor_is_told_once_read_ever_less_and_told_once_when_back() -> None:
    clock = Time(end_ns=20_000 * MS)
    sensor = Script(clock, fails=(1000 * MS, 9000 * MS))
    other = Script(clock)
    events: list[tuple[str, str, str]] = []
    meter = PowerMeter(Method.MEASURED, 0.1)
    sampler = Sampler(
        Fake((line("rail", sensor, 0.1), line("other", other, 0.1)), "rail"),
        clock=clock,
        wait=clock.wait,
        meter=meter,
        on_event=lambda *event: events.append(event),
    )
    sampler.run()
    assert events == [
        ("warning", "sensor_lost", "rail is lost: gone"),
        ("info", "sensor_back", "rail gives values again"),
    ]
    failed = [at for at in sensor.read_at if 1000 * MS <= at < 9000 * MS]
    gaps = [(later - earlier) // MS for earlier, later in pairwise(failed)]
    assert gaps == [100, 200, 400, 800, 1600, 2000, 2000]
    assert all(at % (100 * MS) == 0 for at in sensor.read_at)  # still on its grid
    assert len(other.read_at) == 200  # untouched by its neighbour
    assert sampler.stats("rail").missed == 0
    assert sampler.stats("rail").failures == 8
    back = next(at for at in sensor.read_at if at >= 9000 * MS)
    assert back - 9000 * MS <= 2000 * MS
    assert meter.energy(500 * MS, 900 * MS).energy_uj is not None
    assert meter.energy(500 * MS, back + 100 * MS).energy_uj is None


def test_any_exception_of_a_sensor_is_a_loss_and_not_the_end() -> None:
    clock = Time(end_ns=1000 * MS)
    sensor = Script(clock, fails=(0, 300 * MS), error=ZeroDivisionError("bad driver"))
    events: list[str] = []
    sampler = Sampler(
        Fake((line("rail", sensor, 0.1),)),
        clock=clock,
        wait=clock.wait,
        on_event=lambda *event: events.append(event[2]),
    )
    sampler.run()
    assert events == ["rail is lost: ZeroDivisionError: bad driver", "rail gives values again"]


def test_a_flapping_sensor_cannot_flood_the_journal() -> None:
    clock = Time(end_ns=60_000 * MS)
    events: list[str] = []

    class Flapping(Script):
        def read(self) -> Reading:
            reading = super().read()
            if len(self.read_at) % 2:
                raise SensorLost("flaps")
            return reading

    sampler = Sampler(
        Fake((line("rail", Flapping(clock), 0.01),)),
        clock=clock,
        wait=clock.wait,
        on_event=lambda *e: events.append(e[1]),
    )
    sampler.run()
    assert len(events) <= 2 * (60 / 2 + 10)


def test_a_callback_that_fails_is_told_once_and_sampling_goes_on() -> None:
    clock = Time(end_ns=1000 * MS)
    sensor = Script(clock)
    events: list[tuple[str, str]] = []

    def full(name: str, at_ns: int, value: float) -> None:
        raise OSError("disk full")

    Sampler(
        Fake((line("rail", sensor, 0.1),)),
        clock=clock,
        wait=clock.wait,
        on_sample=full,
        on_event=lambda level, kind, message: events.append((level, kind)),
    ).run()
    assert events == [("error", "sample_not_kept")]
    assert len(sensor.read_at) == 10

    def broken(*event: str) -> None:
        raise RuntimeError("nobody listens")

    later = Time(end_ns=1000 * MS)
    silent = Script(later, fails=(0, 500 * MS))
    Sampler(Fake((line("rail", silent, 0.1),)), clock=later, wait=later.wait, on_event=broken).run()
    assert len(silent.read_at) > 3


def test_the_latest_value_is_unknown_when_lost_or_stale() -> None:
    clock = Time(end_ns=10_000 * MS)
    sensor = Script(clock, fails=(150 * MS, 10_000 * MS))
    sampler = Sampler(Fake((line("rail", sensor, 0.1),)), clock=clock)
    assert sampler.latest("rail") is None
    assert sampler.latest("no such channel") is None
    assert sampler.sample_due() == 100 * MS
    assert sampler.latest("rail") == Reading(1.0, 0)
    clock.now_ns = 300 * MS
    assert sampler.latest("rail") == Reading(1.0, 0)
    clock.now_ns = 301 * MS
    assert sampler.latest("rail") is None
    clock.now_ns = 100 * MS
    sampler.sample_due()
    clock.now_ns = 200 * MS
    sampler.sample_due()
    assert sampler.latest("rail") is None  # young, but lost since


def test_the_rate_of_the_energy_channel_can_be_set() -> None:
    clock = Time(end_ns=100 * MS)
    rail, other = Script(clock), Script(clock)
    board = Fake((line("rail", rail, 0.05), line("other", other, 0.05)), "rail")
    Sampler(board, clock=clock, wait=clock.wait, rate_hz=100.0).run()
    assert (len(rail.read_at), len(other.read_at)) == (10, 2)


def test_a_board_without_channels_is_no_busy_loop() -> None:
    clock = Time(end_ns=5000 * MS)
    Sampler(Fake(()), clock=clock, wait=clock.wait).run()
    assert clock.now_ns == 5000 * MS


class Real:
    """A sensor on the real clock."""

    def read(self) -> Reading:
        return Reading(2.0, time.monotonic_ns())


def test_on_a_real_thread() -> None:
    meter = PowerMeter(Method.MEASURED, 0.005, gap_periods=1000)
    channel = Channel("rail", Quantity.POWER, Real(), 0.005)
    sampler = Sampler(Fake((channel,), "rail"), meter=meter)
    sampler.start()
    with pytest.raises(RuntimeError, match="started already"):
        sampler.start()
    begin = time.monotonic_ns() + 20 * MS
    assert sampler.wait_past(begin + 50 * MS, timeout_s=30.0)
    assert meter.energy(begin, begin + 50 * MS).energy_uj == 100_000
    assert not sampler.wait_past(time.monotonic_ns() + 10**12, timeout_s=0.02)
    sampler.close()
    assert not any(thread.name == "sampler" for thread in threading.enumerate())


def test_priority_is_asked_for_the_samplers_thread_alone() -> None:
    before = os.sched_getscheduler(0)
    channel = Channel("rail", Quantity.POWER, Real(), 0.005)
    meter = PowerMeter(Method.MEASURED, 0.005, gap_periods=1000)
    sampler = Sampler(Fake((channel,), "rail"), meter=meter, priority=True)
    sampler.start()
    assert sampler.wait_past(time.monotonic_ns(), timeout_s=30.0)  # permitted or not, it samples
    sampler.close()
    assert os.sched_getscheduler(0) == before
