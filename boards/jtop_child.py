"""The process that speaks to jtop's service: run as a program, it prints one JSON object a line until it is ended.

It uses jetson-stats' own client (AGPL-3.0, installed by the user or not at all; 4.3.x and 7.x). Apart, because that
client sets the start method of multiprocessing for its whole process, starts a thread that runs programs, unpickles
what the service sends, and may block. Nothing here is imported by Joulepath.

First line: {"version": ..., "interval_s": ...}. Then, at the service's interval, what of these is known:
{"gpu_load": 0..1, "fan": 0..1, "power_mode": "15W"}. Last, when it cannot go on: {"error": "..."}.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

INTERVAL_S = 1.0  # what jtop itself uses; the service takes the first client's


def main() -> int:
    """Follow the service; returns the exit status."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]  # jtop.py here would hide theirs
    told = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # the client prints to stdout now and then
    try:
        _follow(told)
    except BrokenPipeError:  # nobody listens any more
        return 0
    except Exception as error:
        # Not only its own exception: a service of another Python version fails in pickle's ways.
        _tell(told, {"error": " ".join(f"{error}".split()) or type(error).__name__})
    return 1


def _follow(told: TextIO) -> None:
    import importlib

    package = importlib.import_module("jtop")
    client: Any = package.jtop(interval=INTERVAL_S)
    client.start()
    _tell(told, {"version": str(package.__version__), "interval_s": float(client.interval)})
    while client.ok():
        _tell(told, _state(client))
    raise TimeoutError("the service sends nothing any more")


def _state(client: Any) -> dict[str, float | str]:
    """What the client knows now. A part that this board has not, or this version names otherwise, is left out."""
    state: dict[str, float | str] = {}
    for load in _each(client.gpu, lambda gpu: gpu["status"]["load"]):
        state["gpu_load"] = load
    for speed in _each(client.fan, lambda fan: max(fan["speed"])):
        state["fan"] = speed
    with suppress(AttributeError, KeyError, TypeError):
        state["power_mode"] = str(client.nvpmodel.name)
    return state


def _each(devices: Any, percent: Any) -> list[float]:
    """The first device's figure as a share; empty where there is none."""
    for device in devices.values():
        try:
            return [float(percent(device)) / 100.0]
        except (KeyError, TypeError, ValueError):
            continue
    return []


def _tell(told: TextIO, what: dict[str, Any]) -> None:
    told.write(json.dumps(what) + "\n")


if __name__ == "__main__":
    # Not sys.exit: the client's threads and queues may hold the interpreter for seconds.
    status = main()
    sys.stderr.flush()
    os._exit(status)
