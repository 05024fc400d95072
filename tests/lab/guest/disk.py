"""The guest's disk: filled to the last block, and freed again."""

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


def written_bytes() -> int:
    """What the root disk was given to write since boot, by whomever; asking writes nothing itself."""
    return int(Path("/sys/block/vda/stat").read_text().split()[6]) * SECTOR_BYTES
