"""Joulepath's adapter against jetson-stats' real service: prints what came as one JSON object.

Run as a program, as root, in mount and process namespaces of its own: it puts a tree over /sys and an empty /run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boards.jetson import open_jetson
from boards.jtop import JtopLink, JtopSensor, child_command, why_not
from boards.roots import Roots
from boards.sensor import BoardError, SensorLost

HERE = Path(__file__).parent
TREES = HERE.parent / "trees"
SOCKET = Path("/run/jtop.sock")
PATIENCE_S = 60.0


def mount_bench(work: Path) -> Roots:
    """/sys as jtop's service shall see it, an empty /run, and the roots of a board that has neither load nor fan."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    sys_root = work / "sys"
    shutil.copytree(TREES / "jetson-orin-nano-jp6/sys", sys_root)
    # As on a board: class/devfreq holds links (jtop 4.3 looks at nothing else), the processors are there.
    gpu = sys_root / "devices/platform/17000000.gpu"
    gpu.parent.mkdir(parents=True)
    (sys_root / "class/devfreq/17000000.gpu").rename(gpu)
    (sys_root / "class/devfreq/17000000.gpu").symlink_to("../../devices/platform/17000000.gpu")
    for number in range(os.cpu_count() or 1):
        (sys_root / f"devices/system/cpu/cpu{number}").mkdir(parents=True)
    subprocess.run(["mount", "--bind", str(sys_root), "/sys"], check=True)
    thor = TREES / "jetson-thor-jp7"
    return Roots(sys=thor / "sys", etc=thor / "etc", run=Path("/run"))


class Service:
    """The real service in a process group of its own."""

    def __init__(self, work: Path, version: str | None = None) -> None:
        log = (work / "service.log").open("ab")
        environment = os.environ | {"PATH": f"{HERE}:{os.environ['PATH']}"}
        command = [sys.executable, str(HERE / "serve.py"), *([version] if version else [])]
        self._process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd="/"
        )
        until(SOCKET.exists)
        time.sleep(1.0)  # the socket is there a moment before the service listens to its queue

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        SOCKET.unlink(missing_ok=True)


def until(come: Callable[[], Any]) -> Any:
    """Wait for something to come true."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = come()
        if found:
            return found
        time.sleep(0.1)
    raise TimeoutError("the bench waited in vain")


def lost(sensor: JtopSensor) -> str | None:
    """Why the sensor gives nothing; None while it does."""
    try:
        sensor.read()
    except SensorLost as error:
        return str(error)
    return None


def demanded(roots: Roots) -> str:
    """What a board says when jtop is demanded and cannot be had."""
    try:
        open_jetson(roots, jtop=True, load_percent=lambda: 0.0).close()
    except BoardError as error:
        return str(error)
    return ""


def as_nobody(ask: Callable[[], str | None]) -> str | None:
    """The answer of a process of another user."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        os.write(writer, (ask() or "").encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text or None


def main(work: Path) -> dict[str, Any]:
    """All that the test asks for."""
    roots = mount_bench(work)
    told: dict[str, Any] = {"without a service": demanded(roots)}
    SOCKET.touch()
    told["a socket that nobody serves"] = demanded(roots)
    SOCKET.unlink()

    service = Service(work)
    told["another user"] = as_nobody(lambda: why_not(roots.run, installed=True))
    board = open_jetson(roots, load_percent=lambda: 0.0)
    told["details"] = {name: board.info.details[name] for name in ("jtop", "power mode")}
    told["values"] = {channel.name: channel.sensor.read().value for channel in board.channels if channel.path == "jtop"}
    board.close()
    told["nano"] = open_nano(roots)

    link = JtopLink(child_command(), retry_s=0.5)
    told["started"] = link.start(PATIENCE_S)
    sensor = JtopSensor(link, "gpu_load")
    sensor.read()
    service.stop()
    told["lost"] = until(lambda: lost(sensor))
    service = Service(work)
    until(lambda: lost(sensor) is None)
    told["back"] = sensor.read().value
    link.close()
    service.stop()

    service = Service(work, version="1.2.3")
    told["another version"] = demanded(roots)
    service.stop()
    return told


def open_nano(roots: Roots) -> dict[str, Any]:
    """A board that reads load and fan itself takes only the mode's name from jtop."""
    nano = TREES / "jetson-orin-nano-jp6"
    board = open_jetson(Roots(sys=nano / "sys", etc=nano / "etc", run=roots.run), load_percent=lambda: 0.0)
    paths = {channel.name: channel.path for channel in board.channels}
    board.close()
    return {
        "from jtop": [name for name, path in paths.items() if path == "jtop"],
        "mode": board.info.details["power mode"],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
