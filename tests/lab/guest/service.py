"""The service as the guest's systemd, its control socket and its cgroup show it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

UNIT = "joulepath.service"
SOCKET = "/run/joulepath/control.sock"
CGROUP = Path("/sys/fs/cgroup/system.slice") / UNIT


def properties(names: list[str]) -> dict[str, str]:
    """Properties of the unit."""
    command = ["systemctl", "show", UNIT, "-p", ",".join(names)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def ask(request: dict[str, Any]) -> dict[str, Any] | None:
    """One request over the control socket; None when nobody answers."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20.0)
        try:
            client.connect(SOCKET)
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as stream:
                line = stream.readline()
        except OSError:
            return None
    return json.loads(line) if line else None


def status() -> dict[str, Any] | None:
    """What the daemon says of itself; None when it does not answer."""
    answer = ask({"command": "status"})
    return None if answer is None else answer["status"]


def processes() -> dict[str, list[int]]:
    """The service's processes: ``daemon``, ``camera``, ``engine``."""
    found: dict[str, list[int]] = {"daemon": [], "camera": [], "engine": []}
    numbers = (CGROUP / "cgroup.procs").read_text().split() if CGROUP.exists() else []
    for number in numbers:
        try:
            words = Path("/proc", number, "cmdline").read_bytes().decode()
        except OSError:
            continue
        kind = "camera" if "edge.cameras.child" in words else "engine" if "edge.engines" in words else "daemon"
        found[kind].append(int(number))
    return found


def signal_process(pid: int, number: int) -> None:
    """Send a signal."""
    os.kill(pid, number)


def memory() -> dict[str, int]:
    """The cgroup's figures in bytes, and how often it had to kill."""
    events = dict(line.split() for line in (CGROUP / "memory.events").read_text().splitlines())
    return {
        "current": int((CGROUP / "memory.current").read_text()),
        "peak": int((CGROUP / "memory.peak").read_text()),
        "oom_kill": int(events["oom_kill"]),
    }


def written_bytes(disk: str) -> int:
    """What the service's processes gave a disk to write, late writing by the kernel included; IOAccounting is on.

    Linux, Documentation/admin-guide/cgroup-v2.rst, "io.stat" and "Writeback".
    """
    device = Path(f"/sys/block/{disk}/dev").read_text().strip()
    for line in (CGROUP / "io.stat").read_text().splitlines():
        name, *pairs = line.split()
        if name == device:
            return int(dict(pair.split("=") for pair in pairs)["wbytes"])
    return 0


def lines_in_the_log() -> int:
    """How many lines of the service's own the system's log holds."""
    command = ["journalctl", f"_SYSTEMD_UNIT={UNIT}", "-o", "cat", "--no-pager", "-q"]
    return len(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())


def monotonic_ns() -> int:
    """The clock of the journal's times."""
    return time.monotonic_ns()
