"""Values of a service that may be slow to answer: asked on a thread of their own, so that no sampler waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Event, Lock, Thread

from boards.sensor import Reading, SensorLost
from boards.sysfs import Clock

Answer = Mapping[str, float | bool | str]
_STALE_PERIODS = 3.0


class Polled:
    """Asks `query` every `period_s` seconds; what it last answered is at hand, and too old after three periods.

    `query` raises SensorLost where the service does not answer, and must come back by itself (timeouts).
    """

    def __init__(
        self,
        name: str,
        query: Callable[[], Answer],
        period_s: float,
        *,
        clock: Clock = time.monotonic_ns,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._query = query
        self._period_s = period_s
        self._clock = clock
        self._on_close = on_close
        self._lock = Lock()
        self._answer: tuple[Answer, int] | None = None
        self._failure = f"{name}: not asked yet"
        self._stop = Event()
        self._thread: Thread | None = None

    def refresh(self) -> None:
        """Ask now, in this thread; a failure is kept for who reads next."""
        before_ns = self._clock()
        try:
            answer = self._query()
        except SensorLost as error:
            with self._lock:
                self._answer, self._failure = None, str(error)
            return
        with self._lock:
            self._answer = answer, (before_ns + self._clock()) // 2

    def start(self) -> None:
        """Ask every period from now on."""
        self._thread = Thread(target=self._run, name=f"poll-{self.name}", daemon=True)
        self._thread.start()

    def latest(self) -> tuple[Answer, int]:
        """The last answer and the monotonic time in ns that it held at. Raises SensorLost for none, or an old one."""
        with self._lock:
            if self._answer is None:
                raise SensorLost(self._failure)
            answer, at_ns = self._answer
        age_ns = self._clock() - at_ns
        if age_ns > _STALE_PERIODS * self._period_s * 1e9:
            raise SensorLost(f"{self.name}: the last answer is {age_ns * 1e-9:.0f} s old")
        return answer, at_ns

    def close(self) -> None:
        """Stop asking. A query that hangs in its timeout is not waited for longer than a second."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        self._on_close()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            self.refresh()


class PolledValue:
    """One number of a polled service, within `low`..`high`, times `scale`."""

    def __init__(self, polled: Polled, key: str, *, low: float, high: float, scale: float = 1.0) -> None:
        self._polled = polled
        self._key = key
        self._low = low
        self._high = high
        self._scale = scale

    def read(self) -> Reading:
        answer, at_ns = self._polled.latest()
        value = answer.get(self._key)
        if value is None or isinstance(value, str):
            raise SensorLost(f"{self._polled.name}: no {self._key} in the last answer")
        if not self._low <= value <= self._high:
            raise SensorLost(f"{self._polled.name}: implausible {self._key} {value} ({self._low} to {self._high})")
        return Reading(value * self._scale, at_ns)

    def close(self) -> None:
        self._polled.close()
