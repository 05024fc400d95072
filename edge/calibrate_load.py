"""What keeps the board busy while somebody reads a meter, and what the board's own channel says meanwhile."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Protocol

import numpy as np

from boards.board import Board, Quantity
from boards.calibration import IDLE
from edge.bundle.load import Bundle
from edge.control import ask
from edge.errors import JoulepathError, UsageError
from edge.sampler import Sampler
from edge.variants import Pool

NS_PER_S = 1_000_000_000
_PATIENCE_S = 5.0
_SLOWEST_INFERENCE_S = 60.0
MEAN_S = 10.0  # a meter's display settles in a few seconds; its reading is held against the mean of the last ten


class Load(Protocol):
    """Puts the board into a state and tells how busy it is there."""

    order: tuple[str, ...]

    def begin(self, state: str) -> str:
        """Bring the board into `state`; returns what the user must do, or know, before reading. Raises UsageError."""
        ...

    def busy_share(self) -> float:
        """The share of the time since `begin` that inferences took, 0..1. Raises JoulepathError where it failed."""
        ...

    def close(self) -> None: ...


class ByHand:
    """The user runs the load: nothing is known of it but what is said."""

    def __init__(self, states: tuple[str, ...], share: float = 1.0) -> None:
        self.order = states
        self._share, self._state = share, IDLE

    def begin(self, state: str) -> str:
        self._state = state
        if state == IDLE:
            return "Let the board rest: no inference, no camera, the display as it will be later."
        return f"Put the board at {state!r} and keep it there (joulepath run --pin {state}, say)."

    def busy_share(self) -> float:
        return 0.0 if self._state == IDLE else self._share

    def close(self) -> None:
        """Nothing runs."""


class FlatOut:
    """Runs a bundle's variants one after another without a pause, in a process of their own."""

    def __init__(self, bundle: Bundle, variants: tuple[str, ...], *, threads: int = 0, library: str = "auto") -> None:
        self.order = (IDLE, *variants)
        files = len({v.file for v in bundle.manifest.variants})
        self._pool = Pool(bundle, threads=threads, library=library, max_resident_files=files)
        self._stop, self._inferred, self._lock = Event(), Event(), Lock()
        self._thread: Thread | None = None
        self._failure: Exception | None = None
        self._began_ns = self._busy_ns = self._until_ns = 0

    def begin(self, state: str) -> str:
        self._halt()
        if state == IDLE:
            return "The board rests: nothing of Joulepath runs on it now."
        self._pool.wait(state, timeout_s=300)
        self._stop.clear()
        self._inferred.clear()
        self._began_ns, self._busy_ns, self._until_ns = time.monotonic_ns(), 0, 0
        self._thread = Thread(target=self._run, args=(state,), name="load", daemon=True)
        self._thread.start()
        return f"{state} runs without a pause now."

    def busy_share(self) -> float:
        if self._thread is None:
            return 0.0
        self._inferred.wait(_SLOWEST_INFERENCE_S)
        if self._failure is not None:
            raise JoulepathError(f"the load ended: {self._failure}") from self._failure
        with self._lock:
            elapsed_ns = self._until_ns - self._began_ns
            return min(1.0, self._busy_ns / elapsed_ns) if elapsed_ns > 0 else 0.0

    def close(self) -> None:
        self._halt()
        self._pool.close()

    def _run(self, variant: str) -> None:
        frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)
        try:
            self._pool.infer(variant, frame)
            with self._lock:
                self._began_ns = time.monotonic_ns()
            while not self._stop.is_set():
                self._pool.submit(variant, 0)
                result = self._pool.result()
                with self._lock:
                    self._busy_ns += result.end_ns - result.start_ns
                    self._until_ns = time.monotonic_ns()
                self._inferred.set()
        except Exception as error:  # told by busy_share, on the thread that asks
            self._failure = error
            self._inferred.set()

    def _halt(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=60)
            self._thread = None


class RunningDaemon:
    """A daemon that runs already, camera and all: it is pinned to each variant, and told how busy it is by itself."""

    def __init__(self, socket: Path, variants: tuple[str, ...], sleep: Callable[[float], None] = time.sleep) -> None:
        self._socket, self._sleep, self._state = socket, sleep, IDLE
        known = ask(socket, {"command": "status"})["variants"]
        for variant in variants:
            if variant not in known:
                raise UsageError(f"the running daemon has no variant {variant!r}; it has: {', '.join(known)}")
        self.order = (*(variants or tuple(known)), IDLE)  # at rest comes last: the daemon has to end for it

    def begin(self, state: str) -> str:
        self._state = state
        if state == IDLE:
            ask(self._socket, {"command": "switch", "variant": None})
            return "End the daemon now (sudo systemctl stop joulepath, or Ctrl-C) and let the board rest."
        ask(self._socket, {"command": "switch", "variant": state})
        return f"The daemon is pinned to {state}."

    def busy_share(self) -> float:
        if self._state == IDLE:
            return 0.0
        shares = []
        for _ in range(8):
            status = ask(self._socket, {"command": "status"})["status"]
            if status["variant"] == self._state and status["fps"] is not None and status["infer_ms"] is not None:
                shares.append(min(1.0, status["fps"] * status["infer_ms"] / 1000))
            self._sleep(0.25)
        if not shares:
            raise JoulepathError(f"the daemon does not serve frames with {self._state}: look at joulepath status")
        return float(sum(shares) / len(shares))

    def close(self) -> None:
        """The daemon goes on."""


class ChannelMean:
    """Mean watts of one of the board's channels over the last seconds, sampled beside whatever runs."""

    def __init__(self, board: Board, channel: str, clock: Callable[[], int] = time.monotonic_ns) -> None:
        found = next((c for c in board.channels if c.name == channel), None)
        if found is None or found.quantity not in {Quantity.POWER, Quantity.ENERGY}:
            powers = [c.name for c in board.channels if c.quantity in {Quantity.POWER, Quantity.ENERGY}]
            raise UsageError(f"this board has no power channel {channel!r}; it has: {', '.join(powers) or 'none'}")
        self._name, self._counts, self._clock = channel, found.quantity is Quantity.ENERGY, clock
        self._kept: deque[tuple[int, float]] = deque()
        self._lock = Lock()
        self._sampler = Sampler(board, clock=clock, on_sample=self._take)
        self._sampler.start()

    def watts(self) -> float:
        """The mean of the last ten seconds, or of what there is of them. Raises JoulepathError where there is none."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while (found := self._mean()) is None:
            if time.monotonic() > deadline_s:
                raise JoulepathError(f"channel {self._name} gives no values now; look at joulepath probe")
            time.sleep(0.02)
        return found

    def _mean(self) -> float | None:
        now_ns = self._clock()
        with self._lock:
            recent = [each for each in self._kept if now_ns - each[0] <= MEAN_S * NS_PER_S]
        if self._counts and len(recent) >= 2:
            (first_ns, first_j), (last_ns, last_j) = recent[0], recent[-1]
            if last_j >= first_j and last_ns > first_ns:
                return (last_j - first_j) / ((last_ns - first_ns) / NS_PER_S)
        elif recent and not self._counts:
            return sum(value for _, value in recent) / len(recent)
        return None

    def restart(self) -> None:
        """Forget what was before: the state has changed."""
        with self._lock:
            self._kept.clear()

    def close(self) -> None:
        """End sampling."""
        self._sampler.close()

    def _take(self, name: str, at_ns: int, value: float) -> None:
        if name != self._name:
            return
        with self._lock:
            self._kept.append((at_ns, value))
            while at_ns - self._kept[0][0] > MEAN_S * NS_PER_S:
                self._kept.popleft()
