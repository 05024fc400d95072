"""First boot: the root partition grows to its share of the card, the rest becomes the partition JPDATA.

The partition table is one sector, so a power cut leaves the old or the new one. Every step may run again until the
marker exists; the marker is written last, and JPDATA is never formatted once it is there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECTOR_BYTES = 512
ALIGN_SECTORS = 8192  # 4 MiB, the erase block of common cards
MIB_SECTORS = 2048
ROOT_MAX_SECTORS = 4096 * MIB_SECTORS
DATA_MIN_SECTORS = 64 * MIB_SECTORS
DATA_LABEL = "JPDATA"
MARKER = Path("/etc/joulepath-image.grown")
SKELETON = Path("/usr/share/joulepath-image/data")


class CannotGrow(RuntimeError):
    """Says why the card was left as it is."""


@dataclass(frozen=True)
class Layout:
    """Where root and data lie, in sectors of 512 bytes."""

    root_start: int
    root_sectors: int
    data_start: int
    data_sectors: int


def plan(card_sectors: int, root_start: int, root_sectors: int) -> Layout:
    """Root gets half the card, at most 4 GiB, never less than it has; data gets what is left.

    Raises CannotGrow when less than 64 MiB would be left for data.
    """
    half = card_sectors // 2 // ALIGN_SECTORS * ALIGN_SECTORS
    root_end = max(
        min(half, root_start + ROOT_MAX_SECTORS), -(-(root_start + root_sectors) // ALIGN_SECTORS) * ALIGN_SECTORS
    )
    data_end = card_sectors // ALIGN_SECTORS * ALIGN_SECTORS
    if data_end - root_end < DATA_MIN_SECTORS:
        needed = root_end + DATA_MIN_SECTORS
        raise CannotGrow(f"the card has {card_sectors // MIB_SECTORS} MiB, {needed // MIB_SECTORS} MiB are needed")
    return Layout(root_start, root_end - root_start, root_end, data_end - root_end)


def table_script(table: dict[str, Any], layout: Layout) -> str:
    """sfdisk's input for the new table: the boot partition as it is, root and data as planned."""
    boot = table["partitions"][0]
    return "\n".join(
        [
            "label: dos",
            f"label-id: {table['id']}",
            "unit: sectors",
            "",
            f"start={boot['start']}, size={boot['size']}, type={boot['type']}, bootable",
            f"start={layout.root_start}, size={layout.root_sectors}, type=83",
            f"start={layout.data_start}, size={layout.data_sectors}, type=83",
            "",
        ]
    )


def partition_name(disk: str, number: int) -> str:
    """sda, 2 -> sda2; mmcblk0, 2 -> mmcblk0p2."""
    return f"{disk}p{number}" if disk[-1].isdigit() else f"{disk}{number}"


def disk_of(partition: str, sys_block: Path = Path("/sys/class/block")) -> str:
    """The disk that holds a partition: sysfs nests the one in the other."""
    entry = (sys_block / partition).resolve()
    if not (entry / "partition").exists():
        raise CannotGrow(f"/ is on {partition}, which is no partition")
    return entry.parent.name


def read_table(device: str) -> dict[str, Any]:
    """sfdisk's view of a disk or an image file. Raises CannotGrow when it is not the table of the image."""
    table: dict[str, Any] = json.loads(_run("sfdisk", "--json", device))["partitiontable"]
    if table["label"] != "dos" or len(table["partitions"]) not in (2, 3):
        raise CannotGrow(f"{device} does not hold the two partitions of the image")
    return table


def write_table(device: str, card_sectors: int) -> Layout:
    """Plan and write the new table; the kernel is not told. Writing it again changes nothing."""
    table = read_table(device)
    root = table["partitions"][1]
    layout = plan(card_sectors, root["start"], root["size"])
    _run(
        "sfdisk", "--no-reread", "--no-tell-kernel", "--force", "--wipe", "never", device,
        given=table_script(table, layout),
    )  # fmt: skip
    return layout


def make_data(device: str, skeleton: Path = SKELETON) -> None:
    """Format JPDATA with the folders that are mounted from it; few inodes, so that formatting writes little."""
    _run(
        "mkfs.ext4", "-F", "-q", "-L", DATA_LABEL, "-m", "0", "-i", "262144", "-J", "size=16",
        "-d", str(skeleton), device,
    )  # fmt: skip


def grow() -> str:
    """Do all of it on the running card; returns what was done, in words."""
    root = Path(_run("findmnt", "-no", "SOURCE", "/").strip()).name
    disk = disk_of(root)
    card_sectors = int(Path(f"/sys/class/block/{disk}/size").read_text())
    layout = write_table(f"/dev/{disk}", card_sectors)
    _run("partx", "--update", "--nr", "2:3", f"/dev/{disk}")
    _run("udevadm", "settle", "--timeout=30")
    seen = int(Path(f"/sys/class/block/{root}/size").read_text())
    if seen != layout.root_sectors:
        raise CannotGrow(f"the kernel sees {seen} sectors of root, not {layout.root_sectors}")
    _run("resize2fs", f"/dev/{root}")
    make_data(f"/dev/{partition_name(disk, 3)}")
    os.sync()
    MARKER.write_text(f"root_sectors={layout.root_sectors}\ndata_sectors={layout.data_sectors}\n")
    os.sync()
    return (
        f"root has {layout.root_sectors // MIB_SECTORS} MiB now, {DATA_LABEL} {layout.data_sectors // MIB_SECTORS} MiB"
    )


def _run(*command: str, given: str | None = None) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotGrow(f"{command[0]}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def main() -> int:
    try:
        print(f"joulepath: {grow()}")
    except (CannotGrow, OSError) as error:
        print(f"joulepath: the card was not grown, Joulepath has no place for its journal: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
