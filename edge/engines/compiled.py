"""TFLite files by ai-edge-litert's CompiledModel, whose paths share one set of packed weights.

The plain interpreter packs the weights of every signature by itself, into memory of its own. CompiledModel has one
weight cache for all signatures of a file: a file that is memory-mapped, so that the kernel may take its pages back. It
is made in memory first, because the library writes it bit by bit under its final name and ends the whole process when
a disk is full. `WeightCache` keeps a copy, and from then on the kept file is what is mapped.

Only for float files. Packed integer weights hold what belongs to one path (the scales and zero points of its
activations), but the library finds them by weights and bias alone: seen on a file of five int8 paths, the first path's
packing served all, and the logits of the others were off by several percent.

`CompiledModel.run` holds Python's lock: this is for an engine's own process only.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np

from edge.engines.contract import Array, EngineError, ModelRefused, RunTimes, Session, TensorSpec
from edge.engines.flatfile import is_quantized
from edge.engines.litert import LiteRtEngine, check_tensor, first_line
from edge.engines.weightcache import CacheProblem, WeightCache, cache_key

_LIBRARY = "ai-edge-litert"
# The header alone is 128 bytes: then nothing was packed, and there is nothing to keep.
_LEAST_BYTES = 4096
_DTYPES = ("float32", "float16", "int32", "int8", "uint8", "bool")

Say = Callable[[str], None]


class _CannotShare(Exception):
    """This library or this file is one for the plain interpreter."""


def load_sharing(
    engine: LiteRtEngine,
    file: Path,
    signatures: Sequence[str | None],
    threads: int,
    *,
    model_sha256: str,
    folder: Path | None,
    cpuinfo: Path = Path("/proc/cpuinfo"),
    say: Say = lambda _: None,
) -> Session:
    """Load `signatures` of `file` with shared weights, kept in `folder`; by the plain interpreter where that cannot be.

    What a user may want to know of the cache goes to `say`. Raises what `engine.load` raises.
    """
    try:
        opener = _Opener(engine, file, signatures, threads)
        cache = _cache(engine, threads, model_sha256, folder, cpuinfo)
        return _opened(opener, cache, say)
    except _CannotShare:
        return engine.load(file, signatures, threads)


def _cache(
    engine: LiteRtEngine, threads: int, model_sha256: str, folder: Path | None, cpuinfo: Path
) -> WeightCache | None:
    if folder is None:
        return None
    try:
        processor = cpuinfo.read_text(errors="replace")
    except OSError:
        processor = ""
    return WeightCache(folder, cache_key(model_sha256, f"{engine.name} {engine.version}", threads, processor))


def _opened(opener: _Opener, cache: WeightCache | None, say: Say) -> Session:
    if cache is not None:
        try:
            kept = cache.find()
        except CacheProblem as problem:
            say(f"packed weights {problem}")
            kept = None
        if kept is not None:
            return _from_kept(opener, cache, kept, say)
    fd = os.memfd_create("joulepath-weights")
    try:
        session = opener(f"/proc/self/fd/{fd}")
        if cache is None or os.fstat(fd).st_size < _LEAST_BYTES:
            return session
        try:
            kept = cache.keep(fd)
        except CacheProblem as problem:
            say(f"packed weights {problem}")
            return session
    finally:
        os.close(fd)
    # Pages of a file may be taken back when memory is short, those of the memory file may not: change over.
    session.close()
    return _from_kept(opener, cache, kept, say)


def _from_kept(opener: _Opener, cache: WeightCache, kept: Path, say: Say) -> Session:
    before = _state(kept)
    session = opener(str(kept))
    if _state(kept) != before:
        # The library found it of no use and wrote over it. What this process maps is good; the name is not any more.
        cache.drop(kept)
        say(f"packed weights in {kept} were not taken by the library; they are made anew at the next start")
    return session


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


class _Opener:
    """Opens one file with a weight cache at a given place. Raises _CannotShare, also when made."""

    def __init__(self, engine: LiteRtEngine, file: Path, signatures: Sequence[str | None], threads: int) -> None:
        if engine.name != _LIBRARY or None in signatures or not _is_float(file):
            raise _CannotShare
        try:
            self._models = importlib.import_module("ai_edge_litert.compiled_model")
            self._models.CpuOptions(num_threads=threads, xnnpack_weight_cache_path="")
            environment = importlib.import_module("ai_edge_litert.environment")
            # An empty place: accelerators other than the processor are not looked for beside the library.
            self._environment = environment.Environment.create(options=environment.EnvironmentOptions(runtime_path="/"))
        except (ImportError, AttributeError, TypeError, RuntimeError) as error:  # a library before 2.3
            raise _CannotShare from error
        self._file, self._threads = file, threads
        self._signatures = [signature for signature in signatures if signature is not None]

    def __call__(self, packed: str) -> CompiledSession:
        models = self._models
        options = models.Options(
            models.HardwareAccelerator.CPU,
            cpu_options=models.CpuOptions(num_threads=self._threads, xnnpack_weight_cache_path=packed),
        )
        try:
            model = models.CompiledModel.from_file(str(self._file), environment=self._environment, options=options)
            return CompiledSession(self._file, model, self._signatures)
        except EngineError:
            raise
        except Exception as error:  # whatever is wrong with the file, the interpreter says it better
            raise _CannotShare from error


def _is_float(file: Path) -> bool:
    try:
        return not is_quantized(file)
    except ModelRefused:  # what is wrong with it, the interpreter says better
        return False


@dataclass(frozen=True)
class _Graph:
    """One signature: its number, its buffers in the library's order, and its tensors in ours (by name)."""

    number: int
    given: list[Any]
    results: list[Any]
    input_specs: tuple[TensorSpec, ...]
    output_specs: tuple[TensorSpec, ...]
    output_places: tuple[int, ...]  # of `output_specs` in `results`


