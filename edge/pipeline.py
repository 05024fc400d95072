"""The pipeline: camera -> prepare -> infer -> finish -> sinks and ledger, with inference never waiting for the rest.

Three threads: one prepares the next frame while the present one is inferred, this one keeps the engine busy and swaps
variants between two frames, one finishes (mask, score, sinks). Inference itself runs in the engine's own process.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event, Thread
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from boards.board import Activity
from edge.bundle import InputSpec, Variant
from edge.cameras.frame import EndOfStream, Frame
from edge.change import ChangeDetector
from edge.engines.contract import EngineError, EngineLost
from edge.engines.process import InferResult
from edge.ledger import Ledger, Served
from edge.pace import Pacer
from edge.steward import Steward

Clock = Callable[[], int]
PrepareFrame = Callable[[npt.NDArray[np.uint8], InputSpec, npt.NDArray[Any]], None]
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class Source(Protocol):
    """A camera: `next` waits at most `timeout_s`, gives None when nothing came, raises EndOfStream at the end."""

    @property
    def live(self) -> bool: ...

    def next(self, timeout_s: float) -> Frame | None: ...

    def release(self, frame: Frame) -> None: ...


class Executor(Protocol):
    """What the pipeline asks of the pool (`edge.variants.Pool`)."""

    def input_view(self, slot: int, spec: InputSpec) -> npt.NDArray[Any]: ...

    def submit(self, variant_id: str, slot: int) -> None: ...

    def result(self, timeout_s: float) -> InferResult: ...


class Task(Protocol):
    """What an output means: `finish` turns it into something to show and to score."""

    def finish(self, output: npt.NDArray[Any], variant: Variant, size: tuple[int, int]) -> npt.NDArray[Any]: ...

    def score(self, answer: npt.NDArray[Any], truth: npt.NDArray[np.uint8]) -> float | None: ...


@dataclass(frozen=True)
class Shown:
    """A finished frame as sinks get it; `answer` is a mask HxW uint8 (segment) or scores (classify). Where
    `served.reused` says so it is the answer to an earlier frame that showed the same."""

    frame: Frame
    answer: npt.NDArray[Any]
    variant: str
    served: Served
    miou: float | None


class Sink(Protocol):
    """Where finished frames go; must be quick, the frame's image is only valid during the call."""

    def show(self, shown: Shown) -> None: ...

    def close(self) -> None: ...


@dataclass
class _Prepared:
    frame: Frame
    slot: int
    spec: InputSpec | None  # None: it shows nothing new, and is answered with the answer before
    prepare_ns: int


@dataclass
class _Inferred:
    prepared: _Prepared
    variant: str
    result: InferResult | None  # None where the answer before serves again
    start_ns: int
    end_ns: int


@dataclass
class Counters:
    """What the run has done so far; read by the status and the summary."""

    frames: int = 0
    taken: int = 0  # from the camera; those beyond `frames` are under way
    looks: int = 0  # times that the camera was asked
    turns: int = 0  # rounds of the loop that runs inference
    skipped: int = 0
    reused: int = 0  # of the frames: they showed nothing new
    retried: int = 0
    first_frame_ns: int | None = None
    last_done_ns: int | None = None
    last_age_ms: float | None = None
    last_infer_ms: float | None = None
    recent_done_ns: list[int] = field(default_factory=list)


