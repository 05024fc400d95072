"""Telling systemd how the service fares: ready, status, reloading, stopping, and a watchdog that only progress feeds.

The protocol is sd_notify(3): newline-separated assignments in one datagram to the socket that ``NOTIFY_SOCKET`` names.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from types import TracebackType

from edge.status import Status, number

NS_PER_S = 1_000_000_000
START_LIMIT_S = 300.0  # a start may take so long; past it systemd is no longer asked for more time
EXTEND_S = 30.0
OVERDUE_S = 5.0  # beyond its own limit, a camera's supervisor is not believed any more
EXTEND_PERIOD_S = 10.0
STATUS_PERIOD_S = 5.0
Clock = Callable[[], int]


class Manager:
    """systemd, as far as it listens to us. Nothing here raises or waits: a deaf manager must not stop the work."""

    def __init__(self, address: str, watchdog_us: int | None = None) -> None:
        """`address` is a path, or a name behind an @ in Linux's abstract namespace."""
        self.watchdog_us = watchdog_us
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def take(cls, environment: MutableMapping[str, str], pid: int) -> Manager | None:
        """The manager that `environment` names, None without one.

        The variables are taken out, so that no child process speaks in our name. A watchdog that was meant for another
        process (``WATCHDOG_PID``) is not ours to feed.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        period = environment.pop("WATCHDOG_USEC", "")
        meant_for = environment.pop("WATCHDOG_PID", "")
        if address[:1] not in ("/", "@") or len(address) < 2:
            return None
        ours = meant_for in ("", str(pid))
        watchdog_us = int(period) if ours and period.isascii() and period.isdigit() else 0
        return cls(address, watchdog_us or None)

    def tell(self, **assignments: str | int) -> bool:
        """Send the assignments in one datagram; whether it went out. A value's line ends become spaces."""
        lines = (f"{key}={' '.join(str(value).splitlines())}" for key, value in assignments.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.connect(self._address)
                link.send("\n".join(lines).encode(), socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class Progress:
    """How far the daemon's threads have come; two of them, some time apart, tell whether one hangs.

    `sampler_turns`: rounds of the sampler. `turns`: rounds of the loop that runs inference. `looks`: times that the
    camera was asked for a frame. `taken` and `frames`: frames taken from it, and served. `loading`: no variant was
    ready yet, and may take its time. `outage`: a camera outage that the journal holds. `overdue`: the camera has been
    silent for longer than its supervisor allows, without it saying so.
    """

    sampler_turns: int
    turns: int
    looks: int
    taken: int
    frames: int
    loading: bool
    outage: bool
    overdue: bool


def stuck(before: Progress, now: Progress) -> str | None:
    """What should have moved between two looks and did not, in words; None when all is well.

    Inference may rest, but only for want of a frame: nothing taken is unserved, its loop still turns, the camera is
    still asked, and its silence is either an outage in the journal or shorter than the supervisor's limit, as it is
    between two frames of a slow camera.
    """
    if now.sampler_turns == before.sampler_turns:
        return "the sampler"
    if now.turns == before.turns:
        return "inference"
    if now.frames > before.frames or now.loading:
        return None
    if now.taken > now.frames:
        return "inference, with a frame waiting"
    if now.looks == before.looks:
        return "the camera's supervisor"
    if now.overdue and not now.outage:
        return "the camera, without a word in the journal"
    return None


class Reporter:
    """Keeps the manager informed, on a thread of its own; a context manager around the daemon's run.

    ``READY=1`` goes out with the first served frame, or, when the camera is out and the journal says so, with the first
    turn of the inference loop. From then on ``WATCHDOG=1`` goes out at half the watchdog's period, as soon as `stuck`
    finds nothing against it.
    """

    def __init__(
        self,
        manager: Manager,
        progress: Callable[[], Progress],
        status: Callable[[], Status],
        *,
        on_stall: Callable[[str], None] = lambda message: None,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        """`on_stall` hears in words, once each time, that the watchdog is no longer fed."""
        self._manager, self._progress, self._status = manager, progress, status
        self._on_stall, self._clock = on_stall, clock
        self._began_ns = clock()
        self.ready = False
        self._fed: Progress | None = None
        self._fed_ns = 0
        self._stalled = self._stopping = False
        self._next_extend_ns = self._next_status_ns = self._began_ns
        self._ended = Event()
        self._thread = Thread(target=self._run, name="service", daemon=True)

    def __enter__(self) -> Reporter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=5)
        if kind is None and not self.ready:
            self.step()  # a run so short that its first frame was not reported yet
        self.stopping()

    def _run(self) -> None:
        while not self._ended.wait(self.period_s()):
            self.step()

    def period_s(self) -> float:
        """Seconds until the next step: often while starting, then often enough for the watchdog."""
        if not self.ready:
            return 0.1
        watchdog_us = self._manager.watchdog_us
        return 1.0 if watchdog_us is None else min(1.0, watchdog_us / 8e6)

    def step(self) -> None:
        """Look once, and tell what is to be told now."""
        now_ns, seen = self._clock(), self._progress()
        if not self.ready:
            self._start(now_ns, seen)
        if self.ready:
            self._watch(now_ns, seen)
        if now_ns >= self._next_status_ns and not self._stalled:
            self._next_status_ns = now_ns + round(STATUS_PERIOD_S * NS_PER_S)
            self._manager.tell(STATUS=describe(self._status(), ready=self.ready))

    def stopping(self) -> None:
        """Say that the end was asked for; safe in a signal handler."""
        if not self._stopping:
            self._stopping = True
            self._manager.tell(STOPPING=1, STATUS="stopping")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Around a reload. In a service that is not ready yet it says nothing: READY=1 would be a lie."""
        if self.ready:
            self._manager.tell(RELOADING=1, MONOTONIC_USEC=self._clock() // 1000)
        try:
            yield
        finally:
            if self.ready:
                self._manager.tell(READY=1)

    # -- inside -------------------------------------------------------------------------------------------------

    def _start(self, now_ns: int, seen: Progress) -> None:
        if seen.frames > 0 or (seen.outage and seen.turns > 0):
            self.ready = self._manager.tell(READY=1, STATUS=describe(self._status(), ready=True))
            self._fed, self._fed_ns = seen, now_ns  # systemd starts its watchdog now
            return
        patient = now_ns - self._began_ns < round(START_LIMIT_S * NS_PER_S)
        if patient and now_ns >= self._next_extend_ns:
            self._next_extend_ns = now_ns + round(EXTEND_PERIOD_S * NS_PER_S)
            self._manager.tell(EXTEND_TIMEOUT_USEC=round(EXTEND_S * 1e6))

    def _watch(self, now_ns: int, seen: Progress) -> None:
        watchdog_us = self._manager.watchdog_us
        if watchdog_us is None or self._fed is None or now_ns - self._fed_ns < watchdog_us * 500:
            return
        what = stuck(self._fed, seen)
        if what is None:
            if self._manager.tell(WATCHDOG=1):
                self._fed, self._fed_ns, self._stalled = seen, now_ns, False
        elif not self._stalled:
            self._stalled = True
            still_s = (now_ns - self._fed_ns) / NS_PER_S
            message = f"{what} has not moved for {still_s:.1f} s; the watchdog restarts the service if it stays so"
            self._manager.tell(STATUS=message)
            self._on_stall(message)


def describe(status: Status, *, ready: bool) -> str:
    """One line for `systemctl status`; what is unknown shows as a dash."""
    if not ready:
        return f"starting: {status.camera.split(';')[0]}, variant {status.variant or 'loading'}"
    parts = [
        f"{status.frames} frames",
        status.variant or "no variant yet",
        f"{number(status.power_w, '{:.1f}')} W ({status.power_method})",
        f"{number(status.temperature_c, '{:.0f}')} °C",
    ]
    if status.battery is not None:
        parts.append(f"battery {100 * status.battery:.0f} %")
    if status.camera != "streaming":
        parts.append(status.camera.split(";")[0])
    return ", ".join(parts)


def manager() -> Manager | None:
    """The manager of this process, by its environment, which it takes the variables out of."""
    return Manager.take(os.environ, os.getpid())
