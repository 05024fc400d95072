"""Workers on a Ray cluster: the same evaluations as tasks, repeated by Ray when a worker or a machine dies."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from converters.paths import ExecutionPath
from converters.search.contract import Evaluator, EvaluatorSpec, Outcome, Say
from converters.search.errors import SearchError
from converters.search.pool import TRIES, attempted
from edge.errors import JoulepathError

_KNOCK_S = 10.0


class RayWorkers:
    """Tasks of one core each on the cluster at `address`; every machine reads the same files at the same paths."""

    def __init__(self, spec: EvaluatorSpec, address: str, say: Say = lambda _: None, tries: int = TRIES) -> None:
        """Raises SearchError when Ray is missing or the cluster cannot be reached."""
        try:
            ray: Any = import_module("ray")
        except ImportError as error:
            raise SearchError("--ray needs Ray: pip install 'joulepath[ray]'") from error
        # Asked for an evaluation, not for reports to anybody.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level="error", configure_logging=False)
        except Exception as error:  # Ray raises its own, the system's and grpc's errors
            raise SearchError(
                f"--ray {address}: no cluster answers there ({str(error).splitlines()[0]}); "
                "start one with `ray start --head`, or leave --ray out to work on this machine"
            ) from error
        self._ray = ray
        self._spec, self._tries = ray.put(spec), tries
        self._task: Any = ray.remote(num_cpus=1, max_retries=tries - 1)(_evaluate)
        say(f"Ray cluster of {len(ray.nodes())} machines, {ray.cluster_resources().get('CPU', 0):.0f} cores")

    def run(self, paths: Sequence[ExecutionPath]) -> Iterator[tuple[int, Outcome]]:
        under_way = {self._task.remote(self._spec, path): number for number, path in enumerate(paths)}
        while under_way:
            done, _ = self._ray.wait(list(under_way), num_returns=1)
            number = under_way.pop(done[0])
            try:
                yield number, self._ray.get(done[0])
            except self._ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, JoulepathError):
                    raise error.cause from error
                raise
            except self._ray.exceptions.RayError as error:
                raise SearchError(
                    f"a Ray worker died {self._tries} times evaluating {paths[number]} ({type(error).__name__}); "
                    "is memory short? What finished is kept"
                ) from error

    def close(self) -> None:
        self._ray.shutdown()


def _knock(address: str) -> None:
    """Ray waits for minutes where nobody listens; a refused connection is known at once. Raises OSError."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()


def _evaluate(spec: EvaluatorSpec, path: ExecutionPath) -> Outcome:
    return attempted(_built(spec), path)


@lru_cache(maxsize=1)
def _built(spec: EvaluatorSpec) -> Evaluator:
    """A worker process lives for many tasks; it reads the weights for the first."""
    return spec.build()
