"""Programs of this machine that the lab uses: which package brings each, and how one is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.cache import LabUnavailable

SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

# Program -> the Debian package that brings it.
PACKAGES = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "qemu-aarch64-static": "qemu-user-static",
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",  # mmdebstrap asks it whether binaries of another architecture run here
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "gcc": "gcc",
    "make": "make",
    "dpkg-deb": "dpkg",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "depmod": "kmod",
    "cpio": "cpio",
}


def require_tools(programs: Sequence[str]) -> None:
    """Say which Debian packages are missing for the named programs.

    Raises:
        LabUnavailable: one or more are missing, or this is not root (a root filesystem needs its owners).
    """
    missing = sorted({PACKAGES[name] for name in programs if shutil.which(name, path=SEARCH_PATH) is None})
    if missing:
        raise LabUnavailable(f"the board lab needs: apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        raise LabUnavailable("the board lab builds root filesystems: run it as root")


def checked(command: Sequence[str | Path], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        subprocess.CalledProcessError: it failed; what it said on both channels is in the error's notes.
    """
    words = [str(word) for word in command]
    environment = {**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C", **(env or {})}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise CommandFailed(done.returncode, words, done.stdout, done.stderr)
    return done.stdout


class CommandFailed(subprocess.CalledProcessError):
    """A program of this machine failed; the text carries the end of what it said."""

    def __str__(self) -> str:
        said = f"{self.stdout}\n{self.stderr}".strip()
        return f"{super().__str__()}\n{said[-3000:]}"
