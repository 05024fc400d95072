"""The beat that frames are taken in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.pace import Pacer

S = 1_000_000_000


def test_without_a_limit_nothing_waits() -> None:
    pacer = Pacer()
    pacer.taken(0, None)
    assert pacer.wait_ns(1, None) == 0


def test_the_first_frame_comes_at_once_and_the_next_after_a_period() -> None:
    pacer = Pacer()
    assert pacer.wait_ns(7, 4.0) == 0
    pacer.taken(7, 4.0)
    assert pacer.wait_ns(7, 4.0) == S // 4
    assert pacer.wait_ns(7 + S // 4, 4.0) == 0


def test_a_changed_rate_holds_for_the_frame_that_is_waited_for() -> None:
    pacer = Pacer()
    pacer.taken(0, 1.0)
    assert pacer.wait_ns(S // 4, 1.0) == 3 * S // 4
    assert pacer.wait_ns(S // 4, 2.0) == S // 4
    assert pacer.wait_ns(S // 4, None) == 0


@given(st.floats(1.0, 60.0), st.floats(0.05, 0.99))
def test_a_camera_that_is_faster_is_thinned_to_the_rate_on_the_mean(camera_fps: float, share: float) -> None:
    pacer, max_fps = Pacer(), share * camera_fps
    period_ns = round(S / camera_fps)
    taken = []
    for number in range(400):
        if pacer.wait_ns(number * period_ns, max_fps) == 0:
            pacer.taken(number * period_ns, max_fps)
            taken.append(number * period_ns)
    expected = 400 * share
    assert expected - 2 <= len(taken) <= expected + 2


@given(st.lists(st.floats(0.0, 3.0), min_size=5, max_size=60), st.floats(0.5, 20.0))
def test_nothing_is_caught_up(pauses_s: list[float], max_fps: float) -> None:
    """However long frames were late, in no stretch do more come than the rate allows, and one."""
    pacer, now_ns, taken = Pacer(), 0, []
    for pause_s in pauses_s:
        now_ns += round(pause_s * S)
        now_ns += pacer.wait_ns(now_ns, max_fps)
        pacer.taken(now_ns, max_fps)
        taken.append(now_ns)
    for first in range(len(taken)):
        for last in range(first + 1, len(taken)):
            assert last - first <= (taken[last] - taken[first]) * max_fps / S + 1.01
