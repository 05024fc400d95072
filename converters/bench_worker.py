"""One model on one engine in a process of its own, told by its parent when to run (`converters.bench_model`).

The process is the isolation: each engine has its own threads, its own allocator and, with another interpreter, its own
numpy. So this file needs nothing but the standard library, numpy and the engine that it is asked for; only the PyTorch
engine imports more of ours. The first line in is a plan, the first line out says ready or why not; then each line in
is one turn: a settling run that is not counted, and `runs` timed ones.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Opened:
    """A loaded model. `run` is what is timed: an image in, and the output lies in memory when it returns.

    `read` turns what `run` returned into an array; it is not timed, since who reads the output need not copy it.
    """

    run: Callable[[Any], Any]
    version: str
    read: Callable[[Any], Any] = lambda answer: answer


class EngineAbsentError(Exception):
    """This engine cannot run this model here; the message is a table's cell."""


def main() -> None:
    """Serve the plan on standard input until its end."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines print to standard output; answers must not mix with that

    def answer(body: dict[str, Any]) -> None:
        answers.write(json.dumps(body) + "\n")
        answers.flush()

    plan = json.loads(sys.stdin.readline())
    try:
        opened = _open(plan["engine"], plan["model"], plan["threads"])
        given = np.load(plan["input"])
        np.save(plan["output"], np.asarray(opened.read(opened.run(given))))
    except EngineAbsentError as error:
        answer({"missing": str(error)})
        return
    except ModuleNotFoundError as error:
        answer({"missing": f"{error.name} is not installed"})
        return
    except Exception as error:  # whatever an engine raises means that it cannot run this model
        answer({"missing": f"refused: {(str(error).strip().splitlines() or [type(error).__name__])[0][:160]}"})
        return
    answer({"version": opened.version, "numpy": np.__version__})
    for line in sys.stdin:
        answer(_turn(opened.run, given, json.loads(line)["runs"]))


def _turn(run: Callable[[Any], Any], given: Any, runs: int) -> dict[str, Any]:
    run(given)
    times_ms, cpu_before, wall_before = [], time.process_time(), time.perf_counter()
    for _ in range(runs):
        began_ns = time.perf_counter_ns()
        run(given)
        times_ms.append((time.perf_counter_ns() - began_ns) / 1e6)
    busy_cores = (time.process_time() - cpu_before) / max(1e-9, time.perf_counter() - wall_before)
    return {"times_ms": times_ms, "busy_cores": busy_cores}


def _open(engine: str, model: str, threads: int) -> Opened:
    openers = {
        "ai-edge-litert": _litert,
        "tflite-runtime": _tflite_runtime,
        "onnxruntime": _onnxruntime,
        "openvino": _openvino,
        "openvino-bf16": _openvino_bf16,
        "torch": _torch,
    }
    return openers[engine](model, threads)


def _litert(model: str, threads: int) -> Opened:
    from ai_edge_litert.interpreter import Interpreter

    return _interpreter(Interpreter, model, threads, _version("ai-edge-litert"))


def _tflite_runtime(model: str, threads: int) -> Opened:
    from tflite_runtime.interpreter import Interpreter

    if int(np.__version__.split(".")[0]) >= 2:
        raise EngineAbsentError("tflite-runtime needs numpy 1; name an interpreter that has it with --tflite-python")
    return _interpreter(Interpreter, model, threads, _version("tflite-runtime"))


def _interpreter(make: Any, model: str, threads: int, version: str) -> Opened:
    interpreter = make(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    given, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(image: Any) -> None:
        interpreter.set_tensor(given, image)
        interpreter.invoke()

    return Opened(run, version, lambda _: interpreter.get_tensor(result))


def _onnxruntime(model: str, threads: int) -> Opened:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return Opened(lambda image: session.run(None, {name: image})[0], onnxruntime.__version__)


def _openvino(model: str, threads: int, precision: str = "f32") -> Opened:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    # Both sides shared: neither the input nor the output is copied.
    return Opened(
        lambda image: request.infer({0: image}, share_inputs=True, share_outputs=True)[0],
        openvino.__version__.split("-")[0],
    )


def _openvino_bf16(model: str, threads: int) -> Opened:
    with open("/proc/cpuinfo") as cpuinfo:
        text = cpuinfo.read()
    if "amx_bf16" not in text and "avx512_bf16" not in text:
        raise EngineAbsentError("this processor has no bf16 instructions")
    return _openvino(model, threads, "bf16")


def _torch(model: str, threads: int) -> Opened:
    import torch

    from converters.bench_torch import open_eager

    torch.set_num_threads(threads)
    network = open_eager(model)

    def run(image: Any) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(image)).numpy()

    return Opened(run, torch.__version__.split("+")[0])


def _version(distribution: str) -> str:
    return importlib.metadata.version(distribution)


if __name__ == "__main__":
    main()
