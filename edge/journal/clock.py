"""From the monotonic clock of a run to UTC, on boards that boot without knowing the time."""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from collections.abc import Sequence

from edge.journal.rows import ClockRow

_TIME_ERROR = 5


def kernel_synchronised() -> bool | None:
    """Whether the kernel's clock is disciplined by NTP or the like, as adjtimex(2) says; None where it cannot tell."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    # struct timex is 208 bytes at most; modes = 0 (the first field) only reads.
    state = adjtimex(ctypes.create_string_buffer(256))
    return None if state < 0 else bool(state != _TIME_ERROR)


class UtcMap:
    """Maps monotonic ns of one run to UTC ns.

    Between two synchronised clock rows it interpolates, beyond them it keeps the nearest one's offset. Without any
    synchronised row the nearest row's offset is the best there is, and `synchronised` is False.
    """

    def __init__(self, rows: Sequence[ClockRow]) -> None:
        trusted = [row for row in rows if row.synchronised]
        self.synchronised = bool(trusted)
        anchors = sorted({row.monotonic_ns: row.utc_ns for row in trusted or rows}.items())
        self._monotonic_ns = [monotonic for monotonic, _ in anchors]
        self._offsets_ns = [utc - monotonic for monotonic, utc in anchors]

    def utc_ns(self, monotonic_ns: int) -> int | None:
        """UTC in ns since 1970; None when the run has no clock row."""
        if not self._offsets_ns:
            return None
        after = bisect_left(self._monotonic_ns, monotonic_ns)
        if after == 0:
            return monotonic_ns + self._offsets_ns[0]
        if after == len(self._offsets_ns):
            return monotonic_ns + self._offsets_ns[-1]
        before_ns, after_ns = self._monotonic_ns[after - 1], self._monotonic_ns[after]
        drift_ns = self._offsets_ns[after] - self._offsets_ns[after - 1]
        part = drift_ns * (monotonic_ns - before_ns) // (after_ns - before_ns)
        return monotonic_ns + self._offsets_ns[after - 1] + part
