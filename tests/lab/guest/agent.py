"""Runs in the guest: reads requests from a virtio port, one JSON object a line, and answers each when it is done.

{"id": 1, "command": "uname -r", "timeout_s": 5}                          -> {"id": 1, "rc": 0, "out": "..."}
{"id": 2, "call": "board.set_battery", "arguments": {"capacity": 80}}     -> {"id": 2, "value": ...}

Every request runs in a thread of its own, so a slow one holds up no other. The first line it writes is {"id": 0}.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

PORT_NAME = "org.joulepath.lab"
TIMED_OUT = 124


def find_port() -> Path:
    """The device of the lab's virtio port; waits for its driver."""
    while True:
        for name in Path("/sys/class/virtio-ports").glob("*/name"):
            if name.read_text().strip() == PORT_NAME:
                return Path("/dev") / name.parent.name
        time.sleep(0.2)


def run(command: str, timeout_s: float) -> dict[str, Any]:
    """Run a shell command; its two channels come back as one text. At the time limit its whole group is killed."""
    process = subprocess.Popen(
        ["/bin/bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=timeout_s)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        code = TIMED_OUT
    return {"rc": code, "out": out.decode(errors="replace")}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What one request came to; a call that fails answers with its traceback."""
    try:
        if "command" in request:
            return run(request["command"], request["timeout_s"])
        module, _, function = request["call"].rpartition(".")
        return {"value": getattr(importlib.import_module(module), function)(**request["arguments"])}
    except Exception:
        return {"error": traceback.format_exc()}


def serve(port: int) -> None:
    """Answer requests until the machine goes down."""
    lock = threading.Lock()

    def reply(body: dict[str, Any]) -> None:
        data = json.dumps(body).encode() + b"\n"
        with lock:
            while data:
                data = data[os.write(port, data) :]

    def work(request: dict[str, Any]) -> None:
        reply({"id": request["id"], **answer(request)})

    reply({"id": 0})
    waiting = b""
    while True:
        read = os.read(port, 65536)
        if not read:  # nobody listens on the other side
            time.sleep(0.2)
        waiting += read
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            threading.Thread(target=work, args=(json.loads(line),), daemon=True).start()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    serve(os.open(find_port(), os.O_RDWR))
