"""A board's kernel: Debian's own image and modules, and the drivers that Debian leaves out, built beside it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.lab.cache import step, tree_digest
from tests.lab.packages import ForeignApt
from tests.lab.tools import checked, require_tools

OUR_MODULES = Path(__file__).parent / "modules"
SERIES = "6.1"
# Drivers of boards and batteries that Debian does not build, as its kernel source has them (i2c-stub: on arm64 only).
DRIVER_SOURCES = [
    "drivers/power/supply/test_power.c",
    "drivers/power/supply/max17040_battery.c",
    "drivers/hwmon/ina2xx.c",
    "drivers/hwmon/ina3221.c",
    "drivers/i2c/i2c-stub.c",
]
CROSS = {"arm64": "aarch64-linux-gnu-", "amd64": "x86_64-linux-gnu-"}
KBUILD_NAMES = {"arm64": "arm64", "amd64": "x86"}


@dataclass(frozen=True)
class Kernel:
    """One architecture's kernel: its release, the boot image, Debian's modules, and a folder of further ``.ko``."""

    release: str
    image: Path
    modules: Path
    extra: Path


def kernel(arch: str) -> Kernel:
    """Debian 12's kernel for an architecture with every module of the lab.

    Raises:
        LabUnavailable: a tool or a package is missing.
    """
    apt = ForeignApt(arch)
    release, version = _release(apt, arch)
    recipe = {"release": release, "version": version, "indexed": True}
    folder = step(f"kernel-{arch}", recipe, lambda target: _unpack(apt, release, target))
    image = folder / "boot" / f"vmlinuz-{release}"
    return Kernel(release, image, folder / "lib" / "modules" / release, _extra_modules(arch, release, version))


def _release(apt: ForeignApt, arch: str) -> tuple[str, str]:
    depends = apt.latest(f"linux-image-{arch}", "Depends")
    match = re.search(r"linux-image-(\S+) \(= ([^)]+)\)", depends)
    if match is None:
        raise ValueError(f"linux-image-{arch} depends on {depends!r}: no kernel image with its version in it")
    return match[1], match[2]


def _unpack(apt: ForeignApt, release: str, target: Path) -> None:
    (archive,) = apt.download([f"linux-image-{release}"])
    checked(["dpkg-deb", "-x", archive, target])
    checked(["depmod", "-b", target, release])


def _extra_modules(arch: str, release: str, version: str) -> Path:
    """The folder of modules built out of tree: Debian's missing drivers and every ``.c`` below ``modules/``."""
    recipe = {"version": version, "release": release, "drivers": DRIVER_SOURCES, "ours": tree_digest(OUR_MODULES)}
    return step(f"modules-{arch}", recipe, lambda target: _build_modules(arch, release, version, target))


def _build_modules(arch: str, release: str, version: str, target: Path) -> None:
    prefix = "" if arch == _host_arch() else CROSS[arch]
    require_tools(["make", "dpkg-deb", f"{prefix}gcc"])
    headers, work = _headers(arch, release, version), target.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(_driver_sources(version), work)
    for source in OUR_MODULES.rglob("*.c"):
        shutil.copy(source, work)
    shutil.copy(OUR_MODULES / "Kbuild", work)
    build = headers / "usr" / "src" / f"linux-headers-{release}"
    # The headers ask for gcc-12 by name, which a cross compiler of that series need not have.
    words = {"ARCH": KBUILD_NAMES[arch], "CROSS_COMPILE": prefix, "CC": f"{prefix}gcc", "M": work}
    checked(["make", "-s", "-C", build, *[f"{key}={value}" for key, value in words.items()], "modules"])
    target.mkdir()
    for module in work.glob("*.ko"):
        checked([f"{prefix}strip", "--strip-debug", module])
        shutil.move(str(module), target)
    shutil.rmtree(work)


def _host_arch() -> str:
    return checked(["dpkg", "--print-architecture"]).strip()


def _headers(arch: str, release: str, version: str) -> Path:
    """The kernel's headers and the build programs of this machine, unpacked under one folder."""

    def build(target: Path) -> None:
        host = ForeignApt(_host_arch())
        archives = ForeignApt(arch).download([f"linux-headers-{release}"])
        archives += host.download([f"linux-headers-{release.removesuffix(arch)}common", f"linux-kbuild-{SERIES}"])
        for archive in archives:
            checked(["dpkg-deb", "-x", archive, target])

    folder = step(f"headers-{arch}", {"version": version, "release": release, "host": _host_arch()}, build)
    # The headers' Makefile names its common part by an absolute path: where it lies now, not where a package puts it.
    common = folder / "usr" / "src" / f"linux-headers-{release.removesuffix(arch)}common"
    (folder / "usr" / "src" / f"linux-headers-{release}" / "Makefile").write_text(f"include {common}/Makefile\n")
    return folder


def _driver_sources(version: str) -> Path:
    """The sources of the drivers, taken out of the kernel's source package (138 MB, read once)."""

    def build(target: Path) -> None:
        (archive,) = ForeignApt(_host_arch()).download([f"linux-source-{SERIES}"])
        target.mkdir()
        names = " ".join(f"linux-source-{SERIES}/{name}" for name in DRIVER_SOURCES)
        inner = f"./usr/src/linux-source-{SERIES}.tar.xz"
        pipe = (
            f"dpkg-deb --fsys-tarfile {archive} | tar -xO {inner} | tar -xJ -C {target} --transform='s|.*/||' {names}"
        )
        checked(["bash", "-o", "pipefail", "-c", pipe])

    return step("driver-sources", {"version": version, "names": DRIVER_SOURCES}, build)
