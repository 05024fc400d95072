from __future__ import annotations

from edge.journal.clock import UtcMap, kernel_synchronised
from edge.journal.rows import ClockRow


def test_a_run_without_clock_rows_has_no_utc() -> None:
    assert UtcMap([]).utc_ns(5) is None


def test_a_synchronised_row_corrects_what_came_before_it() -> None:
    """A board without a clock battery boots in 1970 and learns the time later."""
    clock = UtcMap([ClockRow(1, 100, 0, False), ClockRow(1, 1_000, 5_000_000, True)])
    assert clock.synchronised
    assert clock.utc_ns(100) == 5_000_000 - 900
    assert clock.utc_ns(2_000) == 5_001_000


def test_between_two_synchronised_rows_drift_is_spread() -> None:
    clock = UtcMap([ClockRow(1, 0, 1_000, True), ClockRow(1, 100, 1_110, True)])
    assert [clock.utc_ns(at) for at in (0, 50, 100, 150)] == [1_000, 1_055, 1_110, 1_160]


def test_an_unsynchronised_clock_is_better_than_none_and_says_so() -> None:
    clock = UtcMap([ClockRow(1, 0, 1_000, None)])
    assert not clock.synchronised
    assert clock.utc_ns(7) == 1_007


def test_the_kernel_answers() -> None:
    assert kernel_synchronised() in (True, False, None)
