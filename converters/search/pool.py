"""Workers that evaluate paths: processes of this machine. A worker that dies is replaced and its path tried again."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from converters.errors import ConvertError
from converters.paths import ExecutionPath
from converters.search.contract import Evaluator, EvaluatorSpec, Outcome, Refused, Say
from converters.search.errors import SearchError
from edge.cameras.child import die_with_parent
from edge.errors import JoulepathError

TRIES = 3


class Workers(Protocol):
    """Evaluates paths somewhere."""

    def run(self, paths: Sequence[ExecutionPath]) -> Iterator[tuple[int, Outcome]]:
        """Each path's place and outcome, in the order in which they finish. Raises SearchError."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class Processes:
    """`count` processes, each an executor of its own: so it is known whose path was under way when one died."""

    def __init__(self, spec: EvaluatorSpec, count: int, say: Say = lambda _: None, tries: int = TRIES) -> None:
        self._spec, self._say, self._tries = spec, say, tries
        self._idle: list[ProcessPoolExecutor] = []
        self._count = max(1, count)
        self._begun: list[ProcessPoolExecutor] = []

    def run(self, paths: Sequence[ExecutionPath]) -> Iterator[tuple[int, Outcome]]:
        waiting = [(number, 1) for number in reversed(range(len(paths)))]
        busy: dict[Future[Outcome], tuple[ProcessPoolExecutor, int, int]] = {}
        while waiting or busy:
            while waiting and len(busy) < self._count:
                number, attempt = waiting.pop()
                worker = self._idle.pop() if self._idle else self._start()
                busy[worker.submit(_evaluate, paths[number])] = (worker, number, attempt)
            done, _ = wait(busy, return_when=FIRST_COMPLETED)
            for future in done:
                worker, number, attempt = busy.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool as error:
                    self._let_go(worker)
                    if attempt >= self._tries:
                        raise SearchError(
                            f"a worker died {attempt} times evaluating {paths[number]}; is memory short? "
                            "Give fewer --workers; what finished is kept"
                        ) from error
                    self._say(f"a worker died; its path is evaluated again (try {attempt + 1} of {self._tries})")
                    waiting.append((number, attempt + 1))
                    continue
                self._idle.append(worker)
                yield number, outcome

    def close(self) -> None:
        for worker in list(self._begun):
            self._let_go(worker)
        self._idle.clear()

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, for a fork of a process in which an engine or TensorFlow has threads may hang.
        worker = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _prepare, (self._spec,))
        self._begun.append(worker)
        return worker

    def _let_go(self, worker: ProcessPoolExecutor) -> None:
        # An evaluation under way is of no more use; waiting for it would make Ctrl-C take as long as one lasts.
        for process in list((worker._processes or {}).values()):
            process.kill()
        worker.shutdown(wait=True, cancel_futures=True)
        self._begun.remove(worker)


_held: list[Evaluator | Exception] = []


def _prepare(spec: EvaluatorSpec) -> None:
    # Ctrl-C reaches the whole group; the parent decides what it means. A parent that was killed decides nothing more.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        die_with_parent(parent.pid)
    try:
        _held.append(spec.build())
    except JoulepathError as error:
        _held.append(error)  # raised from an initializer it would look like a death


def _evaluate(path: ExecutionPath) -> Outcome:
    evaluator = _held[0]
    if isinstance(evaluator, Exception):
        raise evaluator
    return attempted(evaluator, path)


def attempted(evaluator: Evaluator, path: ExecutionPath) -> Outcome:
    """The evaluation, or why these weights do not allow the path."""
    try:
        return evaluator(path)
    except ConvertError as error:
        return Refused(path, str(error))
