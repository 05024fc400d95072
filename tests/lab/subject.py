"""The service on a machine: installed from our package, configured, and asked how it fares."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.edge.tiny import write_bundle
from tests.lab.machine import Machine

PYTHON = "/usr/lib/joulepath/bin/python3"
BUNDLE = "/opt/joulepath-lab/bundle"
CAMERA = "/dev/video0:180x320@10"
COMMIT_INTERVAL_S = 2.0
WATCHDOG_S = 20
LOG_ROOM_BYTES = 4_000_000  # the journal's log has its room after the fourth commit (edge/journal/reserve.py)
# The demo network computes for minutes a frame under emulation, so the lab's network is a few thousand operations; all
# else is as it is shipped.
CONFIG = f"""\
bundle = "{BUNDLE}"
camera = "{CAMERA}"
board = "linux"

[controller]
dwell_s = 0.5
max_temperature_c = 75.0
emergency_temperature_c = 85.0

[engine]
threads = 1

[journal]
commit_interval_s = {COMMIT_INTERVAL_S}
"""
# An emulated processor on a busy machine may need minutes for what a board does in seconds.
PATIENCE = "[Service]\nTimeoutStartSec=15min\n"
DROP_IN = f"[Service]\nWatchdogSec={WATCHDOG_S}\n"
DROP_INS = "/etc/systemd/system/joulepath.service.d"
INSTALL_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Installation:
    """What `dpkg -i` on a fresh system came to, and how the service stood right after."""

    rc: int
    out: str
    seconds: float
    unit: dict[str, str]


class Subject:
    """A machine with our package on it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    # -- the package ------------------------------------------------------------------------------------------

    def install(self, deb: Path) -> Installation:
        """Install a package, which starts its service, and wait until that has come up, as far as it does."""
        self.drop_in("patience", PATIENCE)
        place = self.machine.put(deb)
        began = time.monotonic()
        rc, out = self.machine.run(f"dpkg -i {place}", timeout_s=INSTALL_TIMEOUT_S)
        seconds = time.monotonic() - began
        if rc == 0:  # the package asks for the start and does not wait for it
            settled = ("active", "failed")
            self.until_true("start", lambda: self.show("ActiveState")["ActiveState"] in settled, INSTALL_TIMEOUT_S)
        return Installation(rc, out, seconds, self.show("ActiveState", "UnitFileState", "StatusText", "NRestarts"))

    def configure(self, text: str = CONFIG) -> None:
        """The lab's bundle and configuration, and a watchdog that bites sooner; the service is restarted."""
        bundle = write_bundle_into(self.machine)
        self.machine.ok(f"mkdir -p {BUNDLE} && cp {bundle}/* {BUNDLE}/")
        self.drop_in("watchdog", DROP_IN)
        self.write_config(text)
        self.restart()

    def restart(self) -> None:
        """Start the service anew and wait for its first frames."""
        daemon = self.daemon()
        self.machine.ok(
            "systemctl daemon-reload; systemctl reset-failed joulepath; systemctl --no-block restart joulepath"
        )
        self.restarted(daemon, timeout_s=600)

    def write_config(self, text: str) -> None:
        """The service's configuration; it reads it at its next start or reload."""
        self.machine.ok(f"cat > /etc/joulepath/config.toml <<'END'\n{text}END\n")

    def drop_in(self, name: str, text: str) -> None:
        self.machine.ok(f"mkdir -p {DROP_INS} && cat > {DROP_INS}/{name}.conf <<'END'\n{text}END\n")

    # -- how it fares -----------------------------------------------------------------------------------------

    def show(self, *names: str) -> dict[str, str]:
        """Properties of the unit."""
        found: dict[str, str] = self.machine.call("service.properties", names=list(names))
        return found

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself; empty when it does not answer."""
        return self.machine.call("service.status") or {}

    def daemon(self) -> int:
        """The daemon's process number, 0 when there is none."""
        return int(self.show("MainPID")["MainPID"])

    def until(self, what: str, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 180.0) -> float:
        """Wait until the daemon's status fulfils a condition; the seconds that took.

        Raises:
            AssertionError: it never did; the last status and the service's log are in the text.
        """
        began, seen = time.monotonic(), dict[str, Any]()
        while time.monotonic() - began < timeout_s:
            seen = self.status()
            if seen and condition(seen):
                return time.monotonic() - began
            time.sleep(0.5)
        raise AssertionError(f"{what}: not within {timeout_s:.0f} s; status {seen}; log:\n{self.log()}")

    def until_true(self, what: str, condition: Callable[[], Any], timeout_s: float = 180.0) -> Any:
        """Wait until `condition` gives something true, and return that."""
        began = time.monotonic()
        while time.monotonic() - began < timeout_s:
            found = condition()
            if found:
                return found
            time.sleep(0.5)
        raise AssertionError(f"{what}: not within {timeout_s:.0f} s; log:\n{self.log()}")

    def frames_flow(self, more: int = 5, timeout_s: float = 180.0) -> None:
        """Wait for so many further frames."""
        frames = self.status().get("frames", 0)
        self.until(f"{more} further frames", lambda s: s["frames"] >= frames + more, timeout_s)

    def restarted(self, old_pid: int, timeout_s: float = 240.0) -> None:
        """Wait until another daemon runs in the old one's place and serves frames."""
        self.until_true("a new daemon", lambda: self.daemon() not in (0, old_pid), timeout_s)
        self.until("frames of the new daemon", lambda s: s["frames"] > 3, timeout_s)
        self.until_true("the unit to be active", lambda: self.show("ActiveState")["ActiveState"] == "active", timeout_s)

    def log(self, lines: int = 40) -> str:
        """The service's last lines in the system's log."""
        return self.machine.run(f"journalctl -u joulepath -o short-monotonic --no-pager -n {lines}").out

    # -- its journal ------------------------------------------------------------------------------------------

    def journal(self, function: str, **arguments: Any) -> Any:
        """A function of ``guest/journal.py``."""
        return self.machine.call(f"journal.{function}", timeout_s=120, **arguments)

    def event(self, kind: str, since_ns: int = 0, timeout_s: float = 120.0) -> dict[str, Any]:
        """The first event of a kind at or after a time on the guest's monotonic clock, once it is committed."""

        def find() -> dict[str, Any] | None:
            found = [e for e in self.journal("events") if e["kind"] == kind and e["time_ns"] >= since_ns]
            return found[0] if found else None

        event: dict[str, Any] = self.until_true(f"an event {kind} in the journal", find, timeout_s)
        return event

    def switch(self, word: str, since_ns: int, timeout_s: float = 120.0) -> dict[str, Any]:
        """The first switch after a time whose reason holds a word, once it is committed."""

        def find() -> dict[str, Any] | None:
            found = [s for s in self.journal("switches") if word in s["reason"] and s["time_ns"] >= since_ns]
            return found[0] if found else None

        switch: dict[str, Any] = self.until_true(f"a switch for {word!r} in the journal", find, timeout_s)
        return switch

    def now_ns(self) -> int:
        """The guest's monotonic clock."""
        return int(self.machine.call("service.monotonic_ns"))


def write_bundle_into(machine: Machine) -> str:
    """The tiny bundle in the machine's share; its path in the guest."""
    folder = machine.share / "bundle"
    if not folder.exists():
        write_bundle(folder)
    return "/mnt/host/bundle"
