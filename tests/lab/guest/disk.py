"""The guest's disks: filled to the last block, freed again, and what was written."""

from __future__ import annotations

import os
from pathlib import Path

FILLER = Path("/var/filler")
SECTOR_BYTES = 512
SMALLEST = 4096


def fill() -> int:
    """Leave nothing free, reserved blocks included; returns the bytes that were taken."""
    with FILLER.open("ab") as stream:
        size = 1 << 30
        while size >= SMALLEST:
            try:
                end = stream.tell()
                os.posix_fallocate(stream.fileno(), end, size)
                stream.seek(end + size)
            except OSError:
                size //= 2
    return FILLER.stat().st_size


def free() -> None:
    """Give it all back."""
    FILLER.unlink(missing_ok=True)


def written_bytes(disk: str = "vda") -> int:
    """What a disk, by default the system's, was given to write since boot, by whomever; asking writes nothing."""
    return int(Path(f"/sys/block/{disk}/stat").read_text().split()[6]) * SECTOR_BYTES
