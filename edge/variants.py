"""The pool of resident variants: files load in the background, each in its own process; running one is a message away.

Switching is nothing but submitting with another variant's id. Files beyond the bound go, least recently used first;
the one that serves never does. A variant that cannot be loaded says why by `failure`, and the present one goes on.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edge.bundle.load import Bundle
from edge.bundle.manifest import InputSpec, Variant
from edge.engines.contract import Array, EngineError, EngineLost
from edge.engines.process import EngineProcess, InferResult, Loaded, input_bytes
from edge.engines.shared import SharedSlots
from edge.engines.weightcache import cache_folder
from edge.prepare import Frame, Preparers

NS_PER_S = 1_000_000_000
FIRST_REST_S = 10.0  # after a worker died; doubles each time, to an hour
LONGEST_REST_S = 3600.0
CALM_S = 60.0  # a worker that served this long starts with a clean record

OnEvent = Callable[[str, str, str], None]  # level, kind, message


@dataclass
class _Trouble:
    """Why a file may not be loaded at the moment; `until_ns` None means for good."""

    reason: str
    until_ns: int | None
    times: int


class Pool:
    """Resident variants of one bundle.

    One thread submits and takes results; `ensure`, `is_resident`, `failure` and `input_view` may come from others.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int = 1,
        library: str = "auto",
        max_resident_files: int = 4,
        slots: int = 3,
        share_weights: bool = True,
        cache: Path | None = None,
        on_event: OnEvent = lambda level, kind, message: None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`slots` frames may be under way at once: a slot holds a frame's prepared input, and its output in the end.

        `threads` 0 is every core that this process may use. With `share_weights` the paths of a file share packed
        weights where the engine can; they are kept in `cache`, by default in this user's or service's cache folder.
        """
        self.bundle = bundle
        self.threads = threads or len(os.sched_getaffinity(0))
        self._library, self._max_files = library, max(1, max_resident_files)
        self._share_weights, self._cache = share_weights, cache or cache_folder(os.environ)
        self._on_event, self._clock = on_event, clock
        self._variants: dict[str, Variant] = {v.id: v for v in bundle.manifest.variants}
        self._inputs = SharedSlots.create("inputs", slots, max(map(input_bytes, self._variants.values())))
        self._prepare = Preparers()
        self._lock = threading.RLock()
        self._files: dict[str, EngineProcess] = {}  # least recently used first
        # Starting a process and taking leave of one cost tens of milliseconds on a busy board: no frame waits for them.
        # One thread that lasts as long as the pool does both, in order; workers are tied to it.
        self._background = futures.ThreadPoolExecutor(1, thread_name_prefix="pool")
        self._starts: dict[str, futures.Future[None]] = {}
        self._since_ns: dict[str, int] = {}  # when a file became ready
        self._problems: dict[str, str] = {}  # by variant: loaded, but may not serve
        self._troubles: dict[str, _Trouble] = {}  # by file
        self._serving: str | None = None  # the file of the last submitted frame
        self._running: deque[tuple[str, EngineProcess]] = deque()  # submitted, results not taken
        self._closed = False

    # -- residency --------------------------------------------------------------------------------------------

    def ensure(self, variant_id: str) -> None:
        """Have the variant loaded in the background, unless it is, or cannot be (`failure` says why). Returns at once.

        Raises KeyError for a variant that the bundle does not have.
        """
        variant = self._variants[variant_id]
        with self._lock:
            if self._closed or self.failure(variant_id) is not None:
                return
            if variant.file in self._files:
                self._poll(variant.file)
                self._touch(variant.file)
            else:
                self._start(variant.file)

    def is_resident(self, variant_id: str) -> bool:
        """Whether the next frame may run on the variant."""
        file = self._variants[variant_id].file
        with self._lock:
            return self._poll(file) is not None and variant_id not in self._problems

    def failure(self, variant_id: str) -> str | None:
        """Why the variant cannot serve, None when nothing is known against it."""
        variant = self._variants[variant_id]
        with self._lock:
            if variant.engine != "litert":
                return f"no engine {variant.engine!r} on this machine"
            self._poll(variant.file)
            trouble = self._troubles.get(variant.file)
            if trouble is not None and (trouble.until_ns is None or self._clock() < trouble.until_ns):
                return trouble.reason
            return self._problems.get(variant_id)

    def first_latency_ms(self, variant_id: str) -> float | None:
        """One warm inference of a resident variant as its worker timed it while loading; None when not resident."""
        with self._lock:
            loaded = self._poll(self._variants[variant_id].file)
            return None if loaded is None else loaded.warm_ms.get(variant_id)

    def resident(self) -> tuple[str, ...]:
        """The ids of all variants that may run now."""
        return tuple(variant_id for variant_id in self._variants if self.is_resident(variant_id))

    def wait(self, variant_id: str, timeout_s: float = 60.0) -> Loaded:
        """Load the variant and wait for it: for tools; the pipeline asks `is_resident`. Raises EngineError."""
        deadline_ns = self._clock() + int(timeout_s * NS_PER_S)
        file = self._variants[variant_id].file
        while True:
            self.ensure(variant_id)
            reason = self.failure(variant_id)
            if reason is not None:
                raise EngineError(f"variant {variant_id!r} cannot be used: {reason}")
            with self._lock:
                loaded = self._poll(file)
                process, begun = self._files.get(file), self._starts.get(file)
            if loaded is not None:
                return loaded
            if self._clock() > deadline_ns:
                raise EngineError(f"variant {variant_id!r}: still not loaded after {timeout_s:g} s")
            if process is not None and begun is not None:
                futures.wait([begun], 0.1)
                process.wait_readable(0.1)

    # -- frames -----------------------------------------------------------------------------------------------

    def input_view(self, slot: int, spec: InputSpec) -> Array:
        """The shared memory that a frame for an input of this spec is prepared into: 1xHxWx3."""
        return self._inputs.view(slot, (1, spec.height, spec.width, 3), spec.dtype)

    def submit(self, variant_id: str, slot: int) -> None:
        """Start inference on the frame in `slot`; its output goes to the same slot. Raises EngineLost."""
        file = self._variants[variant_id].file
        with self._lock:
            process = self._files.get(file)
            if process is None or not self.is_resident(variant_id):
                raise EngineLost(f"variant {variant_id!r} is not resident")
            try:
                process.submit(variant_id, slot)
            except EngineLost as error:
                self._lost(file, process, str(error))
                raise
            self._running.append((file, process))
            if self._serving != file:
                self._serving = file
                self._touch(file)
                self._make_room(self._max_files)

    def result(self, timeout_s: float = 30.0) -> InferResult:
        """The result of the oldest submitted frame.

        Raises EngineLost when its engine died or did not answer in time (the next `ensure` starts it again, after a
        rest that grows), and EngineError when the inference failed.
        """
        file, process = self._running.popleft()
        try:
            return process.result(timeout_s)
        except EngineLost as error:
            with self._lock:
                self._lost(file, process, str(error))
            raise

    def infer(self, variant_id: str, frame: Frame, slot: int = 0, timeout_s: float = 60.0) -> InferResult:
        """Prepare and run one frame (HxWx3 uint8 BGR) and wait: for tools, not beside `submit`. Raises EngineError."""
        spec = self._variants[variant_id].input
        self._prepare(frame, spec, self.input_view(slot, spec))
        self.submit(variant_id, slot)
        return self.result(timeout_s)

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._background.shutdown()
            for process in self._files.values():
                process.kill()
            self._files.clear()
            self._running.clear()
            self._inputs.close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside; the lock is held -----------------------------------------------------------------------------

    def _start(self, file: str) -> None:
        self._make_room(self._max_files - 1)
        process = EngineProcess(
            self.bundle.root / file,
            [v for v in self._variants.values() if v.file == file and v.engine == "litert"],
            self._inputs,
            threads=self.threads,
            library=self._library,
            golden=self.bundle.golden,
            tied=True,
            # A file whose process died gets the plain engine: one thing fewer that may have been the reason.
            share_weights=self._share_weights and file not in self._troubles,
            cache=self._cache,
        )
        self._files[file] = process
        self._starts[file] = self._background.submit(process.start)

    def _poll(self, file: str) -> Loaded | None:
        process = self._files.get(file)
        if process is None:
            return None
        if process.loaded is not None:
            return process.loaded
        begun = self._starts[file]
        if not begun.done():
            return None
        try:
            begun.result()
            loaded = process.poll_loaded()
        except EngineLost as error:
            self._rest(file, str(error))
            return None
        except EngineError as error:
            self._refuse(file, str(error))
            return None
        except OSError as error:
            process.kill()
            self._rest(file, f"{file}: its process cannot be started ({error.strerror}); is memory short?")
            return None
        if loaded is not None:
            self._since_ns[file] = self._clock()
            self._problems.update(loaded.problems)
            shared = ", weights shared" if loaded.shares_weights else ""
            self._on_event(
                "info",
                "loaded",
                f"{file}: {len(process.variants) - len(loaded.problems)} of {len(process.variants)} variants ready "
                f"after {loaded.load_ms / 1e3:.2f} s ({loaded.library} {loaded.version}{shared})",
            )
            for words in loaded.notes:
                self._on_event("warning", "weight_cache", words)
        return loaded

    def _refuse(self, file: str, reason: str) -> None:
        self._files.pop(file, None)
        self._troubles[file] = _Trouble(reason, None, 1)

    def _rest(self, file: str, reason: str) -> None:
        """Leave a file alone for a while after its process failed; the while doubles each time."""
        self._files.pop(file, None)
        times = self._troubles[file].times + 1 if file in self._troubles else 1
        rest_s = min(FIRST_REST_S * 2 ** (times - 1), LONGEST_REST_S)
        self._troubles[file] = _Trouble(reason, self._clock() + int(rest_s * NS_PER_S), times)

    def _lost(self, file: str, process: EngineProcess, reason: str) -> None:
        if self._files.get(file) is not process:
            return
        calm = self._clock() - self._since_ns[file] > CALM_S * NS_PER_S
        self._running = deque(entry for entry in self._running if entry[1] is not process)
        if self._serving == file:
            self._serving = None
        if calm:
            # Long service, one death: start again at once.
            self._files.pop(file)
            self._troubles.pop(file, None)
            return
        self._rest(file, reason)

    def _touch(self, file: str) -> None:
        self._files[file] = self._files.pop(file)

    def _make_room(self, at_most: int) -> None:
        """Let go of the least recently used files until `at_most` are left; not of the one that serves or has work."""
        busy = {file for file, _ in self._running} | {self._serving}
        for file in [f for f in self._files if f not in busy]:
            if len(self._files) <= at_most:
                return
            process = self._files.pop(file)
            for variant in process.variants:
                self._problems.pop(variant.id, None)
            self._background.submit(process.close)
            self._on_event("info", "evicted", f"{file}: unloaded to make room")
