"""Debian for the board as a tar: mmdebstrap under qemu's user emulation. The slow step, so its result is kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from piimage import settings
from piimage.tools import RecipeError, finished_or_gone, run

BINFMT = Path("/proc/sys/fs/binfmt_misc")
BINFMT_RULE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


def base_tar(cache: Path) -> Path:
    """The tar of the packages in settings, from the cache when its recipe has not changed."""
    recipe = repr((settings.SUITE, settings.PACKAGES, settings.NOT_UNPACKED, settings.UNPACKED_AFTER_ALL))
    path = cache / f"base-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"
    if path.exists():
        return path
    enable_emulation()
    cache.mkdir(parents=True, exist_ok=True)
    with finished_or_gone(path) as unfinished:
        run(
            "mmdebstrap", "--architectures=arm64", "--variant=minbase", "--mode=root", "--format=tar",
            f"--include={','.join(settings.PACKAGES)}",
            '--aptopt=Acquire::Languages "none"', '--aptopt=APT::Install-Recommends "false"',
            *dpkg_options(), "--dpkgopt=force-unsafe-io",
            settings.SUITE, unfinished, *sources(),
            # INITRD=No: mkinitramfs takes minutes under emulation, and its result is not used (see initrd.py).
            env={"SOURCE_DATE_EPOCH": str(settings.DEFAULT_EPOCH_S), "INITRD": "No"},
        )  # fmt: skip
    return path


def dpkg_options() -> list[str]:
    """What is not unpacked; the order matters to dpkg, the last match decides."""
    return [
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in settings.NOT_UNPACKED),
        *(f"--dpkgopt=path-include={pattern}" for pattern in settings.UNPACKED_AFTER_ALL),
    ]


def sources() -> list[str]:
    """Debian's archives as this machine reaches them, for the image's suite; the image itself names the public ones."""
    found = mirrors(Path("/etc/apt"))
    archive = found.get("debian", "http://deb.debian.org/debian")
    security = found.get("debian-security", "http://security.debian.org/debian-security")
    parts = "main non-free-firmware"
    return [
        f"deb {archive} {settings.SUITE} {parts}",
        f"deb {archive} {settings.SUITE}-updates {parts}",
        f"deb {security} {settings.SUITE}-security {parts}",
    ]


def mirrors(etc_apt: Path) -> dict[str, str]:
    """Archive name (the address's last word) -> address, from apt's own sources in either format."""
    files = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
    words = (word for file in files if file.is_file() for word in _addresses(file.read_text().splitlines()))
    found: dict[str, str] = {}
    for address in words:
        found.setdefault(address.rstrip("/").rsplit("/", 1)[-1], address)
    return found


def private_hosts() -> set[str]:
    """Hosts that this machine's apt asks and the public does not know of: no image may name them."""
    asked = {line.split()[1].split("/")[2] for line in sources()}
    return asked - {line.split()[1].split("/")[2] for line in settings.PUBLIC_SOURCES.splitlines()}


def _addresses(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        if line.startswith(("deb ", "URIs:")):
            yield from (word for word in line.split() if "://" in word)


def enable_emulation() -> None:
    """Let this kernel run arm64 programs. Raises RecipeError when it is neither set up nor can be."""
    if os.uname().machine == "aarch64" or (BINFMT / "qemu-aarch64").exists():
        return
    if not BINFMT_RULE.exists():
        raise RecipeError("arm64 programs cannot run here: sudo apt-get install qemu-user-static")
    if not (BINFMT / "register").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT)
    (BINFMT / "register").write_text(BINFMT_RULE.read_text().strip())
