from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.pace import EveryFrame, Paced
from edge.cameras.reels import Picture

EPOCH_NS = 1_000_000_000_000


class Clock:
    def __init__(self, now_ns: int = EPOCH_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += max(1, round(seconds * 1e9))


class CountingReel:
    """Twenty frames; making one takes `cost_ns`."""

    fps: float | None = None

    def __init__(self, clock: Clock, cost_ns: int = 0) -> None:
        self.clock, self.cost_ns = clock, cost_ns
        self.asked: list[int] = []

    def frame(self, index: int) -> Picture | None:
        self.asked.append(index)
        self.clock.now_ns += self.cost_ns
        return (np.zeros((2, 2, 3), np.uint8), None) if index < 20 else None

    def close(self) -> None:
        pass


def test_a_paced_reel_keeps_time() -> None:
    clock = Clock()
    player = Paced(CountingReel(clock, 10_000_000), 10.0, 0, EPOCH_NS, clock, clock.sleep)
    frames = [player.read() for _ in range(20)]
    assert [f.sequence for f in frames if f] == list(range(20))
    # Frame 0 is due at once and takes 10 ms to make; every other one is ready before it is due.
    stamps = [(f.monotonic_ns - EPOCH_NS) // 1_000_000 for f in frames if f]
    assert stamps == [10, *range(100, 2000, 100)]
    assert player.read() is None


def test_what_is_overdue_is_left_out() -> None:
    clock = Clock()
    player = Paced(CountingReel(clock), 10.0, 0, EPOCH_NS, clock, clock.sleep)
    first = player.read()
    clock.now_ns = EPOCH_NS + 570_000_000  # frame 5 is on show, frames 1 to 4 are past
    second = player.read()
    assert first is not None
    assert second is not None
    assert (first.sequence, second.sequence) == (0, 5)
    assert second.monotonic_ns == EPOCH_NS + 570_000_000


def test_a_restarted_player_goes_on_by_the_same_clock() -> None:
    clock = Clock(EPOCH_NS + 1_040_000_000)
    frame = Paced(CountingReel(clock), 10.0, 3, EPOCH_NS, clock, clock.sleep).read()
    assert frame is not None
    assert frame.sequence == 10


@given(st.lists(st.integers(0, 400_000_000), max_size=15), st.integers(0, 250_000_000))
def test_numbers_only_grow_and_never_run_ahead(pauses_ns: list[int], cost_ns: int) -> None:
    clock = Clock()
    player = Paced(CountingReel(clock, cost_ns), 10.0, 0, EPOCH_NS, clock, clock.sleep)
    last = -1
    for pause_ns in pauses_ns:
        clock.now_ns += pause_ns
        frame = player.read()
        if frame is None:
            return
        assert frame.sequence > last
        assert frame.monotonic_ns == clock.now_ns >= EPOCH_NS + frame.sequence * 100_000_000
        last = frame.sequence


def test_every_frame_of_a_file_from_any_number() -> None:
    clock = Clock()
    player = EveryFrame(CountingReel(clock), 17, clock)
    numbers = []
    while (frame := player.read()) is not None:
        numbers.append(frame.sequence)
    assert numbers == [17, 18, 19]
