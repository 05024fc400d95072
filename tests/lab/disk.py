"""A board's disk as one raw ext4 image: no loop device, no mount, no partition."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab.cache import file_digest, remove, step
from tests.lab.initrd import insertion_order
from tests.lab.kernel import Kernel
from tests.lab.rootfs import root_tar
from tests.lab.tools import checked, require_tools

SIZE_MIB = 3072
# What the lab loads in the guest, of Debian's own modules; the drivers built beside them all come along.
MODULES = [
    "ext4",
    "crc32c_generic",
    "virtio_blk",
    "virtio_pci",
    "virtio_console",
    "virtio_rng",
    "9p",
    "9pnet_virtio",
    "autofs4",
    "configfs",
    "i2c-dev",
    "regmap-i2c",
    "vivid",
    "i6300esb",
    "loop",
    "overlay",
]
# Nothing may wake up by itself in the middle of a measurement.
MASKED = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-binfmt.service",
    "systemd-networkd-wait-online.service",
]
SHARE = "/mnt/host"
FSTAB = f"""/dev/vda / ext4 defaults 0 0
host {SHARE} 9p trans=virtio,version=9p2000.L,msize=262144,nofail 0 0
"""
AGENT_UNIT = f"""[Unit]
Description=Runs what the lab asks for
RequiresMountsFor={SHARE}
[Service]
ExecStart=/usr/bin/python3 -B {SHARE}/guest/agent.py
Restart=always
RestartSec=1
OOMScoreAdjust=-1000
KillMode=process
[Install]
WantedBy=multi-user.target
"""
# A start without systemd, two seconds instead of ten, for tests that cut the power again and again (init=BARE_INIT):
# what the share holds as `start` runs as PID 1.
BARE_INIT = "/sbin/joulepath-lab-init"
BARE_SCRIPT = f"""#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
modprobe -a 9pnet_virtio virtio_console virtio_rng
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 host {SHARE}
mount -t tmpfs tmpfs /run
exec /bin/sh {SHARE}/start
"""


def disk(arch: str, kernel: Kernel) -> Path:
    """The disk that every machine of an architecture starts from; machines write to an overlay, never to it."""
    tar = root_tar(arch)
    recipe = {
        "tar": tar.name,
        "release": kernel.release,
        "extra": {path.name: file_digest(path) for path in sorted(kernel.extra.glob("*.ko"))},
        "modules": MODULES,
        "masked": MASKED,
        "files": [FSTAB, AGENT_UNIT, BARE_INIT, BARE_SCRIPT],
        "size_mib": SIZE_MIB,
        "whole": True,
    }
    return step(f"disk-{arch}", recipe, lambda target: _build(tar, kernel, target), ".img")


def _build(tar: Path, kernel: Kernel, target: Path) -> None:
    require_tools(["mke2fs", "depmod"])
    root = target.with_suffix(".root")
    remove(root)
    root.mkdir()
    checked(["tar", "-C", root, "-xf", tar, "--exclude=./dev/*"])
    _install_modules(root, kernel)
    _configure(root)
    image = target.with_suffix(".ext4")
    image.unlink(missing_ok=True)
    # Nothing is left for the guest's kernel to initialise later, which would be written while a test counts bytes.
    whole = "lazy_itable_init=0,lazy_journal_init=0"
    checked(["mke2fs", "-q", "-t", "ext4", "-E", whole, "-d", root, image, f"{SIZE_MIB}M"])
    image.rename(target)
    remove(root)


def _install_modules(root: Path, kernel: Kernel) -> None:
    folder = root / "usr" / "lib" / "modules" / kernel.release
    for source in insertion_order(kernel.modules, MODULES):
        place = folder / source.relative_to(kernel.modules)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
    for listing in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(kernel.modules / listing, folder)
    (folder / "extra").mkdir()
    for module in kernel.extra.glob("*.ko"):
        shutil.copy(module, folder / "extra")
    checked(["depmod", "-b", root, kernel.release])


def _configure(root: Path) -> None:
    system = root / "etc" / "systemd" / "system"
    (root / "etc" / "fstab").write_text(FSTAB)
    (root / SHARE.lstrip("/")).mkdir(parents=True)
    (system / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    (system / "joulepath-lab.service").write_text(AGENT_UNIT)
    (system / "multi-user.target.wants" / "joulepath-lab.service").symlink_to("../joulepath-lab.service")
    for unit in MASKED:
        (system / unit).unlink(missing_ok=True)
        (system / unit).symlink_to("/dev/null")
    bare = root / "usr" / BARE_INIT.lstrip("/")
    bare.write_text(BARE_SCRIPT)
    bare.chmod(0o755)
    (root / "var" / "log" / "journal").mkdir(parents=True, exist_ok=True)
