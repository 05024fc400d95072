"""The card: file systems made from folders and a partition table put before them. No loop device, no mount."""

from __future__ import annotations

import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

from piimage import settings
from piimage.tools import run

_ENTRY = struct.Struct("<B3sB3sII")
# What the first and last sector are called in cylinders, heads and sectors by everyone who means "look at the numbers".
_NO_CHS = b"\xfe\xff\xff"


@dataclass(frozen=True)
class Partition:
    """A place on the card, in bytes."""

    start: int
    size: int
    kind: int
    bootable: bool = False


def layout(root_bytes: int) -> tuple[Partition, Partition]:
    """Boot and root, each beginning on a card's erase block."""
    boot = Partition(settings.ALIGN_BYTES, settings.BOOT_BYTES, 0x0C, bootable=True)
    return boot, Partition(boot.start + boot.size, root_bytes, 0x83)


def aligned(size: int) -> int:
    return -(-size // settings.ALIGN_BYTES) * settings.ALIGN_BYTES


def boot_record(partitions: tuple[Partition, ...]) -> bytes:
    """The 512 bytes of a DOS partition table; the code area is empty, the Pi's firmware needs none."""
    table = bytearray(512)
    struct.pack_into("<I", table, 440, settings.DISK_SIGNATURE)
    for number, part in enumerate(partitions):
        start, size = part.start // settings.SECTOR_BYTES, part.size // settings.SECTOR_BYTES
        flag = 0x80 if part.bootable else 0
        _ENTRY.pack_into(table, 446 + 16 * number, flag, _NO_CHS, part.kind, _NO_CHS, start, size)
    table[510:] = b"\x55\xaa"
    return bytes(table)


def make_boot(folder: Path, image: Path, epoch_s: int, size: int = settings.BOOT_BYTES) -> None:
    """A FAT32 of the folder's files, their times at the epoch."""
    names = sorted(folder.iterdir())
    for name in names:
        os.utime(name, (epoch_s, epoch_s))
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size)
    run(
        "mkfs.vfat", "-F", "32", "--invariant", "-i", f"{settings.BOOT_VOLUME_ID:08x}", "-n", settings.BOOT_LABEL, image
    )
    # -m keeps the files' times; mtools takes its own clock from SOURCE_DATE_EPOCH
    run("mcopy", "-m", "-i", image, *names, "::", env={"SOURCE_DATE_EPOCH": str(epoch_s), "TZ": "UTC"})


def make_root(folder: Path, image: Path, epoch_s: int) -> None:
    """An ext4 of the folder, owners and modes kept, as small as it may be with a little room to work."""
    image.unlink(missing_ok=True)
    run(
        "mke2fs", "-q", "-t", "ext4", "-L", settings.ROOT_LABEL, "-U", settings.ROOT_UUID, "-m", "1",
        "-E", f"hash_seed={settings.ROOT_HASH_SEED},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
        "-d", folder, image, str(root_bytes(folder) // 1024),
        env={"E2FSPROGS_FAKE_TIME": str(epoch_s), "MKE2FS_DEVICE_SECTSIZE": "512"},
    )  # fmt: skip
    _set_times(image, epoch_s)


def root_bytes(folder: Path) -> int:
    """Size of the root file system: its files in whole blocks, inodes and journal, and the spare room."""
    block = 4096
    used = files = 0
    for path in folder.rglob("*"):
        files += 1
        if path.is_file() and not path.is_symlink():
            used += -(-path.stat().st_size // block) * block
        elif path.is_dir():
            used += block
    inodes = files * 512
    return aligned(int(used * 1.04) + inodes + 64 * settings.MIB + settings.ROOT_SPARE_BYTES)


def _set_times(image: Path, epoch_s: int) -> None:
    """Times of change and access come from this machine's copy of the files: set them all to the epoch."""
    listing = run("debugfs", "-R", "stats", image).decode()
    total = int(next(line for line in listing.splitlines() if line.startswith("Inode count")).split()[-1])
    free = int(next(line for line in listing.splitlines() if line.startswith("Free inodes")).split()[-1])
    script = []
    for inode in (2, *range(11, total - free + 1)):
        for field in ("atime", "ctime", "crtime"):
            script.append(f"set_inode_field <{inode}> {field} @{epoch_s}")
    run("debugfs", "-w", "-f", "-", image, given="\n".join(script).encode(), env={"E2FSPROGS_FAKE_TIME": str(epoch_s)})


def assemble(boot: Path, root: Path, target: Path) -> None:
    """Table, boot and root in one sparse file."""
    partitions = layout(aligned(root.stat().st_size))
    with target.open("wb") as file:
        file.truncate(partitions[-1].start + partitions[-1].size)
        file.write(boot_record(partitions))
        for image, part in zip((boot, root), partitions, strict=True):
            file.seek(part.start)
            with image.open("rb") as source:
                _copy_sparse(source.fileno(), file.fileno(), part.start)


def _copy_sparse(source: int, target: int, offset: int) -> None:
    size = os.fstat(source).st_size
    at = 0
    while at < size:
        piece = os.pread(source, 4 << 20, at)
        if piece.count(0) != len(piece):
            os.pwrite(target, piece, offset + at)
        at += len(piece)


def compress(image: Path) -> Path:
    """image.xz, as Raspberry Pi Imager takes it; the same bytes on every machine."""
    target = image.with_name(image.name + ".xz")
    target.unlink(missing_ok=True)
    run("xz", "--keep", "--force", "-6", "--threads=2", "--block-size=64MiB", image)
    return target


def room_for(folder: Path, needed: int) -> bool:
    """Whether the folder's disk has so many bytes free."""
    return shutil.disk_usage(folder).free > needed
