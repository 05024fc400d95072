"""A consistent copy of a journal that somebody may be writing."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from edge.journal.errors import JournalError
from edge.journal.reader import connect_for_reading


def copy_journal(source: Path, target: Path, *, overwrite: bool = False) -> int:
    """Copy `source` to `target` with SQLite's backup; returns its bytes. Raises JournalError.

    The copy appears under its name only when it is whole.
    """
    if target.exists() and not overwrite:
        raise JournalError(f"{target} exists: remove it, name another file, or pass --force")
    partial = target.with_name(target.name + ".part")
    reader = connect_for_reading(source)
    try:
        partial.unlink(missing_ok=True)
        writer = sqlite3.connect(partial)
        try:
            # All in one read: in WAL mode the writer goes on meanwhile, while a backup in steps starts anew at each
            # commit of another process.
            reader.backup(writer, pages=-1)
            writer.execute("PRAGMA journal_mode=DELETE")  # one file, which can be moved and read anywhere
        finally:
            writer.close()
        os.replace(partial, target)
    except (sqlite3.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        raise JournalError(f"{source} cannot be copied to {target}: {error}") from error
    finally:
        reader.close()
    return target.stat().st_size
