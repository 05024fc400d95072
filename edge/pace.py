"""When the next frame may be taken so that no more than so many a second are."""

from __future__ import annotations

NS_PER_S = 1_000_000_000


class Pacer:
    """Keeps a beat: a frame that comes a little late does not put off those after it, so that the mean rate holds."""

    def __init__(self) -> None:
        self._beat_ns: int | None = None  # the last frame's own instant

    def wait_ns(self, now_ns: int, max_fps: float | None) -> int:
        """How long to wait from now; 0 while there is no limit."""
        if max_fps is None or self._beat_ns is None:
            return 0
        return max(0, self._beat_ns + round(NS_PER_S / max_fps) - now_ns)

    def taken(self, now_ns: int, max_fps: float | None) -> None:
        """A frame was taken."""
        if max_fps is None or self._beat_ns is None:
            self._beat_ns = now_ns
            return
        period_ns = round(NS_PER_S / max_fps)
        due_ns = self._beat_ns + period_ns
        # One that is more than a period late begins a new beat: nothing is caught up.
        self._beat_ns = due_ns if 0 <= now_ns - due_ns < period_ns else now_ns
