"""The system's log: lines as they happen while they are few, seldom once they are many; what is left out is counted."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from edge.service_log import ServiceLog

LEVELS = ("info", "switch", "warning", "error", "critical")


class Told:
    """A log with a clock that the test sets."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now_s = 0.0
        self.log = ServiceLog(self.lines.append, lambda: self.now_s)


def test_lines_carry_their_priority() -> None:
    told = Told()
    for level in LEVELS:
        told.log.line(level, f"  1.0 s  {level}: text ")
    assert told.lines == [
        "<6>1.0 s  info: text",
        "<5>1.0 s  switch: text",
        "<4>1.0 s  warning: text",
        "<3>1.0 s  error: text",
        "<2>1.0 s  critical: text",
    ]


def test_a_plan_that_shares_time_all_day_writes_a_line_in_ten_minutes() -> None:
    told = Told()
    for number in range(24 * 3600 // 15):
        told.now_s = 15.0 * number
        told.log.line("switch", f"switch {number}")
    assert told.lines[:20] == [f"<5>switch {number}" for number in range(20)]
    assert len(told.lines) == 20 + 24 * 6 - 1
    later = [int(re.findall(r"\((\d+) lines", line)[0]) for line in told.lines[21:]]
    assert set(later) == {39}  # one of forty in ten minutes is told


def test_switches_take_nothing_from_warnings() -> None:
    told = Told()
    for _ in range(100):
        told.log.line("switch", "a switch")
    told.log.line("warning", "a warning")
    assert told.lines[-1] == "<4>a warning"
    assert len(told.lines) == 21


def test_quiet_hours_give_the_lines_back() -> None:
    told = Told()
    for _ in range(25):
        told.log.line("info", "first")
    told.now_s = 20 * 600.0
    del told.lines[:]
    for _ in range(25):
        told.log.line("info", "later")
    assert told.lines == ["<6>later (5 lines before this one are in Joulepath's journal only)", *["<6>later"] * 19]


@given(st.lists(st.tuples(st.sampled_from(LEVELS), st.floats(0.0, 5000.0)), max_size=300))
def test_every_line_is_told_or_counted(course: list[tuple[str, float]]) -> None:
    told = Told()
    for level, wait_s in course:
        told.now_s += wait_s
        told.log.line(level, level)
    told.now_s += 1e6
    for level in ("info", "error"):
        told.log.line(level, level)
    counted = sum(int(number) for line in told.lines for number in re.findall(r"\((\d+) lines", line))
    assert len(told.lines) + counted == len(course) + 2
    assert sum(line == "<2>critical" for line in told.lines) == sum(level == "critical" for level, _ in course)
