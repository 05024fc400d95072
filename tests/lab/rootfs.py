"""A board's root filesystem as one tar: Debian 12, made by mmdebstrap from the machine's own mirrors."""

from __future__ import annotations

from pathlib import Path

from tests.lab.cache import LabUnavailable, step
from tests.lab.packages import SUITE, machine_mirrors
from tests.lab.tools import checked, require_tools

# What a board's system has, what our package depends on, and three of apt's own Python packages to be imported beside
# what ours brings: numpy itself, bottleneck (compiled against that numpy, as picamera2's parts are), and gi.
INCLUDED = [
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "login",
    "adduser",
    "iproute2",
    "procps",
    "init-system-helpers",
    "python3",
    "python3-venv",
    "python3-numpy",
    "python3-bottleneck",
    "python3-gi",
    "v4l-utils",
    "i2c-tools",
    "sqlite3",
]
WITHOUT = ["man", "locale", "doc", "info"]
BINFMT = Path("/proc/sys/fs/binfmt_misc")
BINFMT_RULE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


def root_tar(arch: str) -> Path:
    """The root filesystem of a Debian 12 board as a tar: arm64 takes some four minutes to build, amd64 half of one.

    Raises:
        LabUnavailable: a tool or a mirror is missing, or this kernel cannot run arm64 programs.
    """
    recipe = {"suite": SUITE, "arch": arch, "include": INCLUDED, "without": WITHOUT, "format": 1}
    return step(f"rootfs-{arch}", recipe, lambda target: _build(arch, target), ".tar")


def _build(arch: str, target: Path) -> None:
    require_tools(["mmdebstrap", "arch-test"])
    if arch == "arm64":
        _run_arm64_programs()
    checked(
        [
            "mmdebstrap",
            "--mode=root",
            f"--architectures={arch}",
            "--variant=minbase",
            f"--include={','.join(INCLUDED)}",
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=Acquire::Retries "3"',
            '--aptopt=Apt::Install-Recommends "false"',
            "--dpkgopt=force-unsafe-io",
            *[f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in WITHOUT],
            '--customize-hook=echo joulepath-lab > "$1/etc/hostname"; : > "$1/etc/machine-id"',
            SUITE,
            target,
            *machine_mirrors().lines(),
        ]
    )


def _run_arm64_programs() -> None:
    """Have the kernel start arm64 programs through qemu-user: mmdebstrap runs their maintainer scripts."""
    require_tools(["qemu-aarch64-static"])
    if not (BINFMT / "register").exists():
        checked(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT])
    if not (BINFMT / "qemu-aarch64").exists():
        if not BINFMT_RULE.exists():
            raise LabUnavailable(f"no {BINFMT_RULE}: apt-get install --reinstall qemu-user-static")
        rule = next(line for line in BINFMT_RULE.read_text().splitlines() if line.startswith(":"))
        (BINFMT / "register").write_text(rule)
