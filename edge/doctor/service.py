"""The systemd service and its control socket."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from boards.roots import Roots
from edge.control import ask, socket_to_ask
from edge.doctor.finding import Finding
from edge.errors import JoulepathError

_UNIT = "joulepath.service"


def service_findings(socket: Path | None, roots: Roots) -> Iterator[Finding]:
    """Whether the unit is installed and active, and whether a daemon answers."""
    if (roots.run / "systemd/system").is_dir() and shutil.which("systemctl"):
        yield _unit()
    place = socket or socket_to_ask()
    if not place.exists():
        yield Finding("note", "daemon", f"none is running (no socket {place})")
        return
    try:
        status = ask(place, {"command": "status"})["status"]
    except JoulepathError as error:
        remedy = "join the group joulepath: sudo usermod -aG joulepath $USER, then log in anew"
        yield Finding("warning", "daemon", str(error), remedy)
        return
    text = (
        f"runs {status['variant']}, {status['frames']} frames, camera {status['camera']}, journal {status['journal']}"
    )
    sound = status["camera"] == "streaming" and status["journal"] == "writing"
    yield Finding("ok" if sound else "warning", "daemon", text)


def _unit() -> Finding:
    asked = ["systemctl", "show", _UNIT, "--property=LoadState,ActiveState,Result,NRestarts"]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
    facts = dict(line.partition("=")[::2] for line in answer.stdout.splitlines())
    if facts.get("LoadState") != "loaded":
        return Finding("note", "service", f"{_UNIT} is not installed", "install the .deb, or see docs/service.md")
    text = f"{facts.get('ActiveState', 'unknown')}, {facts.get('NRestarts', '?')} restarts"
    if facts.get("ActiveState") == "active":
        return Finding("ok", "service", text)
    if facts.get("ActiveState") == "failed":
        return Finding("wrong", "service", f"{text}, {facts.get('Result')}", f"journalctl -u {_UNIT} -e tells why")
    return Finding("note", "service", text, f"sudo systemctl enable --now {_UNIT}")
