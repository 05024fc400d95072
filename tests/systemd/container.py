"""A real PID 1 over the machine's own root: overlay below, systemd-nspawn around, gone without a trace when it ends.

Everything is mounted in a mount name space of its own, and runs in a pid name space of its own around the container's,
whose first process is killed with the thread that started it: however we end, the host keeps no mount and no process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_PROPAGATE = Path("/run/systemd/nspawn/propagate")  # nspawn makes a folder here and leaves it
_TARGET = "joulepath-lab.target"
# Not basic.target, which brings the host's timers along.
_TARGET_UNIT = "[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\nAllowIsolate=yes\n"
# $1 an empty folder to mount on, $2 what to lay over the root, the rest: nspawn with its arguments.
_SETUP = """
set -e
mount -t tmpfs -o mode=0755 joulepath-lab "$1"
mkdir "$1/upper" "$1/work" "$1/root"
cp -a "$2/." "$1/upper/"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" joulepath-lab "$1/root"
shift 2
"$@"
"""


def why_not() -> str | None:
    """Why no container can be started here, in words; None when one can."""
    if os.geteuid() != 0:
        return "the fast lab needs root (it mounts, and starts a PID 1)"
    tools = {"systemd-nspawn": "systemd-container", "nsenter": "util-linux", "unshare": "util-linux"}
    for tool, package in tools.items():
        if shutil.which(tool) is None:
            return f"the fast lab needs {tool}: apt-get install {package}"
    try_mount = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/mnt"]
    tried = subprocess.run(try_mount, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        return f"the fast lab may not mount here: {tried.stderr.strip()}"
    return None


class Container:
    """A booted system whose root is the host's with `files` laid over it; a context manager.

    `files`: absolute path to text; a text that begins with ``#!`` is made executable. `binds`: host path to the path
    where the container sees it, read-only; `shared` likewise, to be written.
    """

    def __init__(
        self, folder: Path, files: dict[str, str], binds: dict[Path, str], shared: dict[Path, str] | None = None
    ) -> None:
        self._folder, self._files, self._binds, self._shared = folder, files, binds, shared or {}
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._name = f"joulepath-lab-{os.getpid()}"
        self.cgroups = _own_cgroups(self._name)
        self.boot_log = folder / "boot.log"
        self.pid1 = 0

    # -- life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Container:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        stage, mount = self._folder / "stage", self._folder / "mount"
        mount.mkdir()
        files = {f"/etc/systemd/system/{_TARGET}": _TARGET_UNIT, "/etc/fstab": "", **self._files}
        for path, text in files.items():
            _put(stage, path, text)
        for inside in (*self._binds.values(), *self._shared.values()):
            (stage / inside.lstrip("/")).mkdir(parents=True)
        for path in (stage, *stage.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
        for folder in (*(cgroup.parent for cgroup in self.cgroups), _PROPAGATE):
            for stale in folder.glob("joulepath-lab-*"):  # of a test run that was killed
                if not Path(f"/proc/{stale.name.rpartition('-')[2]}").exists():
                    _remove_folders(stale)
        for cgroup in self.cgroups:
            cgroup.mkdir()
        command = [
            "systemd-nspawn", "--quiet", f"--directory={mount / 'root'}", "--boot", "--register=no", "--keep-unit",
            "--private-network", "--console=pipe", "--link-journal=no", f"--machine={self._name}",
            *(f"--bind-ro={host}:{inside}" for host, inside in self._binds.items()),
            *(f"--bind={host}:{inside}" for host, inside in self._shared.items()),
            f"systemd.unit={_TARGET}",
        ]  # fmt: skip
        with self.boot_log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork",
                 "--kill-child", "--mount-proc", "/bin/sh", "-c", _SETUP, "sh", str(mount), str(stage), *command],
                stdin=subprocess.PIPE,  # a pipe, never the host's /dev/null: a PID 1 changes its console's mode
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=self._join_cgroups,
            )  # fmt: skip
        wait_for(self._booted, 60, lambda: f"a booted container; its log: {self._log_tail()}")

    def _join_cgroups(self) -> None:
        for cgroup in self.cgroups:
            (cgroup / "cgroup.procs").write_text("0")

    def _booted(self) -> bool:
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise AssertionError(f"the container did not start: {self._log_tail()}")
        if not self.pid1:
            self.pid1 = _init_among_descendants(self._nspawn.pid)
            return False
        state = self.try_run("systemctl", "is-active", _TARGET).stdout.strip()
        return state == "active"

    def _log_tail(self) -> str:
        with suppress(OSError):
            return self.boot_log.read_text(errors="replace")[-2000:]
        return "none"

    def close(self) -> None:
        """End it, and remove what it left: its processes and its control groups."""
        if self._nspawn is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid1 or self._nspawn.pid, 9)  # nspawn ends with its container
            try:
                self._nspawn.wait(10)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
            assert self._nspawn.stdin is not None
            self._nspawn.stdin.close()
        for folder in (*self.cgroups, _PROPAGATE / self._name):
            _remove_folders(folder)

    # -- use ----------------------------------------------------------------------------------------------------

    def path(self, inside: str) -> Path:
        """A path in the container as this process reaches it."""
        return Path(f"/proc/{self.pid1}/root{inside}")

    def try_run(self, *command: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root, in the container's name spaces."""
        enter = ["nsenter", "-t", str(self.pid1), "-m", "-p", "-i", "-u", "-n", "-C", "-r", "-w"]
        return subprocess.run(
            [*enter, *command], capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
        )

    def run(self, *command: str, timeout_s: float = 60) -> str:
        """Likewise; its output. Raises AssertionError when it fails."""
        done = self.try_run(*command, timeout_s=timeout_s)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout


def mounts_below(folder: Path) -> list[str]:
    """Where this process sees something mounted in `folder`."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [point for point in points if Path(point).is_relative_to(folder)]


def wait_for(condition: Callable[[], bool], timeout_s: float, what: Callable[[], str]) -> None:
    """Look again and again until the condition holds. Raises AssertionError with `what` was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what()}")
        time.sleep(0.05)


def _put(stage: Path, path: str, text: str) -> None:
    target = stage / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(0o755 if text.startswith("#!") else 0o644)


def _init_among_descendants(pid: int) -> int:
    """The process under `pid` that is number 1 two pid name spaces below ours; 0 while there is none."""
    wanted = len(_numbers("self")) + 2
    try:
        numbers = _numbers(str(pid))
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    if len(numbers) == wanted and numbers[-1] == "1":
        return pid
    return next(filter(None, (_init_among_descendants(int(child)) for child in children)), 0)


def _numbers(pid: str) -> list[str]:
    """A process's number in each pid name space that it is in, ours first."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith("NSpid:"))


def _own_cgroups(name: str) -> list[Path]:
    """A group below this process's, in each hierarchy that a systemd inside may use: the unified and the named one."""
    mine = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mine[controllers] = path
    groups = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split()[:3]
        controllers = {"cgroup2": "", "cgroup": "name=systemd"}.get(kind)
        if controllers not in mine or (controllers and controllers not in options.split(",")):
            continue
        inside, mount = left.split()[3:5]
        relative = os.path.relpath(mine[controllers], inside)
        groups.append(Path(mount) / relative / name)
    return groups


def _remove_folders(top: Path) -> None:
    """Remove a folder with those below it; whoever still holds one of them is dying."""
    deadline = time.monotonic() + 5
    while top.exists() and time.monotonic() < deadline:
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)
        time.sleep(0.02)
