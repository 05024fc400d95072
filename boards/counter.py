"""A counter of joules that says where it cannot be trusted, in the one way every meter understands: it starts anew."""

from __future__ import annotations

from boards.sensor import Reading

_STEP_BACK_J = 1e-6


class BreakingCounter:
    """Readings of a running integral that has breaks: stretches whose energy nobody knows.

    The first reading after a break is lower than the last one before it, by a microjoule. A meter takes a counter that
    fell as one that began anew and gives no energy across that instant, however short the break was.
    """

    def __init__(self) -> None:
        self._stretch: int | None = None
        self._offset_j = 0.0
        self._last_j = 0.0

    def reading(self, joules: float, stretch: int, at_ns: int) -> Reading:
        """The reading for the integral `joules`; `stretch` is a number that changes with each break."""
        if self._stretch is None:
            self._stretch, self._offset_j = stretch, -joules
        elif stretch != self._stretch:
            self._stretch, self._offset_j = stretch, self._last_j - _STEP_BACK_J - joules
        self._last_j = joules + self._offset_j
        return Reading(self._last_j, at_ns)
