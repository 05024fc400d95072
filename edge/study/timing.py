"""How long small graphs take on this machine's engine: interleaved rounds, medians.

Needs nothing but the inference library that a board has (ai-edge-litert, or tflite-runtime where that is installed).
"""

from __future__ import annotations

import math
import random
import resource
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.bench.interleave import Spread
from edge.engines.litert import LiteRtEngine, open_litert
from edge.study.errors import StudyError

Scratch = npt.NDArray[np.uint8]
ROUNDS = 15
# Loaded together and timed in turn; more would only take memory.
BATCH = 32
# Every graph is visited so many rounds at a time and visited again later: a machine that slows down meets all alike.
_ROUNDS_A_VISIT = 3
# One turn lasts at least this long: a graph of microseconds is run several times and the mean of the turn is taken.
LEAST_TURN_MS = 2.0
_MOST_RUNS = 200
_ATTEMPTS = 4


@dataclass(frozen=True)
class Timing:
    """One graph on one engine: milliseconds of one inference over the rounds; `values_ms` has one a round, in order."""

    median_ms: float
    p10_ms: float
    p90_ms: float
    rounds: int
    values_ms: tuple[float, ...] = ()

    @property
    def spread(self) -> float:
        """The width of the middle 80 % of rounds as a share of the median."""
        return (self.p90_ms - self.p10_ms) / self.median_ms if self.median_ms else math.inf


def time_graphs(
    graphs: Mapping[str, bytes],
    threads: int = 1,
    rounds: int = ROUNDS,
    *,
    between_bytes: int = 0,
    engine: LiteRtEngine | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Timing]:
    """Median latency of each graph (a .tflite file of one signature) in this process, in milliseconds.

    Only the inference is timed: inputs (random numbers, the same for each call) are copied in before. A turn is one
    settling run, then as many timed runs as last `LEAST_TURN_MS`. With `between_bytes` a turn is instead one timed run
    after so many bytes of memory were written: the graph's weights and buffers are then as cold as those of a layer
    that waits for its turn within a network, and its inputs as warm. A turn in which the system gave the processor to
    somebody else is repeated a few times. Graphs take turns, shuffled each time by a fixed seed; `on_progress` hears
    how many turns of how many are done. Raises StudyError naming a graph that the engine refuses, EngineMissing
    without an engine.
    """
    if rounds < 1 or threads < 1 or between_bytes < 0:
        raise StudyError(f"timing needs one round and one thread or more, not {rounds} and {threads}")
    chosen = engine or open_litert()
    scratch = np.zeros(between_bytes, np.uint8)
    measured: dict[str, list[float]] = {name: [] for name in graphs}
    order, done = random.Random(0), 0
    for visit in range(0, rounds, _ROUNDS_A_VISIT):
        for batch in _batches(order.sample(list(graphs), len(graphs))):
            turns = {name: _Turn(name, graphs[name], chosen, threads, scratch) for name in batch}
            for _ in range(min(_ROUNDS_A_VISIT, rounds - visit)):
                for name in order.sample(batch, len(batch)):
                    measured[name].append(turns[name].measure())
                done += len(batch)
                on_progress(done, rounds * len(graphs))
    return {name: _timing(values) for name, values in measured.items()}


def _timing(values: list[float]) -> Timing:
    spread = Spread.of(values)
    return Timing(spread.median, spread.p10, spread.p90, spread.count, tuple(values))


def _batches(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), BATCH):
        yield names[start : start + BATCH]


class _Turn:
    """One loaded graph with its inputs, run once so that everything is allocated."""

    def __init__(self, name: str, content: bytes, engine: LiteRtEngine, threads: int, scratch: Scratch) -> None:
        self._scratch = scratch
        self._alone = threads == 1  # then the inference runs on this very thread
        try:
            self._interpreter: Any = engine.interpreter(model_content=content, num_threads=threads)
            # Before any input is set: tflite-runtime 2.14 otherwise leaves XNNPACK out.
            self._interpreter.allocate_tensors()
            self._inputs = [
                (detail["index"], np.random.default_rng(0).standard_normal(detail["shape"], np.float32))
                for detail in self._interpreter.get_input_details()
            ]
            self._give()
            self._run(1)
        except Exception as error:  # the libraries raise what they like for a file that they cannot run
            if isinstance(error, SystemError):
                raise StudyError(
                    f"{engine.name} {engine.version} cannot work with numpy {np.__version__}: it was built for "
                    "numpy 1. Remedy: pip install 'numpy<2', or pip install ai-edge-litert"
                ) from error
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise StudyError(
                f"graph {name!r}: {engine.name} {engine.version} cannot run it ({first}); "
                "make the kit again for this engine's version"
            ) from error

    def measure(self) -> float:
        """Milliseconds of one inference now; tried again while the system gives the processor to others meanwhile."""
        tried = []
        for _ in range(_ATTEMPTS):
            once_ms, undisturbed = self._turn()
            if undisturbed:
                return once_ms
            tried.append(once_ms)
        return min(tried)

    def _turn(self) -> tuple[float, bool]:
        if self._scratch.size:
            self._scratch += 1
            self._give()
            return self._run(1)
        self._give()
        once_ms, _ = self._run(1)
        return self._run(min(_MOST_RUNS, max(1, math.ceil(LEAST_TURN_MS / max(once_ms, 1e-6)))))

    def _give(self) -> None:
        for index, value in self._inputs:
            self._interpreter.set_tensor(index, value)

    def _run(self, times: int) -> tuple[float, bool]:
        """Milliseconds of one of so many inferences, and whether nobody took the processor away.

        Where somebody did and one thread infers, its own processor time stands for the time that it was away.
        """
        who = resource.RUSAGE_THREAD if self._alone else resource.RUSAGE_SELF
        lost_before = resource.getrusage(who).ru_nivcsw
        began_ns, own_began_ns = perf_counter_ns(), thread_time_ns()
        for _ in range(times):
            self._interpreter.invoke()
        wall_ns, own_ns = perf_counter_ns() - began_ns, thread_time_ns() - own_began_ns
        undisturbed = resource.getrusage(who).ru_nivcsw == lost_before
        return (wall_ns if undisturbed or not self._alone else own_ns) / 1e6 / times, undisturbed
