"""jetson-stats (jtop) as an optional source: GPU load where sysfs has none (Thor), the power mode's name, the fan.

jetson-stats is under the AGPL-3.0 and no part of Joulepath: where a user has installed it, a process of its own
(`jtop_child.py`) runs its client and hands over JSON lines. Client and service must have the same Python and the same
major.minor version. Without it a Jetson is read through sysfs alone, and `details` says why.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from boards.assembly import SLOW_PERIOD_S, Assembly
from boards.board import Channel, Quantity
from boards.sensor import BoardError, Reading, SensorLost
from boards.sysfs import Clock

FIRST_WORD_S = 8.0  # a client on a small board needs seconds to come up; the service then answers within its interval
_RETRY_S = 30.0
_STALE_S = 5.0
_STALE_INTERVALS = 3.0  # after which jtop's own client gives up, too
_CHANNELS = ("gpu_load", "fan")

Command = Sequence[str]


def child_command() -> Command:
    """The client in a process of its own, with this interpreter."""
    return (sys.executable, str(Path(__file__).with_name("jtop_child.py")))


def add_jtop(
    assembly: Assembly, wanted: bool | None, *, command: Command | None = None, first_word_s: float = FIRST_WORD_S
) -> None:
    """Add ``gpu_load`` and ``fan`` where the board has them not, and the power mode's name to the details.

    `wanted` None: if it can be had; True: raises BoardError when it cannot; False: not at all.
    """
    if wanted is False:
        return
    link = JtopLink(command or child_command(), assembly.clock)
    reason = why_not(assembly.roots.run, installed=command is not None or is_installed()) or link.start(first_word_s)
    if reason is not None:
        link.close()
        if wanted:
            raise BoardError(f"jtop: {reason}")
        assembly.details["jtop"] = f"not used: {reason}"
        return
    state = link.state()
    assembly.details["jtop"] = f"jetson-stats {link.version}, every {link.interval_s:g} s"
    if "power_mode" in state:
        assembly.details["power mode"] = str(state["power_mode"])
    added = [name for name in _CHANNELS if name in state and not assembly.has(name)]
    for name in added:
        sensor = JtopSensor(link, name)
        assembly.add(Channel(name, Quantity.RATIO, sensor, SLOW_PERIOD_S, path="jtop"))
    if not added:
        link.close()


def is_installed() -> bool:
    """Whether jetson-stats is there for this interpreter; it is not imported."""
    return importlib.util.find_spec("jtop") is not None


def why_not(run: Path, *, installed: bool) -> str | None:
    """What stands in the way of asking jtop's service, as far as it shows from outside; None: nothing."""
    socket = run / "jtop.sock"
    if not installed:
        return "jetson-stats is not installed for this Python (pip install jetson-stats, the version of the service)"
    if not os.path.exists(socket):  # Path.exists raises where a folder may not be entered
        return f"its service does not run: there is no {socket} (sudo systemctl start jtop.service)"
    if not os.access(socket, os.R_OK | os.W_OK):
        return f"this user may not use {socket} (sudo usermod -a -G jtop USER, then start anew)"
    return None


class JtopLink:
    """The client's process and what it said last. A thread of its own reads it, so nobody ever waits for jtop.

    A client that ends is started again every 30 s; meanwhile its values grow old and are lost.
    """

    def __init__(self, command: Command, clock: Clock = time.monotonic_ns, *, retry_s: float = _RETRY_S) -> None:
        self._command = list(command)
        self._clock = clock
        self._retry_s = retry_s
        self._lock = Lock()
        self._ended = Event()
        self._spoke = Event()  # the first values, or the first failure
        self._process: subprocess.Popen[str] | None = None
        self._thread: Thread | None = None
        self._state: dict[str, Any] = {}
        self._state_ns = 0
        self._problem: str | None = None
        self.version = "unknown"
        self.interval_s = 1.0

    def start(self, first_word_s: float) -> str | None:
        """Start the client and wait for its first values; what went wrong, or None."""
        self._thread = Thread(target=self._run, name="jtop", daemon=True)
        self._thread.start()
        if not self._spoke.wait(first_word_s):
            return f"no answer within {first_word_s:g} s"
        with self._lock:
            return None if self._state else self._problem

    def state(self) -> dict[str, Any]:
        """What came last; empty before anything came."""
        with self._lock:
            return dict(self._state)

    def reading(self, name: str) -> Reading:
        """A value of 0..1 and when it came; SensorLost when it is old, absent or out of its range."""
        with self._lock:
            value, at_ns, problem = self._state.get(name), self._state_ns, self._problem
        age_s = (self._clock() - at_ns) * 1e-9
        if not self._state or age_s > max(_STALE_S, _STALE_INTERVALS * self.interval_s):
            raise SensorLost(f"jtop: {problem or 'nothing new'} ({name} is {age_s:.0f} s old)")
        if not isinstance(value, (int, float)) or not math.isfinite(value) or not 0.0 <= value <= 1.0:
            raise SensorLost(f"jtop: no believable {name}: {value!r}")
        return Reading(float(value), at_ns)

    def close(self) -> None:
        """End the client and the thread."""
        self._ended.set()
        with self._lock:
            process = self._process
        if process is not None:
            process.kill()  # it holds nothing that would want a softer end
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None

    def _run(self) -> None:
        while not self._ended.is_set():
            self._once()
            self._spoke.set()
            if self._ended.wait(self._retry_s):
                return

    def _once(self) -> None:
        try:
            process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError as error:
            self._fail(f"its client cannot be started: {error}")
            return
        with process:
            with self._lock:
                self._process = process
            if self._ended.is_set():  # closed between the two
                process.kill()
            self._listen(process)
        with self._lock:
            self._process = None

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._fail(None)
        for line in process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict):
                self._hear(said)
        if self._problem is None:
            self._fail("its client ended")

    def _hear(self, said: dict[str, Any]) -> None:
        if "error" in said:
            self._fail(str(said["error"]))
        elif "version" in said:
            self.version = str(said["version"])
            interval_s = said.get("interval_s")
            if isinstance(interval_s, (int, float)) and math.isfinite(interval_s) and interval_s > 0:
                self.interval_s = float(interval_s)
        else:
            with self._lock:
                self._state, self._state_ns = said, self._clock()
            self._spoke.set()

    def _fail(self, why: str | None) -> None:
        with self._lock:
            self._problem = why


class JtopSensor:
    """One of the link's values."""

    def __init__(self, link: JtopLink, name: str) -> None:
        self._link = link
        self._name = name

    def read(self) -> Reading:
        return self._link.reading(self._name)

    def close(self) -> None:
        self._link.close()
