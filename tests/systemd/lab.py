"""The service in a container: this interpreter's joulepath behind /usr/bin/joulepath, the unit as it is shipped, and
sensors in a tree of ours over /sys/class."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import edge
from edge.control import ControlError, ask
from edge.journal import JournalReader
from edge.journal.rows import EventRow, StoredFrame, SwitchRow
from tests.systemd.container import Container, wait_for

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = "joulepath.service"
STATE = "/var/lib/joulepath"
SOCKET = "/run/joulepath/control.sock"
WATCHDOG_S = 4.0
_OPT = "/opt/joulepath-lab"
_SENSORS = f"{_OPT}/class"
_MEMBERS = """\
u lab-member - "in the group joulepath" /
m lab-member joulepath
u lab-stranger - "not in it" /
"""
# Nothing of the sandbox is relaxed; it only waits less.
_DROP_IN = f"[Service]\nWatchdogSec={WATCHDOG_S:g}\nRestartSec=200ms\n"
CONFIG = """\
bundle = "demo"
camera = "synthetic:96x128@20"
board = "auto"

[controller]
dwell_s = 0.1
max_temperature_c = 75.0
emergency_temperature_c = 85.0
battery_saving_from = 0.5
battery_critical = 0.05

[camera_process]
freeze_timeout_s = 1.0

[engine]
threads = 1

[journal]
commit_interval_s = 1.0
"""
# What a board's kernel shows: a total rail, a zone, a battery, no mains.
_TREE = {
    "hwmon/hwmon0/name": "ina3221",
    "hwmon/hwmon0/in1_label": "VDD_IN",
    "hwmon/hwmon0/in1_input": "5000",
    "hwmon/hwmon0/curr1_input": "1600",
    "thermal/thermal_zone0/type": "cpu-thermal",
    "thermal/thermal_zone0/temp": "45000",
    "power_supply/BAT0/type": "Battery",
    "power_supply/BAT0/present": "1",
    "power_supply/BAT0/status": "Discharging",
    "power_supply/BAT0/capacity": "90",
}


def files() -> dict[str, str]:
    """What the package would install, and the lab's own."""
    python = f"{_OPT}/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "/usr/lib/systemd/system/joulepath.service": (SYSTEMD / "joulepath.service").read_text(),
        "/usr/lib/sysusers.d/joulepath.conf": (SYSTEMD / "joulepath.sysusers").read_text(),
        "/usr/lib/tmpfiles.d/joulepath.conf": (SYSTEMD / "joulepath.tmpfiles").read_text(),
        "/usr/lib/sysusers.d/joulepath-lab.conf": _MEMBERS,
        "/etc/systemd/system/joulepath.service.d/lab.conf": _DROP_IN,
        "/etc/joulepath/config.toml": (SYSTEMD / "config.toml").read_text(),
        "/usr/bin/joulepath": "#!/bin/sh\n"
        f"export LD_LIBRARY_PATH={_OPT}/python/lib PYTHONPATH={_OPT}/source:{':'.join(_sites().values())}\n"
        f"exec {python} -c 'from edge.cli import main; main()' \"$@\"\n",
        **{f"{_SENSORS}/{path}": text for path, text in _TREE.items()},
    }


def binds() -> dict[Path, str]:
    """This interpreter and its packages, at places that ProtectHome= and PrivateTmp= do not hide."""
    source = Path(edge.__file__).parents[1]
    packages = {source / name: f"{_OPT}/source/{name}" for name in ("boards", "converters", "edge")}
    return {Path(sys.base_prefix): f"{_OPT}/python", **packages, **_sites()}


