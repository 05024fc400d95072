"""Room for the write-ahead log, taken once.

A log that grows with each commit makes the file system note new blocks, a new size and the bitmaps behind them at each
fsync: on ext4 that was as much again as the rows themselves (56 kB of log, 119 kB written, a minute of 10 frames a
second). In room that is there already a commit overwrites, and only its data goes to the disk. The log is as large
anyway before SQLite starts it over from its beginning (https://sqlite.org/wal.html, "Avoiding Excessively Large WAL
Files").

Zeros beyond the log's last frame are safe: a frame counts only with the salt of the log's header and a checksum that
continues the one before it (https://sqlite.org/fileformat2.html#the_write_ahead_log), and zeros carry neither.
"""

from __future__ import annotations

import os
from pathlib import Path

_FRAME_HEADER_BYTES = 24
_CHUNK = bytes(64 * 1024)


def reserve_log(database: Path, pages: int, page_bytes: int) -> int:
    """Write zeros behind the end of the log of `database` until it has room for `pages`; returns how many bytes.

    Only for the one that writes the database, between two commits. Does nothing where there is no log; raises OSError.
    """
    wanted = 32 + pages * (_FRAME_HEADER_BYTES + page_bytes)
    try:
        handle = os.open(f"{database}-wal", os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return 0
    try:
        before = at = os.fstat(handle).st_size
        while at < wanted:
            at += os.write(handle, _CHUNK[: wanted - at])
        if at > before:
            os.fsync(handle)  # now, by itself, and not while a commit waits for its own few pages
        return at - before
    finally:
        os.close(handle)
