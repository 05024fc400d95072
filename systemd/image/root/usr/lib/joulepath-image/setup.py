"""Applies the files that a user puts on the boot partition: login, Wi-Fi, SSH, host name, Joulepath's settings.

Runs only when there is something to apply. A file that cannot be used is reported on every console, in the system's
journal and in joulepath-firstboot.log beside it, and never stops the boot. What was used is taken off the boot
partition, which every PC can read.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bootfiles
from bootfiles import Malformed

LOG = "joulepath-firstboot.log"
GROUPS = ("sudo", "adm", "systemd-journal", "video", "i2c", "netdev", "joulepath")
CHECK_CONFIG = ("/usr/lib/joulepath/bin/python3", "-I", "-B", str(Path(__file__).with_name("check_config.py")))


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    file: str
    ok: bool
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {'' if self.ok else 'NOT USED: '}{self.message}"


@dataclass(frozen=True)
class Machine:
    """The system to change: its root folder and its boot partition."""

    root: Path
    boot: Path
    check_config: Callable[[Path], str | None]  # the reason why a configuration is refused, or None

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """Replace a file in one step, durable when this returns."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(target.name + ".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)

    def passwd(self, *command: str) -> None:
        """One of the shadow tools, on this root. Raises Malformed with its own words."""
        where = [] if self.root == Path("/") else ["--prefix", str(self.root)]
        done = subprocess.run([command[0], *where, *command[1:]], capture_output=True, text=True)
        if done.returncode != 0:
            raise Malformed(done.stderr.strip() or f"{command[0]} failed")

    def entries(self, file: str) -> list[list[str]]:
        """The lines of /etc/passwd or /etc/group, split."""
        return [line.split(":") for line in (self.root / "etc" / file).read_text().splitlines()]


def set_user(machine: Machine, text: str) -> str:
    wanted = bootfiles.user(text)
    known = {entry[0]: int(entry[2]) for entry in machine.entries("passwd")}
    if known.get(wanted.name, 1000) < 1000:
        raise Malformed(f"{wanted.name!r} is an account of the system; choose another name")
    there = {entry[0] for entry in machine.entries("group")}
    groups = ",".join(group for group in GROUPS if group in there)
    if wanted.name in known:
        machine.passwd("usermod", "--append", "--groups", groups, "--password", wanted.password_hash, wanted.name)
    else:
        machine.passwd(
            "useradd", "--create-home", "--shell", "/bin/bash", "--groups", groups,
            "--password", wanted.password_hash, wanted.name,
        )  # fmt: skip
    return f"{wanted.name} may log in"


def set_keys(machine: Machine, text: str) -> str:
    keys = bootfiles.authorized_keys(text)
    people = [entry for entry in machine.entries("passwd") if 1000 <= int(entry[2]) < 60000]
    if not people:
        raise Malformed("there is no user yet that the keys could belong to; add userconf.txt")
    name, uid, gid, home = people[0][0], int(people[0][2]), int(people[0][3]), people[0][5].lstrip("/")
    machine.write(f"{home}/.ssh/authorized_keys", keys, 0o600)
    for path in (machine.root / home / ".ssh", machine.root / home / ".ssh/authorized_keys"):
        os.chown(path, uid, gid)
    (machine.root / home / ".ssh").chmod(0o700)
    return f"{keys.count(chr(10))} keys for {name}"


