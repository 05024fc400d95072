"""What an engine is. Light on purpose: the worker process imports this and little more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from edge.errors import JoulepathError

Array = npt.NDArray[np.generic]


class EngineError(JoulepathError):
    """An engine could not do what was asked."""


class EngineMissing(EngineError):
    """No inference library is installed, or not the one that was asked for."""


class EngineBroken(EngineError):
    """A library is installed but cannot work here, such as tflite-runtime beside numpy 2."""


class ModelRefused(EngineError):
    """The file is not a model that this engine can run: damaged, an unknown operation, another shape than declared."""


class EngineLost(EngineError):
    """The worker process died or does not answer; it can be started again."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model as the file declares it.

    `shape` has no unknown dimension left (an unknown one counts as 1); ``quantum`` and ``zero_point`` are set for a
    tensor that is quantized as a whole: ``real = (stored - zero_point) * quantum``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str  # numpy's name: float32, uint8, int64 ...
    quantum: float | None = None
    zero_point: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of one tensor."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


class RunTimes(NamedTuple):
    """When the steps of one inference ended, in nanoseconds of the monotonic clock."""

    start_ns: int  # before the copy in
    copied_in_ns: int
    invoked_ns: int
    end_ns: int  # after the copy out


class Session(Protocol):
    """A loaded file. Signature ``None`` is the first graph of a file, with or without signatures."""

    def inputs(self, signature: str | None) -> tuple[TensorSpec, ...]:
        """The declared inputs, in order of the file (by name when a signature is named)."""
        ...

    def outputs(self, signature: str | None) -> tuple[TensorSpec, ...]:
        """The declared outputs, in order of the file (by name when a signature is named)."""
        ...

    def run(self, signature: str | None, given: Array, result: Array, index: int = 0) -> RunTimes:
        """Copy `given` in, run, and copy output number `index` to `result`; shapes and dtypes must be the declared.

        Raises ModelRefused when they are not, and EngineError when the inference fails.
        """
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class Engine(Protocol):
    """A library that can load files."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def load(self, file: Path, signatures: Sequence[str | None], threads: int) -> Session:
        """Load and allocate `signatures` of `file`. Raises EngineError."""
        ...
