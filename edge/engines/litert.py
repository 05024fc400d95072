"""TFLite files by ai-edge-litert, or by tflite-runtime where that is what is installed.

The two are the same interpreter with other module names. Their signature runner resizes, allocates and copies each
output into a fresh array on every call; so a session talks to the interpreter's own per-graph calls, which both
libraries share, and copies once each way between the tensors and the caller's memory.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np

from edge.engines.contract import (
    Array,
    EngineBroken,
    EngineError,
    EngineMissing,
    ModelRefused,
    RunTimes,
    TensorSpec,
)

# Preferred first: ai-edge-litert runs every graph measured at least as fast, float networks 1.5 to 2.5 times.
LIBRARIES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
_INSTALL = "install one with: pip install ai-edge-litert   (or: pip install tflite-runtime 'numpy<2')"


def open_litert(library: str = "auto") -> LiteRtEngine:
    """The engine on `library`: ``ai-edge-litert``, ``tflite-runtime``, or ``auto`` for the first that imports.

    Raises EngineMissing or EngineBroken. A library that imports but cannot make an interpreter shows at `load`.
    """
    if library != "auto" and library not in LIBRARIES:
        raise EngineMissing(f"engine library {library!r} is not known; use auto, {' or '.join(LIBRARIES)}")
    wanted = LIBRARIES if library == "auto" else {library: LIBRARIES[library]}
    broken: list[str] = []
    for name, module in wanted.items():
        try:
            interpreter = importlib.import_module(module).Interpreter
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != module.split(".")[0]:
                broken.append(f"{name} is installed but {error.name} is not")
            continue
        except Exception as error:  # a wheel for another libc or numpy fails in many ways
            broken.append(f"{name} is installed but cannot be imported ({first_line(error)})")
            continue
        return LiteRtEngine(name, _version(name), interpreter)
    if broken:
        raise EngineBroken(f"{'; '.join(broken)}; {_INSTALL}")
    raise EngineMissing(f"{' and '.join(wanted)} not installed here; {_INSTALL}")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class LiteRtEngine:
    """One of the two libraries, imported."""

    name: str
    version: str
    interpreter: Any  # the library's Interpreter class

    def load(self, file: Path, signatures: Sequence[str | None], threads: int) -> LiteRtSession:
        """Load `file` and allocate its graphs. Raises ModelRefused or EngineBroken."""
        if not file.is_file():
            raise ModelRefused(f"{file}: no such file")
        try:
            loaded = self.interpreter(model_path=str(file), num_threads=threads)
            # Before any signature: tflite-runtime 2.14 otherwise leaves XNNPACK out, which more than doubles the time.
            loaded.allocate_tensors()
            return LiteRtSession(file, loaded, signatures)
        except EngineError:
            raise
        except Exception as error:
            raise self._explain(file, error) from error

    def _explain(self, file: Path, error: BaseException) -> EngineError:
        text = " ".join(str(e) for e in (error, error.__cause__, error.__context__) if e is not None)
        if "_ARRAY_API" in text or isinstance(error, SystemError):
            return EngineBroken(
                f"{self.name} {self.version} cannot work with numpy {np.__version__}: it was built for numpy 1. "
                "Remedy: pip install 'numpy<2', or pip install ai-edge-litert"
            )
        lacking = _lacking_operations(text)
        if lacking:
            return ModelRefused(
                f"{file.name}: needs {', '.join(lacking)}, which {self.name} {self.version} does not have; "
                "convert the model without it, or use another engine library"
            )
        said = first_line(error)
        return ModelRefused(f"{file.name}: {self.name} {self.version} cannot load it ({said}); is it damaged?")


def _lacking_operations(text: str) -> list[str]:
    custom = re.findall(r"unresolved custom op: ([\w.:-]+?)\.?(?:\s|$)", text)
    flex = ["TensorFlow's own operations (Select TF ops)"] if "Select TensorFlow op" in text else []
    builtin = [
        f"{name} version {version}"
        for name, version in re.findall(r"find op for builtin opcode '(\w+)' version '(\d+)'", text)
    ]
    return list(dict.fromkeys(custom + builtin + flex))


def first_line(error: BaseException) -> str:
    """What a library's error says first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@dataclass(frozen=True)
class _Graph:
    """Where one signature lives: its graph and the indices of its tensors there."""

    subgraph: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_specs: tuple[TensorSpec, ...]
    output_specs: tuple[TensorSpec, ...]


