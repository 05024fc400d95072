"""Which kernel modules must be there before the root partition can be: chosen from the boards' own device trees.

No list of ours can be tried on every board, so the boards' device trees decide: each driver of a bus, clock, regulator,
card or USB controller that they name goes in, with what it depends on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# Kinds of driver that stand between the kernel and its root partition; the rest (cameras, Wi-Fi) comes later, from it.
EARLY_KINDS = (
    "bus", "clk", "dma", "firmware", "gpio", "irqchip", "mailbox", "mfd", "mmc", "pci", "phy", "pinctrl", "power",
    "regulator", "reset", "soc", "usb", "watchdog",
)  # fmt: skip
# Not named by a device tree: file system, block layers, USB disks and hosts behind PCI, the watchdog (a cell of a
# multi-function device), and virtio, by which the same image boots in a virtual machine.
ALWAYS = (
    "ext4", "crc32c_generic", "mmc_block", "sd_mod", "usb-storage", "uas", "xhci-pci", "bcm2835_wdt",
    "virtio_pci", "virtio_mmio", "virtio_blk",
)  # fmt: skip
_OF_ALIAS = re.compile(r"alias of:N\*T[^ ]*?C([^ *]+)(?:C\*)? (\S+)")


def early_modules(modules: Path, compatibles: Iterable[str]) -> list[str]:
    """Paths below `modules` (a /lib/modules/VERSION after depmod), in an order in which each can be inserted."""
    needs = _dependencies(modules / "modules.dep")
    by_name = {_name(path): path for path in needs}
    wanted = [by_name[_plain(name)] for name in ALWAYS if _plain(name) in by_name]
    named = set(compatibles)
    for line in (modules / "modules.alias").read_text().splitlines():
        match = _OF_ALIAS.fullmatch(line)
        path = by_name.get(_plain(match[2])) if match and match[1] in named else None
        if path is not None and path.startswith(tuple(f"kernel/drivers/{kind}/" for kind in EARLY_KINDS)):
            wanted.append(path)
    ordered: dict[str, None] = {}
    for path in sorted(wanted):
        # modules.dep names the direct need first and what that needs after it
        ordered.update(dict.fromkeys([*reversed(needs[path]), path]))
    return list(ordered)


def _dependencies(modules_dep: Path) -> dict[str, list[str]]:
    lines = (line.partition(":") for line in modules_dep.read_text().splitlines())
    return {path: rest.split() for path, _, rest in lines}


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _name(path: str) -> str:
    return _plain(Path(path).name.partition(".")[0])
