"""What the service tells the system's log, and how often.

Joulepath's journal keeps every switch and event. The system's log is read by people (`journalctl -u joulepath`) and
lies on the same card as everything else: for one line journald writes pages of its file and the file system notes it. A
plan that shares time between two variants switches hundreds of times an hour, and a sensor with a loose contact is lost
and found all day. So lines come as they happen while they are few, and seldom once they are many; a line that comes
after others were left out says how many. Critical lines always come.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "switch": 5}  # syslog's; the rest is information
_ALWAYS = frozenset({"critical"})
_GRAVE = frozenset({"error", "warning"})


@dataclass
class Allowance:
    """How many lines may come: `most` at once, one more every `one_more_s` (the generic cell rate algorithm of ITU-T
    I.371: one time says all)."""

    most: int
    one_more_s: float
    spent_until_s: float = -math.inf  # when all that was used will have been given back
    left_out: int = 0

    def take(self, now_s: float) -> bool:
        """Whether a line may come now, and if so, one fewer may come after it."""
        spent_until_s = max(self.spent_until_s, now_s) + self.one_more_s
        if spent_until_s - now_s > self.most * self.one_more_s:
            self.left_out += 1
            return False
        self.spent_until_s = spent_until_s
        return True


class ServiceLog:
    """Lines for the system's log, their priority in front as sd-daemon(3) has it.

    `emit` gets each line that is to come; `clock` is monotonic, in seconds.
    """

    def __init__(self, emit: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._emit, self._clock = emit, clock
        self._usual = Allowance(most=20, one_more_s=600.0)
        self._grave = Allowance(most=60, one_more_s=60.0)

    def line(self, level: str, text: str) -> None:
        """Tell a line of that level, or leave it out."""
        before = ""
        if level not in _ALWAYS:
            allowance = self._grave if level in _GRAVE else self._usual
            if not allowance.take(self._clock()):
                return
            if allowance.left_out:
                before = f" ({allowance.left_out} lines before this one are in Joulepath's journal only)"
                allowance.left_out = 0
        self._emit(f"<{_PRIORITIES.get(level, 6)}>{text.strip()}{before}")
