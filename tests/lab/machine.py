"""One emulated board: start it, run commands in it, share a folder with it, cut its power.

with Machine(system("amd64"), folder) as machine:
    machine.boot()
    machine.run("uname -r")                  # Result(rc=0, out="6.1.0-...\\n")
    machine.call("board.set_battery", capacity=80)   # a function of tests/lab/guest/board.py, in the guest
    machine.put(Path("x.deb"))               # "/mnt/host/x.deb", as the guest sees it
    machine.cut_power()                      # SIGKILL: what the guest had not written is lost
    machine.boot()                           # the same disk again
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tests.lab.disk import SHARE
from tests.lab.system import System
from tests.lab.tools import checked, require_tools

GUEST_CODE = Path(__file__).parent / "guest"
PORT_NAME = "org.joulepath.lab"
REPORT_ID = -1
# Emulation on a busy machine: a reply may be this late after the command's own limit before the guest counts as lost.
GRACE_S = 120.0
EMULATORS = {
    "arm64": ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72"],
    "amd64": ["qemu-system-x86_64", "-M", "q35", "-cpu", "max"],
}
CONSOLES = {"arm64": "ttyAMA0", "amd64": "ttyS0"}
KERNEL_WORDS = "quiet panic=-1 mitigations=off audit=0 random.trust_cpu=1 systemd.show_status=0"


class Result(NamedTuple):
    """What a command in the guest came to: exit code (124 after its time limit) and both channels as one text."""

    rc: int
    out: str


class MachineLost(Exception):
    """The guest does not answer or qemu ended; the text carries the end of the console."""


class GuestError(Exception):
    """A function called in the guest raised; the text is its traceback, or a checked command failed."""


@dataclass(frozen=True)
class Settings:
    """How a machine is built. `cache` is qemu's word for the disks: ``unsafe`` is fast, ``writeback`` honours flushes
    and is needed where the power is cut. `data_disks` are raw images, /dev/vdb and on. `extra` are words for qemu.
    """

    memory_mib: int = 1536
    cpus: int = 2
    cache: str = "unsafe"
    data_disks: tuple[Path, ...] = ()
    extra: tuple[str, ...] = ()
    kernel_words: str = ""


class Machine:
    """A board under qemu, without hardware virtualisation. Its disk is an overlay in `folder`; a later boot goes on.

    `share` is a folder that the guest sees at ``/mnt/host``. `report` is, once the machine is off, the last line with
    id -1 that the guest sent on its own.
    """

    def __init__(self, system: System, folder: Path, settings: Settings | None = None) -> None:
        self.system, self.folder, self.settings = system, folder, settings or Settings()
        self.share = folder / "share"
        self.console = folder / "console.log"
        self.overlay = folder / "disk.qcow2"
        self._qemu: subprocess.Popen[bytes] | None = None
        self._channel: _Channel | None = None
        self.report: dict[str, Any] | None = None

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut_power()

    # -- power ------------------------------------------------------------------------------------------------

    def boot(self, timeout_s: float = 300.0) -> float:
        """Switch on and wait until the guest's agent answers; returns the seconds that took.

        Raises:
            MachineLost: no answer within `timeout_s`.
        """
        assert self._qemu is None, "already running"
        self._prepare()
        began = time.monotonic()
        port = self.folder / "agent.sock"
        port.unlink(missing_ok=True)
        with (self.folder / "qemu.log").open("ab") as log:
            command = self._command(port)
            self._qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._channel = _Channel(self._connect(port, began + timeout_s))
            self._channel.wait(0, began + timeout_s - time.monotonic())
        except (TimeoutError, ConnectionError) as silence:
            said = self._last_words()
            self.cut_power()
            raise MachineLost(f"no agent after {timeout_s:.0f} s ({silence}); the console ends with:\n{said}") from None
        return time.monotonic() - began

    def cut_power(self) -> None:
        """SIGKILL qemu: nothing that the guest held in its memory survives. Does nothing to one that is off."""
        if self._qemu is not None:
            self._qemu.send_signal(signal.SIGKILL)
            self._forget()

    def power_off(self, timeout_s: float = 120.0) -> None:
        """Shut the guest down in order.

        Raises:
            MachineLost: it was still running after `timeout_s`.
        """
        assert self._qemu is not None, "not running"
        with contextlib.suppress(MachineLost):
            self.run("systemctl --no-block poweroff")
        try:
            self._qemu.wait(timeout_s)
        except subprocess.TimeoutExpired:
            said = self._last_words()
            self.cut_power()
            raise MachineLost(f"still running {timeout_s:.0f} s after poweroff:\n{said}") from None
        self._forget()

    def wait_off(self, timeout_s: float) -> None:
        """Wait until the guest went down by itself (a hardware watchdog, a shutdown of its own)."""
        assert self._qemu is not None, "not running"
        self._qemu.wait(timeout_s)
        self._forget()

    # -- work in the guest ------------------------------------------------------------------------------------

    def run(self, command: str, timeout_s: float = 60.0, check: bool = False) -> Result:
        """Run a shell command as root in the guest.

        Raises:
            MachineLost: no answer; the guest is gone or stuck.
            GuestError: `check` was asked for and the exit code is not 0.
        """
        reply = self._ask({"command": command, "timeout_s": timeout_s}, timeout_s)
        result = Result(reply["rc"], reply["out"])
        if check and result.rc != 0:
            raise GuestError(f"{command!r} exited with {result.rc}:\n{result.out}")
        return result

    def ok(self, command: str, timeout_s: float = 60.0) -> str:
        """What a command printed, without the last line's end; GuestError when its exit code is not 0."""
        return self.run(command, timeout_s, check=True).out.rstrip("\n")

    def call(self, function: str, timeout_s: float = 60.0, **arguments: Any) -> Any:
        """Call ``module.function`` of ``tests/lab/guest`` in the guest; arguments and value are JSON.

        Raises:
            MachineLost: no answer.
            GuestError: the function raised.
        """
        return self._ask({"call": function, "arguments": arguments}, timeout_s)["value"]

    def put(self, path: Path, name: str | None = None) -> str:
        """Copy a file or folder into the share; returns its path in the guest."""
        place = self.share / (name or path.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, place, dirs_exist_ok=True)
        else:
            shutil.copy(path, place)
        return f"{SHARE}/{place.relative_to(self.share)}"

    def get(self, guest_path: str, timeout_s: float = 60.0) -> Path:
        """Copy a file of the guest into the share; returns its path here."""
        name = Path(guest_path).name
        self.ok(f"cp {guest_path} {SHARE}/{name}", timeout_s)
        return self.share / name

    def latest_report(self) -> dict[str, Any] | None:
        """The last line with id -1 so far, while the machine runs."""
        return self.report if self._channel is None else self._channel.latest_report()

    def wait_for(self, command: str, timeout_s: float = 120.0, every_s: float = 1.0) -> float:
        """Repeat a command until it exits with 0; returns the seconds waited.

        Raises:
            GuestError: it never did; what it said last is in the text.
        """
        began = time.monotonic()
        while (result := self.run(command)).rc != 0:
            if time.monotonic() - began > timeout_s:
                raise GuestError(f"{command!r} still exits with {result.rc} after {timeout_s:.0f} s:\n{result.out}")
            time.sleep(every_s)
        return time.monotonic() - began

    # -- inside -----------------------------------------------------------------------------------------------

    def _ask(self, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        if self._channel is None:
            raise MachineLost("the machine is off")
        try:
            reply = self._channel.ask(body, timeout_s + GRACE_S)
        except (TimeoutError, ConnectionError) as silence:
            raise MachineLost(f"{body}: {silence}; the console ends with:\n{self._last_words()}") from None
        if "error" in reply:
            raise GuestError(reply["error"])
        return reply

    def _prepare(self) -> None:
        require_tools([EMULATORS[self.system.arch][0], "qemu-img"])
        self.share.mkdir(parents=True, exist_ok=True)
        shutil.copytree(GUEST_CODE, self.share / "guest", dirs_exist_ok=True)
        if not self.overlay.exists():
            below = ["-F", self.system.disk_format, "-b", str(self.system.disk)]
            checked(["qemu-img", "create", "-q", "-f", "qcow2", *below, self.overlay])

    def _command(self, port: Path) -> list[str]:
        wanted, arch = self.settings, self.system.arch
        disks = [(self.overlay, "qcow2"), *((path, "raw") for path in wanted.data_disks)]
        drives: list[str] = []
        for number, (path, form) in enumerate(disks):
            drives += ["-drive", f"if=none,id=d{number},file={path},format={form},cache={wanted.cache}"]
            drives += ["-device", f"virtio-blk-pci,drive=d{number}"]
        return [
            *EMULATORS[arch],
            *("-accel", "tcg,thread=multi", "-smp", str(wanted.cpus), "-m", str(wanted.memory_mib)),
            *("-display", "none", "-nodefaults", "-no-reboot", "-serial", f"file:{self.console}"),
            *("-kernel", str(self.system.kernel.image), "-initrd", str(self.system.initrd)),
            *("-append", f"console={CONSOLES[arch]} {KERNEL_WORDS} {wanted.kernel_words}"),
            *drives,
            *("-fsdev", f"local,id=h,path={self.share},security_model=none"),
            *("-device", "virtio-9p-pci,fsdev=h,mount_tag=host"),
            *("-object", "rng-random,filename=/dev/urandom,id=r", "-device", "virtio-rng-pci,rng=r"),
            *("-device", "virtio-serial-pci", "-chardev", f"socket,id=a,path={port},server=on,wait=off"),
            *("-device", f"virtserialport,chardev=a,name={PORT_NAME}"),
            *wanted.extra,
        ]

    def _connect(self, port: Path, deadline: float) -> socket.socket:
        while time.monotonic() < deadline:
            assert self._qemu is not None
            if self._qemu.poll() is not None:
                raise ConnectionError(f"qemu ended: {(self.folder / 'qemu.log').read_text()[-2000:]}")
            link = socket.socket(socket.AF_UNIX)
            try:
                link.connect(str(port))
            except OSError:
                link.close()
                time.sleep(0.1)
            else:
                return link
        raise TimeoutError("qemu opened no port")

    def _forget(self) -> None:
        if self._qemu is not None:
            self._qemu.wait()
        if self._channel is not None:
            self.report = self._channel.close() or self.report
        self._qemu = self._channel = None

    def _last_words(self) -> str:
        return self.console.read_text(errors="replace")[-3000:] if self.console.exists() else "(nothing)"


class _Channel:
    """Requests and replies over one socket; replies come in any order."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._replies: dict[int, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._last_id = 0
        self._ended = False
        self._listener = threading.Thread(target=self._listen, name="lab-agent", daemon=True)
        self._listener.start()

    def ask(self, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        with self._changed:
            self._last_id += 1
            number = self._last_id
            self._link.sendall(json.dumps({"id": number, **body}).encode() + b"\n")
        return self.wait(number, timeout_s)

    def wait(self, number: int, timeout_s: float) -> dict[str, Any]:
        """The reply to one request; raises TimeoutError, and ConnectionError when the machine went away."""
        with self._changed:
            self._changed.wait_for(lambda: number in self._replies or self._ended, timeout_s)
            if number in self._replies:
                return self._replies.pop(number)
            if self._ended:
                raise ConnectionError("the machine went away")
            raise TimeoutError(f"no answer within {timeout_s:.0f} s")

    def close(self) -> dict[str, Any] | None:
        """Read what is still under way and let go; the guest's last report."""
        self._listener.join(timeout=10)
        self._link.close()
        return self._replies.get(REPORT_ID)

    def latest_report(self) -> dict[str, Any] | None:
        return self._replies.get(REPORT_ID)

    def _listen(self) -> None:
        waiting = b""
        with contextlib.suppress(OSError):
            while data := self._link.recv(65536):
                waiting += data
                *lines, waiting = waiting.split(b"\n")
                replies = [json.loads(line) for line in lines if line.strip()]
                with self._changed:
                    self._replies.update({reply["id"]: reply for reply in replies})
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