class CompiledSession:
    """A file in memory whose signatures share weights, and buffers for inputs and outputs of equal shape."""

    def __init__(self, file: Path, model: Any, signatures: Sequence[str]) -> None:
        self._file, self._model = file, model
        self._buffers: dict[tuple[str, int, TensorSpec], Any] = {}
        self._read = _reader()
        known = model.get_signature_list()
        lacking = [signature for signature in signatures if signature not in known]
        if lacking:
            names = ", ".join(sorted(known)) or "none"
            raise ModelRefused(f"{file.name}: has no signature {lacking[0]!r}; it has: {names}")
        self._graphs = {signature: self._graph(signature, known[signature]) for signature in signatures}

    def inputs(self, signature: str | None) -> tuple[TensorSpec, ...]:
        return self._of(signature).input_specs

    def outputs(self, signature: str | None) -> tuple[TensorSpec, ...]:
        return self._of(signature).output_specs

    def run(self, signature: str | None, given: Array, result: Array, index: int = 0) -> RunTimes:
        graph = self._of(signature)
        check_tensor(self._file, signature, "input", graph.input_specs, 0, given)
        check_tensor(self._file, signature, "output", graph.output_specs, index, result)
        try:
            start_ns = monotonic_ns()
            graph.given[0].write(given)
            copied_in_ns = monotonic_ns()
            self._model.run_by_index(graph.number, graph.given, graph.results)
            invoked_ns = monotonic_ns()
            self._read(graph.results[graph.output_places[index]], result)
        except Exception as error:
            raise EngineError(f"{self._file.name}: inference failed: {first_line(error)}") from error
        return RunTimes(start_ns, copied_in_ns, invoked_ns, monotonic_ns())

    def close(self) -> None:
        self._graphs.clear()
        self._buffers.clear()
        if self._model is not None:
            self._model.close()
        self._model = None

    def _of(self, signature: str | None) -> _Graph:
        assert signature is not None  # a file without signatures is for the plain interpreter
        return self._graphs[signature]

    def _graph(self, signature: str, names: dict[str, list[str]]) -> _Graph:
        inputs, outputs = names["inputs"], names["outputs"]
        if len(inputs) != 1:
            raise ModelRefused(f"{self._file.name}: takes {len(inputs)} inputs; a bundle's model takes one image")
        of_inputs = _specs(self._model.get_input_tensor_details(signature))
        of_outputs = _specs(self._model.get_output_tensor_details(signature))
        return _Graph(
            self._model.get_signature_index(signature),
            [self._buffer("in", signature, name, of_inputs[name], 0) for name in inputs],
            [self._buffer("out", signature, name, of_outputs[name], place) for place, name in enumerate(outputs)],
            tuple(of_inputs[name] for name in sorted(inputs)),
            tuple(of_outputs[name] for name in sorted(outputs)),
            tuple(outputs.index(name) for name in sorted(outputs)),
        )

    def _buffer(self, role: str, signature: str, name: str, spec: TensorSpec, place: int) -> Any:
        """One buffer for all tensors of a shape: signatures never run at the same time."""
        key = (role, place, TensorSpec("", spec.shape, spec.dtype))
        if key not in self._buffers:
            make = self._model.create_input_buffer_by_name if role == "in" else self._model.create_output_buffer_by_name
            self._buffers[key] = make(signature, name)
        return self._buffers[key]


def _specs(details: dict[str, Any]) -> dict[str, TensorSpec]:
    """By name. The library does not tell how a tensor is quantized: the manifest does."""
    found = {
        name: TensorSpec(str(one["name"]), tuple(int(n) for n in one["shape"]), str(one["dtype"]))
        for name, one in details.items()
    }
    if any(spec.dtype not in _DTYPES or min(spec.shape, default=1) < 1 for spec in found.values()):
        raise _CannotShare
    return found


def _reader() -> Callable[[Any, Array], None]:
    """Copies a buffer into an array: once where the library's inner call is as we know it, else by its public one."""
    inner = getattr(importlib.import_module("ai_edge_litert.tensor_buffer"), "_tb", None)
    into = getattr(inner, "ReadTensorToBuffer", None)

    def read(buffer: Any, result: Array) -> None:
        if into is not None and result.flags.c_contiguous:
            into(buffer.capsule, result.reshape(-1), result.dtype.name)
        else:
            np.copyto(result, buffer.read(result.size, result.dtype).reshape(result.shape))

    return read
