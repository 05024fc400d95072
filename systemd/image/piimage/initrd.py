"""A small initial RAM disk, made on the host: static busybox, the early modules and an init of twenty lines.

initramfs-tools would take minutes under emulation; this takes a second, and finds root by label on a card, a USB disk
or a virtual disk.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from piimage import devicetree, settings
from piimage.drivers import early_modules
from piimage.tools import RecipeError, run

INIT = Path(__file__).parent.parent / "initrd-init"
APPLETS = ("blkid", "cat", "findfs", "insmod", "mount", "reboot", "sh", "sleep", "switch_root")


def write_initrd(root: Path, kernel: str, target: Path, epoch_s: int) -> list[str]:
    """Write the zstd-compressed cpio for the kernel release; returns the modules in it, in their order."""
    modules = root / "usr/lib/modules" / kernel
    trees = root / f"usr/lib/linux-image-{kernel}" / "broadcom"
    named: set[str] = set()
    for name in settings.DEVICE_TREES:
        named |= devicetree.compatibles((trees / name).read_bytes())
    order = early_modules(modules, named)
    busybox = root / "usr/bin/busybox"
    if not busybox.exists():
        raise RecipeError("the base has no static busybox; the package busybox-static brings it")
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder), busybox, modules, order)
        target.write_bytes(_packed(Path(folder), epoch_s))
    return order


def _fill(tree: Path, busybox: Path, modules: Path, order: Iterable[str]) -> None:
    for name in ("bin", "dev", "lib/modules", "newroot", "proc", "sys"):
        (tree / name).mkdir(parents=True)
    shutil.copyfile(busybox, tree / "bin/busybox")
    (tree / "bin/busybox").chmod(0o755)
    for applet in APPLETS:
        (tree / "bin" / applet).symlink_to("busybox")
    for path in order:
        shutil.copyfile(modules / path, tree / "lib/modules" / Path(path).name)
    (tree / "lib/modules/order").write_text("".join(f"{Path(path).name}\n" for path in order))
    shutil.copyfile(INIT, tree / "init")
    (tree / "init").chmod(0o755)


def _packed(tree: Path, epoch_s: int) -> bytes:
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    for name in names:
        os.utime(tree / name, (epoch_s, epoch_s), follow_symlinks=False)
    listing = "\n".join(names).encode() + b"\n"
    archive = run("cpio", "-o", "-H", "newc", "--quiet", "--reproducible", "-R", "0:0", given=listing, cwd=tree)
    return run("zstd", "-q", "-19", "-c", given=archive)