def set_hostname(machine: Machine, text: str) -> str:
    name = bootfiles.hostname(text)
    machine.write("etc/hostname", name + "\n")
    machine.write("etc/hosts", f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    if machine.root == Path("/"):
        Path("/proc/sys/kernel/hostname").write_text(name)
    return f"the host is called {name}"


def set_wifi(machine: Machine, text: str) -> str:
    machine.write("etc/wpa_supplicant/wpa_supplicant-wlan0.conf", bootfiles.wifi(text), 0o600)
    return "Wi-Fi is set"


def set_ssh(machine: Machine, text: str) -> str:
    machine.write("etc/ssh/joulepath-enabled", "")
    return "SSH is on"


def set_config(machine: Machine, text: str) -> str:
    target = "etc/joulepath/config.toml"
    machine.write(target + ".tried", text)
    tried = machine.root / (target + ".tried")
    refused = machine.check_config(tried)
    tried.unlink()
    if refused is not None:
        raise Malformed(refused.replace(f"{tried}: ", ""))
    machine.write(target, text)
    return "Joulepath is configured"


# Files in the order in which they are applied; the first name that is there counts, keys come after their user.
Apply = Callable[[Machine, str], str]
FILES: tuple[tuple[tuple[str, ...], Apply], ...] = (
    (("userconf.txt", "userconf"), set_user),
    (("authorized_keys", "authorized_keys.txt"), set_keys),
    (("hostname", "hostname.txt"), set_hostname),
    (("wpa_supplicant.conf",), set_wifi),
    (("ssh", "ssh.txt"), set_ssh),
    (("joulepath.toml", "joulepath-config.toml"), set_config),
)


def apply_all(machine: Machine) -> list[Outcome]:
    """Use every file that is there; one that fails does not stop the others."""
    outcomes = []
    for names, apply in FILES:
        for name in names:
            path = machine.boot / name
            if path.is_file():
                outcomes.append(_apply_one(machine, path, apply))
    return outcomes


def _apply_one(machine: Machine, path: Path, apply: Apply) -> Outcome:
    try:
        message = apply(machine, bootfiles.as_text(path.read_bytes()))
        if apply is set_config:  # no secret, and the place where a user looks for the settings in force
            path.replace(path.with_name(path.name + ".applied"))
        else:
            _erase(path)
    except (Malformed, OSError) as error:
        return Outcome(path.name, False, str(error))
    return Outcome(path.name, True, message)


def _erase(path: Path) -> None:
    """Overwrite, then remove: a FAT keeps the bytes of a removed file."""
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def identify(machine: Machine) -> list[Outcome]:
    """What must differ between two cards from one image: machine id and SSH host keys."""
    outcomes = []
    if not any((machine.root / "etc/ssh").glob("ssh_host_*_key")):
        _run("ssh-keygen", "-A", "-f", str(machine.root))
        outcomes.append(Outcome("ssh host keys", True, "made"))
    machine_id = machine.root / "etc/machine-id"
    if os.path.ismount(machine_id):  # systemd found the file empty and covered it with an id for this boot
        _run("systemd-machine-id-setup", "--commit")
        outcomes.append(Outcome("machine id", True, "kept"))
    elif not machine_id.read_text().strip():
        _run("systemd-machine-id-setup", f"--root={machine.root}")
        outcomes.append(Outcome("machine id", True, "made"))
    return outcomes


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")


def report(outcomes: list[Outcome], log: Path, kernel_log: Path, now: datetime.datetime) -> None:
    """Add the outcomes to the log on the boot partition; troubles also go to every console through the kernel's log."""
    lines = "".join(f"{now:%Y-%m-%d %H:%M:%S} {outcome}\n" for outcome in outcomes)
    print(lines, end="", flush=True)
    for outcome in outcomes:
        if not outcome.ok:
            kernel_log.write_text(f"<2>joulepath: boot partition: {outcome}\n")
    with log.open("a", encoding="utf-8", newline="\r\n") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def check_with_joulepath(path: Path) -> str | None:
    """Ask the installed Joulepath whether it would run with this configuration."""
    done = subprocess.run([*CHECK_CONFIG, str(path)], capture_output=True, text=True, timeout=120)
    return None if done.returncode == 0 else (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]


def main() -> int:
    machine = Machine(Path("/"), Path("/boot/firmware"), check_with_joulepath)
    try:
        outcomes = identify(machine)
    except OSError as error:
        outcomes = [Outcome("identity", False, str(error))]
    outcomes += apply_all(machine)
    if outcomes:
        report(outcomes, machine.boot / LOG, Path("/dev/kmsg"), datetime.datetime.now(datetime.timezone.utc))
    return 0


if __name__ == "__main__":
    sys.exit(main())
