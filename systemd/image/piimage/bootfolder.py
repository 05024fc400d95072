"""What lies on the boot partition: firmware, kernel, initial RAM disk, device trees, and words for the user."""

from __future__ import annotations

import shutil
from pathlib import Path

from piimage import settings
from piimage.initrd import write_initrd
from piimage.tools import RecipeError

# See Raspberry Pi's documentation of config.txt; upstream_kernel makes the firmware use mainline's device tree names.
CONFIG_TXT = """\
# Read by the Raspberry Pi's firmware.
arm_64bit=1
enable_uart=1
upstream_kernel=1
kernel=vmlinuz
initramfs initrd.img followkernel
"""
# tty1's screen and the serial pins both show the boot; the last one is the console of programs.
CMDLINE = (
    f"console=tty0 console=ttyS1,115200 root=LABEL={settings.ROOT_LABEL} rootfstype=ext4 ro rootwait "
    "fsck.repair=yes net.ifnames=0 cma=64M panic=30 quiet\n"
)


def kernel_of(root: Path) -> str:
    """The one kernel release in the root folder."""
    found = sorted(path.name for path in (root / "usr/lib/modules").iterdir())
    if len(found) != 1:
        raise RecipeError(f"one kernel is expected in the base, {len(found)} are there: {', '.join(found)}")
    return found[0]


def fill_boot(root: Path, boot: Path, words: Path, epoch_s: int) -> list[str]:
    """Everything into `boot`; `words` are the files for the user. Returns the modules of the initial RAM disk."""
    kernel = kernel_of(root)
    for name in settings.FIRMWARE:
        shutil.copyfile(root / "usr/lib/raspi-firmware" / name, boot / name)
    shutil.copyfile(root / "usr/share/doc/raspi-firmware/copyright", boot / "LICENCE.firmware.txt")
    shutil.copyfile(root / f"boot/vmlinuz-{kernel}", boot / "vmlinuz")
    for name in settings.DEVICE_TREES:
        shutil.copyfile(root / f"usr/lib/linux-image-{kernel}/broadcom" / name, boot / name)
    (boot / "config.txt").write_text(CONFIG_TXT)
    (boot / "cmdline.txt").write_text(CMDLINE)
    for path in words.iterdir():
        shutil.copyfile(path, boot / path.name)
    return write_initrd(root, kernel, boot / "initrd.img", epoch_s)
