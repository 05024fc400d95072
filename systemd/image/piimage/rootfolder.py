"""The root folder: the base unpacked, Joulepath's package installed, our files laid over it, what is unique removed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from piimage import settings
from piimage.base import enable_emulation
from piimage.mounts import write_mounts
from piimage.tools import RecipeError, run

# What must differ between two boards, or names the machine that built the image.
NOT_IN_IMAGE = (
    "etc/ssh/ssh_host_*", "etc/apt/apt.conf.d/99mmdebstrap", "etc/resolv.conf", "etc/hostname", "etc/machine-id",
    "var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "var/lib/apt/lists/*", "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb", "var/cache/ldconfig/aux-cache", "var/log/*", "boot/firmware/*", "root/.cache",
    "var/cache/debconf/*-old", "var/lib/dpkg/*-old", "etc/*-", "tmp/*", "run/*", "boot/initrd.img*",
)  # fmt: skip
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def fill_root(base: Path, package: Path, files: Path, root: Path, epoch_s: int) -> None:
    """Make the whole tree below the empty folder `root`."""
    run("tar", "--extract", "--file", base, "--directory", root, "--numeric-owner", "--xattrs", "--exclude=./dev/*")
    enable_emulation()
    lay_over(files, root)
    install(package, root)
    index_modules(root)
    _prepare_etc(root)
    _set_units(root)
    clean(root)
    _finish_etc(root)
    write_mounts(root)
    clamp_times(root, epoch_s)


def lay_over(files: Path, root: Path) -> None:
    """Copy our tree onto the root, owned by root, modes kept to 755 and 644."""
    for source in sorted(files.rglob("*")):
        if "__pycache__" in source.parts:
            continue
        target = root / source.relative_to(files)
        if source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.symlink_to(os.readlink(source))
        elif source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            shutil.copyfile(source, target)
            target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def install(package: Path, root: Path) -> None:
    """Our package, by the board's own dpkg. Raises RecipeError when something that it needs is not in the base."""
    with _chrooted(root):
        shutil.copyfile(package, root / "tmp/joulepath.deb")
        chroot(root, "dpkg", "--install", "/tmp/joulepath.deb")
        chroot(root, "apt-mark", "hold", *settings.HELD_PACKAGES)


def chroot(root: Path, *command: str) -> str:
    """A command of the image, run in it by emulation."""
    env = {"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    return run("/usr/sbin/chroot", root, "env", "-i", *(f"{k}={v}" for k, v in env.items()), *command).decode()


@contextlib.contextmanager
def _chrooted(root: Path) -> Iterator[None]:
    """No service is started while packages are installed; /dev/null and randomness are there."""
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    for name, number in (("null", 3), ("zero", 5), ("urandom", 9)):
        if not (root / "dev" / name).exists():
            os.mknod(root / "dev" / name, 0o20666, os.makedev(1, number))
            (root / "dev" / name).chmod(0o666)
    try:
        yield
    finally:
        policy.unlink()
        for path in (root / "dev").iterdir():
            path.unlink()


def index_modules(root: Path) -> None:
    """Take away modules whose needs were left out, index the rest. Raises RecipeError when the boards miss one."""
    kernel = next((root / "usr/lib/modules").iterdir())
    there = {_plain(path.stem): path for path in kernel.rglob("*.ko")}
    needs = {name: module_needs(path.read_bytes()) for name, path in there.items()}
    while lost := [name for name in there if not needs[name] <= there.keys()]:
        for name in lost:
            there.pop(name).unlink()
    if missing := {_plain(name) for name in settings.NEEDED_MODULES} - there.keys():
        raise RecipeError(f"kernel modules are missing: {', '.join(sorted(missing))}; see NOT_UNPACKED in settings.py")
    run("depmod", "-b", root, kernel.name)


def module_needs(module: bytes) -> set[str]:
    """Names of the modules that a module says it depends on."""
    found = _DEPENDS.search(module)
    return {_plain(name) for name in found[1].decode().split(",") if name} if found else set()


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _prepare_etc(root: Path) -> None:
    (root / "etc/apt/sources.list").write_text(settings.PUBLIC_SOURCES)
    dpkg = root / "etc/dpkg/dpkg.cfg.d/99mmdebstrap"
    kept = [line for line in dpkg.read_text().splitlines() if line.startswith("path-")]
    dpkg.rename(root / "etc/dpkg/dpkg.cfg.d/joulepath-image").write_text("\n".join(kept) + "\n")
    for group in ("netdev", "i2c"):
        chroot(root, "groupadd", "--force", "--system", group)
    chroot(root, "usermod", "--password", "*", "root")
    for folder in ("boot/firmware", "data", "etc/wpa_supplicant"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def _set_units(root: Path) -> None:
    for unit in settings.UNITS_ENABLED:
        chroot(root, "systemctl", "enable", unit)
    for unit in settings.UNITS_MASKED:
        chroot(root, "systemctl", "mask", unit)
    # Wi-Fi starts when its device appears, so that a board without one waits for nothing.
    wants = root / "etc/systemd/system/sys-subsystem-net-devices-wlan0.device.wants"
    wants.mkdir(exist_ok=True)
    (wants / "wpa_supplicant@wlan0.service").symlink_to("/lib/systemd/system/wpa_supplicant@.service")


def clean(root: Path) -> None:
    """Take away what is unique or of this machine."""
    for pattern in NOT_IN_IMAGE:
        # a pattern without a wildcard may be a link to nowhere, which glob does not see
        found = root.glob(pattern) if "*" in pattern else [root / pattern]
        for path in found:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _finish_etc(root: Path) -> None:
    (root / "etc/hostname").write_text("joulepath\n")
    (root / "etc/default/locale").write_text("LANG=C.UTF-8\n")
    (root / "etc/hosts").write_text("127.0.0.1\tlocalhost\n127.0.1.1\tjoulepath\n::1\tlocalhost ip6-localhost\n")
    (root / "etc/machine-id").write_text("")  # empty, not absent: it is filled at the first boot
    (root / "var/lib/dbus").mkdir(exist_ok=True)
    (root / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")
    (root / "usr/lib/clock-epoch").write_text("")  # its age is the earliest time that systemd believes
    (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")


def clamp_times(root: Path, epoch_s: int) -> None:
    """No file is younger than the epoch, so that the hour of the build does not show."""
    for path in [root, *root.rglob("*")]:
        stamp = path.lstat().st_mtime
        if stamp > epoch_s:
            os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)


def names_of(root: Path) -> str:
    """Packages and versions, one a line."""
    return chroot(root, "dpkg-query", "--show", "--showformat=${Package} ${Version}\\n")
