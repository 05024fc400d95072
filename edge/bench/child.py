"""Processes that a benchmark starts: each contestant alone with its libraries and threads, driven line by line."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import edge
from edge.bench.record import BenchError

# The command line of this installation, whether or not its script is on the path.
JOULEPATH = (sys.executable, "-c", "from edge.cli import main; main()")


def environment(*, ours: bool = True) -> dict[str, str]:
    """The environment for a child: our packages found (unless another interpreter's), numeric libraries on one thread.

    The thread counts that are measured are given to each engine by its own interface.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    kept |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept |= {"TF_CPP_MIN_LOG_LEVEL": "2", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    if not ours:
        return kept
    home = Path(edge.__file__).resolve().parent.parent
    # An installed package is found anyway, and a site-packages folder in PYTHONPATH would come before the library.
    own = [] if home.name in ("site-packages", "dist-packages") else [str(home)]
    return kept | {"PYTHONPATH": os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")])])}


class LineChild:
    """A process that answers each JSON line with one JSON line; a context manager."""

    def __init__(self, command: Sequence[str], *, ours: bool = True) -> None:
        """Start it. Raises BenchError when there is no such program."""
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(ours=ours),
            )
        except OSError as error:
            raise BenchError(f"{command[0]}: cannot be started ({error.strerror})") from error
        self._buffer = b""

    @classmethod
    def module(cls, name: str) -> LineChild:
        """A module of ours in a process of this interpreter."""
        return cls([sys.executable, "-m", name])

    @classmethod
    def script(cls, python: Path, file: Path) -> LineChild:
        """A file that needs nothing of ours, run by another interpreter with that one's libraries alone."""
        return cls([str(python), "-I", str(file)], ours=False)

    def tell(self, body: dict[str, Any]) -> None:
        """Send one line. Raises BenchError when the process has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(body).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def hear(self, timeout_s: float) -> dict[str, Any]:
        """The next line. Raises BenchError when none comes in time or the process ended."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            if not select.select([descriptor], [], [], timeout_s)[0]:
                raise BenchError(f"a benchmark's process did not answer within {timeout_s:g} s")
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise self._ended()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> BenchError:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return BenchError("a benchmark's process closed its connection")
        how = f"killed by signal {-code}" if code < 0 else f"ended with status {code}"
        return BenchError(f"a benchmark's process was {how}" if code < 0 else f"a benchmark's process {how}")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> LineChild:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
