"""A .tflite file of one signature on this machine's engine: logits, and time beside another file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from types import TracebackType

import numpy as np
import numpy.typing as npt

from converters.quiet import quiet
from edge.engines.contract import Array
from edge.engines.litert import open_litert

SIGNATURE = "path"
_WARM_UP = 2


class Running:
    """Loaded, one thread unless told otherwise. Raises EngineError."""

    def __init__(self, content: bytes, threads: int = 1) -> None:
        with quiet(), tempfile.NamedTemporaryFile(prefix="joulepath-", suffix=".tflite") as file:
            file.write(content)
            file.flush()
            self._session = open_litert().load(Path(file.name), [SIGNATURE], threads)
        (self._output,) = self._session.outputs(SIGNATURE)
        (self._input,) = self._session.inputs(SIGNATURE)
        self._result: Array = np.empty(self._output.shape, self._output.dtype)

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Array:
        """Logits hxwxK of an image (height x width x 3, BGR) at the input's size; valid until the next call."""
        self._session.run(SIGNATURE, pixels[None].astype(np.float32), self._result)
        logits: Array = self._result[0]
        return logits

    def time_ms(self, clock: Callable[[], int] = monotonic_ns) -> float:
        """One inference on a grey image."""
        grey = np.full(self._input.shape, 127, np.float32)
        start_ns = clock()
        self._session.run(SIGNATURE, grey, self._result)
        return (clock() - start_ns) / 1e6

    def close(self) -> None:
        """Free the memory."""
        self._session.close()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def interleaved(models: dict[str, Running], rounds: int) -> dict[str, npt.NDArray[np.float64]]:
    """Milliseconds of each model in each round; all take turns, so that what else the machine does meets all alike."""
    for model in models.values():
        for _ in range(_WARM_UP):
            model.time_ms()
    times = np.array([[model.time_ms() for model in models.values()] for _ in range(rounds)])
    return {name: times[:, place] for place, name in enumerate(models)}


def ratio(times: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    """Median over rounds of one model's time to another's in the same round."""
    return float(np.median(times / reference))