def _sites() -> dict[Path, str]:
    folders = [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    return {folder: f"{_OPT}/site{number}" for number, folder in enumerate(folders) if folder.is_dir()}


class Lab:
    """What a test does with the service in a booted container."""

    def __init__(self, container: Container, state: Path) -> None:
        """`state` is the host's folder that the container has at /var/lib/joulepath."""
        self.container = container
        self.journal_file = state / "journal.db"
        self.container.run("mount", "--bind", _SENSORS, "/sys/class")
        self._celsius = 45.0
        self._over = threading.Event()
        self._weather = threading.Thread(target=self._breathe, daemon=True)
        self._weather.start()

    def close(self) -> None:
        """The world stands still again."""
        self._over.set()
        self._weather.join()

    # -- the world ----------------------------------------------------------------------------------------------

    def configure(self, text: str = CONFIG) -> None:
        """Write the service's configuration."""
        self.container.path("/etc/joulepath/config.toml").write_text(text)

    def sense(self, battery_percent: int | None = None, celsius: float | None = None) -> None:
        """Change what the sensors read, in place: the daemon keeps its descriptors open."""
        if battery_percent is not None:
            self._write("power_supply/BAT0/capacity", f"{battery_percent}\n")
        if celsius is not None:
            self._celsius = celsius
            self._write_temperature(0.0)

    def _breathe(self) -> None:
        """A temperature that scatters as real ones do: one that stands for ever is rightly taken for a dead sensor."""
        for scatter_c in itertools.cycle((0.1, -0.1, 0.2, 0.0, -0.2)):
            if self._over.wait(0.5):
                return
            self._write_temperature(scatter_c)

    def _write_temperature(self, scatter_c: float) -> None:
        self._write("thermal/thermal_zone0/temp", f"{round(1000 * (self._celsius + scatter_c))}\n")

    def _write(self, name: str, text: str) -> None:
        with self.container.path(f"/sys/class/{name}").open("r+") as file:
            file.write(text)
            file.truncate()

    # -- the service --------------------------------------------------------------------------------------------

    def systemctl(self, *command: str) -> str:
        done = self.container.try_run("systemctl", *command)
        assert done.returncode == 0, f"systemctl {' '.join(command)}: {done.stderr}\n{self.log()}"
        return done.stdout

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.systemctl("show", UNIT, "--value", "-p", name).strip()

    def main_pid(self) -> int:
        """The daemon's process as the host numbers it; 0 when there is none."""
        inside = self.show("MainPID")
        return 0 if inside == "0" else self._on_host(inside)

    def _on_host(self, inside: str) -> int:
        ours = os.stat(f"/proc/{self.container.pid1}/ns/pid").st_ino
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with suppress(OSError, StopIteration):
                status = (folder / "status").read_text().splitlines()
                numbers = next(line.split()[1:] for line in status if line.startswith("NSpid:"))
                if numbers[-1] == inside and os.stat(folder / "ns/pid").st_ino == ours:
                    return int(folder.name)
        return 0  # it ended meanwhile

    def children(self, pid: int) -> dict[str, list[int]]:
        """The daemon's children on the host, by what they are: ``camera`` and ``engine``."""
        found: dict[str, list[int]] = {"camera": [], "engine": []}
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                line = Path(f"/proc/{child}/cmdline").read_bytes().decode()
                for kind, module in (("camera", "edge.cameras.child"), ("engine", "edge.engines.worker")):
                    if module in line:
                        found[kind].append(int(child))
        return found

    def status(self) -> dict[str, Any]:
        """What the daemon says over its control socket."""
        return dict(ask(self.container.path(SOCKET), {"command": "status"})["status"])

    def until(self, what: str, condition: Any, timeout_s: float = 60) -> None:
        """Wait until `condition` holds for the daemon's status."""
        seen: dict[str, Any] = {}

        def holds() -> bool:
            with suppress(ControlError):
                seen.update(self.status())
                return bool(condition(seen))
            return False

        wait_for(holds, timeout_s, lambda: f"{what}; status: {seen}; log:\n{self.log()}")

    def restarted(self, old_pid: int, timeout_s: float = 60) -> None:
        """Wait until another daemon runs in the old one's place, and is ready."""

        def anew() -> bool:
            return self.show("ActiveState") == "active" and self.main_pid() not in (0, old_pid)

        wait_for(anew, timeout_s, lambda: f"a restart; the unit is {self.show('ActiveState')}; log:\n{self.log()}")

    def log(self, lines: int = 40) -> str:
        """The service's last lines in the system's log."""
        return self.container.run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager", "-n", str(lines))

    def said_by_systemd(self) -> list[tuple[int, str]]:
        """What PID 1 logged about the unit: monotonic microseconds, text."""
        lines = self.container.run("journalctl", "_PID=1", f"UNIT={UNIT}", "-o", "json", "--no-pager").splitlines()
        entries = [json.loads(line) for line in lines]
        return [(int(entry["__MONOTONIC_TIMESTAMP"]), str(entry["MESSAGE"])) for entry in entries]

    # -- the journal --------------------------------------------------------------------------------------------

    def journal(self) -> JournalReader:
        """The service's journal, for reading."""
        return JournalReader(self.journal_file)

    def frames(self, most: int) -> list[StoredFrame]:
        """The last run's first frames, as far as they are committed."""
        with self.journal() as reader:
            return list(islice(reader.frames(reader.run().id), most))

    def events(self, kind: str) -> list[EventRow]:
        """The last run's events of a kind."""
        with self.journal() as reader:
            return [event for event in reader.events(reader.run().id) if event.kind == kind]

    def switches(self) -> list[SwitchRow]:
        """The last run's switches."""
        with self.journal() as reader:
            return reader.switches(reader.run().id)
