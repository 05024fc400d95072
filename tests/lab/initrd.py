"""A boot initrd made on this machine in a second: static busybox, the modules that reach the root, one script."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.lab.cache import step
from tests.lab.kernel import Kernel
from tests.lab.packages import ForeignApt
from tests.lab.tools import checked, require_tools

MODULES = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"]
APPLETS = ["sh", "mount", "insmod", "switch_root", "sleep", "cat"]
INIT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done < /modules/order
init=/sbin/init
for word in $(cat /proc/cmdline); do case $word in init=*) init=${word#init=};; esac; done
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
mount -t ext4 -o rw /dev/vda /newroot || exec sh
for part in dev sys proc; do mount --move "/$part" "/newroot/$part"; done
exec switch_root /newroot "$init"
"""


def initrd(arch: str, kernel: Kernel) -> Path:
    """The initrd that mounts ``/dev/vda`` (ext4) and hands over to its ``/sbin/init``, or to what ``init=`` names.

    initramfs-tools would need the target's root filesystem and minutes of emulation; a lab needs neither.
    """
    recipe = {"release": kernel.release, "modules": MODULES, "applets": APPLETS, "init": INIT}
    return step(f"initrd-{arch}", recipe, lambda target: _build(arch, kernel, target), ".img")


def insertion_order(modules: Path, names: list[str]) -> list[Path]:
    """The files of the named modules and of all they need, each after what it needs; a built-in one has none."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        name, _, rest = line.partition(":")
        needs[name] = rest.split()
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    order: dict[str, None] = {}
    for name in names:
        path = by_name.get(name.replace("-", "_"))
        if path is not None:
            order.update(dict.fromkeys([*reversed(needs[path]), path]))
    return [modules / path for path in order]


def _build(arch: str, kernel: Kernel, target: Path) -> None:
    require_tools(["dpkg-deb", "cpio"])
    (archive,) = ForeignApt(arch).download(["busybox-static"])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        for part in ("bin", "proc", "sys", "dev", "newroot", "modules"):
            (root / part).mkdir(parents=True)
        checked(["dpkg-deb", "-x", archive, Path(folder, "package")])
        shutil.copy(Path(folder, "package", "bin", "busybox"), root / "bin")
        for applet in APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        files = insertion_order(kernel.modules, MODULES)
        for path in files:
            shutil.copy(path, root / "modules")
        (root / "modules" / "order").write_text("".join(f"{path.name}\n" for path in files))
        (root / "init").write_text(INIT)
        (root / "init").chmod(0o755)
        checked(["bash", "-o", "pipefail", "-c", f"find . | cpio -o -H newc --quiet > {target}"], cwd=root)