class Pipeline:
    """One run over one camera. `run` returns when the stream ends, `frames` are done, or `stop` was called."""

    # One slot holds a frame's input and its output: one is prepared, one inferred, one finished at a time.
    SLOTS = 3

    def __init__(
        self,
        camera: Source,
        pool: Executor,
        steward: Steward,
        task: Task,
        variants: dict[str, Variant],
        variant_numbers: dict[str, int],
        ledger: Ledger,
        preparer: Callable[[], PrepareFrame],
        *,
        clock: Clock,
        sinks: Sequence[Sink] = (),
        note: Callable[[Activity], None] = lambda activity: None,
        slowdown: Callable[[], float] = lambda: 1.0,
        on_event: Callable[[str, str, str], None] = lambda level, kind, message: None,
        scored: bool = True,
        detector: ChangeDetector | None = None,
    ) -> None:
        """With a `detector`, frames that it finds unchanged are answered with the answer before."""
        self._camera, self._pool, self._steward, self._task = camera, pool, steward, task
        self._variants, self._numbers, self.ledger = variants, variant_numbers, ledger
        # A preparer keeps buffers, so each of the two threads that prepare has its own.
        self._prepare_ahead, self._prepare_again = preparer(), preparer()
        self._clock, self._sinks, self._note, self._slowdown = clock, list(sinks), note, slowdown
        self._on_event, self._scored, self._detector = on_event, scored, detector
        self._last_variant = ""  # that the last answer is from; the inferring thread's
        self._last_answer: npt.NDArray[Any] | None = None  # the finishing thread's
        self.counters = Counters()
        self._stop = Event()
        self._ended = Event()
        self._wake = Event()  # an inference ended: the next frame may be taken
        self._pacer = Pacer()
        self._expected_end_ns = 0
        self._lead_ns = 4 * NS_PER_MS
        self._free_slots: queue.Queue[int] = queue.Queue()
        for slot in range(self.SLOTS):
            self._free_slots.put(slot)
        self._prepared: queue.Queue[_Prepared] = queue.Queue()
        self._inferred: queue.Queue[_Inferred | None] = queue.Queue()
        self._spec: InputSpec | None = None
        self._failure: BaseException | None = None
        self._wanted_frames: int | None = None

    def add_sink(self, sink: Sink) -> None:
        """Show finished frames to `sink` as well; before `run`."""
        self._sinks.append(sink)

    def stop(self) -> None:
        """End the run after the frame under way; safe to call from a signal handler or another thread."""
        self._stop.set()
        self._wake.set()

    def run(self, frames: int | None = None) -> Counters:
        """Serve frames until the end; raises what a thread of it raised."""
        self._wanted_frames = frames
        preparer = Thread(target=self._guard, args=(self._prepare_loop,), name="prepare", daemon=True)
        finisher = Thread(target=self._guard, args=(self._finish_loop,), name="finish", daemon=True)
        finisher.start()
        try:
            self._wait_for_a_variant()
            preparer.start()
            self._infer_loop(frames)
        finally:
            self.stop()
            self._inferred.put(None)
            finisher.join(timeout=5)
            if preparer.ident is not None:
                preparer.join(timeout=2)
        if self._failure is not None:
            raise self._failure
        return self.counters

    # -- the three loops --------------------------------------------------------------------------------------

    def _guard(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:  # carried over to the caller of run()
            self._failure = error
            self.stop()

    def _wait_for_a_variant(self) -> None:
        while not self._stop.is_set():
            self.counters.turns += 1
            variant = self._steward.at_boundary(self._clock())
            if variant is not None:
                self._spec = self._variants[variant].input
                return
            hopeless = self._steward.hopeless()
            if hopeless is not None:
                raise EngineError(hopeless)
            self._wake.wait(0.002)

    def _prepare_loop(self) -> None:
        taken = 0
        while not self._stop.is_set() and (self._wanted_frames is None or taken < self._wanted_frames):
            slot = _get(self._free_slots, self._stop)
            if slot is None:
                return
            self._wait_for_its_turn()
            self._wait_until_fresh()
            frame = self._next_frame()
            self.counters.looks += 1
            if frame is None:
                self._free_slots.put(slot)
                if self._ended.is_set():
                    return
                continue
            taken += 1
            self.counters.taken = taken
            self._pacer.taken(self._clock(), self._steward.max_fps)
            self._prepared.put(self._ready(frame, slot))
        self._ended.set()

    def _infer_loop(self, frames: int | None) -> None:
        served = 0
        while not self._stop.is_set() and (frames is None or served < frames):
            self.counters.turns += 1
            try:
                prepared = self._prepared.get(timeout=0.05)
            except queue.Empty:
                self.ledger.settle(self._clock())
                self._decide_meanwhile()
                if self._ended.is_set() and self._prepared.empty():
                    return
                continue
            if self._serve(prepared):
                served += 1

    def _finish_loop(self) -> None:
        while (item := self._inferred.get()) is not None:
            self._finish(item)
            self.ledger.settle(self._clock())  # here, where no inference waits for it

    # -- prepare ----------------------------------------------------------------------------------------------

    def _wait_for_its_turn(self) -> None:
        # A live source skips what comes meanwhile, and counts it; any other waits.
        while not self._stop.is_set():
            left_ns = self._pacer.wait_ns(self._clock(), self._steward.max_fps)
            if left_ns <= 0:
                return
            self._stop.wait(min(0.1, left_ns / NS_PER_S))  # the rate may be raised meanwhile
            self.counters.looks += 1

    def _wait_until_fresh(self) -> None:
        # A live frame is taken as late as preparing allows, so that it is young when its inference starts.
        if not self._camera.live:
            return
        while not self._stop.is_set():
            left_ns = self._expected_end_ns - self._lead_ns - self._clock()
            if left_ns <= 0:
                return
            self._wake.clear()
            if self._wake.wait(left_ns / 1e9):
                return

    def _next_frame(self) -> Frame | None:
        try:
            return self._camera.next(0.1)
        except EndOfStream:
            self._ended.set()
            return None

    def _ready(self, frame: Frame, slot: int) -> _Prepared:
        spec = self._spec
        assert spec is not None
        if self._detector is None:
            return self._prepare_frame(frame, slot, spec, self._prepare_ahead)
        began = self._clock()
        # Frames go through in order: once one was found changed, its answer is there before the next frame's is due.
        unchanged = self._detector.unchanged(frame.image, frame.monotonic_ns)
        looked_ns = self._clock() - began
        if unchanged:
            return _Prepared(frame, slot, None, looked_ns)
        prepared = self._prepare_frame(frame, slot, spec, self._prepare_ahead)
        return replace(prepared, prepare_ns=prepared.prepare_ns + looked_ns)

    def _prepare_frame(self, frame: Frame, slot: int, spec: InputSpec, prepare: PrepareFrame) -> _Prepared:
        began = self._clock()
        prepare(frame.image, spec, self._pool.input_view(slot, spec))
        took = self._clock() - began
        self._lead_ns = max(2 * NS_PER_MS, (7 * self._lead_ns + 2 * took + NS_PER_MS) // 8)
        return _Prepared(frame, slot, spec, took)

    def _decide_meanwhile(self) -> None:
        # With few frames a second their boundaries are too far apart for a controller that shall see heat coming.
        if self._steward.max_fps is not None:
            variant = self._steward.at_boundary(self._clock())
            if variant is not None:
                self._spec = self._variants[variant].input

    # -- infer ------------------------------------------------------------------------------------------------

    def _serve(self, prepared: _Prepared) -> bool:
        while not self._stop.is_set():
            variant = self._steward.at_boundary(self._clock())
            if variant is None:  # every engine was lost: wait for one to come back, keep the frame
                self._wake.wait(0.005)
                continue
            spec = self._variants[variant].input
            self._spec = spec
            if prepared.spec is None:
                self._reuse(prepared)
                return True
            if prepared.spec != spec:
                prepared = self._prepare_frame(prepared.frame, prepared.slot, spec, self._prepare_again)
            try:
                result = self._infer(variant, prepared.slot)
            except EngineLost as error:
                self._on_event("error", "engine_lost", str(error))
                self.counters.retried += 1
                self._steward.drop_active()
                continue
            self.ledger.window_started(result.start_ns)
            self._steward.latency.add(variant, (result.end_ns - result.start_ns) / NS_PER_MS)
            self._last_variant = variant
            self._inferred.put(_Inferred(prepared, variant, result, result.start_ns, result.end_ns))
            return True
        return False

    def _reuse(self, prepared: _Prepared) -> None:
        now_ns = self._clock()
        self.ledger.window_started(now_ns)
        self._inferred.put(_Inferred(prepared, self._last_variant, None, now_ns, now_ns))

    def _infer(self, variant: str, slot: int) -> InferResult:
        expected_ms = self._steward.latency.means.get(variant, 0.0)
        began = self._clock()
        self._expected_end_ns = began + int(expected_ms * NS_PER_MS)
        self._note(Activity(variant, True, began))
        try:
            self._pool.submit(variant, slot)
            result = self._pool.result(timeout_s=30.0)
            return self._throttle(result)
        finally:
            self._note(Activity(variant, False, self._clock()))
            self._expected_end_ns = 0
            self._wake.set()

    def _throttle(self, result: InferResult) -> InferResult:
        # Only the simulated board slows down: its frame is held back as long as a throttled board would take.
        factor = self._slowdown()
        if factor <= 1.0:
            return result
        end_ns = result.start_ns + int((result.end_ns - result.start_ns) * factor)
        self._stop.wait(max(0.0, (end_ns - self._clock()) / 1e9))
        return replace(result, end_ns=max(result.end_ns, self._clock()))

    # -- finish -----------------------------------------------------------------------------------------------

    def _finish(self, item: _Inferred) -> None:
        began = self._clock()
        frame, variant = item.prepared.frame, self._variants[item.variant]
        answer = self._answer(item, variant, frame)
        self._free_slots.put(item.prepared.slot)
        miou = self._score(answer, frame.truth)
        done = self._clock()
        served = Served(
            sequence=frame.sequence,
            variant_id=self._numbers[item.variant],
            skipped=frame.skipped,
            captured_ns=frame.monotonic_ns,
            start_ns=item.start_ns,
            infer_end_ns=item.end_ns,
            done_ns=done,
            prepare_ns=item.prepared.prepare_ns,
            finish_ns=done - began,
            miou_ppm=None if miou is None else round(miou * 1e6),
            reused=item.result is None,
        )
        self.ledger.finished(served)
        self._count(served)
        for sink in self._sinks:
            sink.show(Shown(frame, answer, item.variant, served, miou))
        self._camera.release(frame)

    def _answer(self, item: _Inferred, variant: Variant, frame: Frame) -> npt.NDArray[Any]:
        if item.result is None:
            assert self._last_answer is not None, "a frame was called unchanged before one was answered"
            return self._last_answer
        size = frame.truth.shape if frame.truth is not None else (variant.input.height, variant.input.width)
        answer = self._task.finish(item.result.output, variant, (int(size[0]), int(size[1])))
        self._last_answer = answer
        return answer

    def _score(self, answer: npt.NDArray[Any], truth: npt.NDArray[np.uint8] | None) -> float | None:
        if truth is None or not self._scored:
            return None
        try:
            return self._task.score(answer, truth)
        except ValueError as error:
            self._scored = False
            self._on_event("warning", "truth_unusable", f"the camera's ground truth does not fit the bundle: {error}")
            return None

    def _count(self, served: Served) -> None:
        counters = self.counters
        counters.frames += 1
        counters.skipped += served.skipped
        counters.reused += served.reused
        if counters.first_frame_ns is None:
            counters.first_frame_ns = served.done_ns
        counters.last_done_ns = served.done_ns
        counters.last_age_ms = (served.done_ns - served.captured_ns) / NS_PER_MS
        if not served.reused:
            counters.last_infer_ms = (served.infer_end_ns - served.start_ns) / NS_PER_MS
        counters.recent_done_ns = [*counters.recent_done_ns[-29:], served.done_ns]


def _get(source: queue.Queue[int], stop: Event) -> int | None:
    while not stop.is_set():
        try:
            return source.get(timeout=0.1)
        except queue.Empty:
            continue
    return None