class LiteRtSession:
    """A file in memory, all wanted graphs allocated."""

    def __init__(self, file: Path, interpreter: Any, signatures: Sequence[str | None]) -> None:
        self._file = file
        self._interpreter = interpreter
        # The calls with a subgraph index exist only on the inner object, in both libraries since 2.5.
        self._inner = interpreter._interpreter
        self._graphs = {signature: self._find(signature) for signature in signatures}

    def inputs(self, signature: str | None) -> tuple[TensorSpec, ...]:
        return self._graphs[signature].input_specs

    def outputs(self, signature: str | None) -> tuple[TensorSpec, ...]:
        return self._graphs[signature].output_specs

    def run(self, signature: str | None, given: Array, result: Array, index: int = 0) -> RunTimes:
        graph = self._graphs[signature]
        check_tensor(self._file, signature, "input", graph.input_specs, 0, given)
        check_tensor(self._file, signature, "output", graph.output_specs, index, result)
        inner, subgraph = self._inner, graph.subgraph
        start_ns = monotonic_ns()
        # Views of tensors are taken anew each time and dropped at once: an invoke may move the memory.
        np.copyto(inner.tensor(inner, graph.inputs[0], subgraph), given)
        copied_in_ns = monotonic_ns()
        try:
            inner.Invoke(subgraph)
        except Exception as error:
            raise EngineError(f"{self._file.name}: inference failed: {first_line(error)}") from error
        invoked_ns = monotonic_ns()
        np.copyto(result, inner.tensor(inner, graph.outputs[index], subgraph))
        return RunTimes(start_ns, copied_in_ns, invoked_ns, monotonic_ns())

    def close(self) -> None:
        self._graphs.clear()
        self._inner = self._interpreter = None

    def _find(self, signature: str | None) -> _Graph:
        if signature is None:
            subgraph = 0
            inputs = [int(i) for i in self._inner.InputIndices()]
            outputs = [int(i) for i in self._inner.OutputIndices()]
        else:
            known = self._inner.GetSignatureDefs() or {}
            if signature not in known:
                names = ", ".join(sorted(known)) or "none"
                raise ModelRefused(f"{self._file.name}: has no signature {signature!r}; it has: {names}")
            subgraph = int(self._inner.GetSubgraphIndexFromSignature(signature))
            inputs = [int(i) for _, i in sorted(known[signature]["inputs"].items())]
            outputs = [int(i) for _, i in sorted(known[signature]["outputs"].items())]
            self._inner.AllocateTensors(subgraph)
        if len(inputs) != 1:
            raise ModelRefused(f"{self._file.name}: takes {len(inputs)} inputs; a bundle's model takes one image")
        return _Graph(
            subgraph,
            tuple(inputs),
            tuple(outputs),
            tuple(self._spec(i, subgraph) for i in inputs),
            tuple(self._spec(i, subgraph) for i in outputs),
        )

    def _spec(self, index: int, subgraph: int) -> TensorSpec:
        inner = self._inner
        shape = tuple(int(n) for n in inner.TensorSize(index, subgraph))
        dtype = np.dtype(inner.TensorType(index, subgraph)).name
        quantum, zero_point = inner.TensorQuantization(index, subgraph)
        quantized = float(quantum) != 0.0
        return TensorSpec(
            str(inner.TensorName(index, subgraph)),
            shape,
            dtype,
            float(quantum) if quantized else None,
            int(zero_point) if quantized else None,
        )


def check_tensor(
    file: Path, signature: str | None, role: str, specs: tuple[TensorSpec, ...], index: int, array: Array
) -> None:
    """Raise ModelRefused when `array` is not what tensor number `index` of `specs` takes or gives."""
    if index >= len(specs):
        raise ModelRefused(f"{file.name}: has {len(specs)} {role}s, number {index} was asked for (from 0)")
    spec = specs[index]
    if array.shape != spec.shape or array.dtype.name != spec.dtype:
        where = f"{file.name}" + (f" [{signature}]" if signature else "")
        raise ModelRefused(
            f"{where}: {role} is {_words(spec.shape, spec.dtype)}, "
            f"not {_words(array.shape, array.dtype.name)}; check the bundle's manifest"
        )


def _words(shape: tuple[int, ...], dtype: str) -> str:
    return "x".join(map(str, shape)) + f" {dtype}"
