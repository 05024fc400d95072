"""Where the journal lies when nobody says: the same place for who writes it and who reads it."""

from __future__ import annotations

import os
from pathlib import Path


def default_journal() -> Path:
    """``$STATE_DIRECTORY`` (systemd), ``/var/lib/joulepath`` where it may be written, else the user's state folder."""
    given = os.environ.get("STATE_DIRECTORY")
    if given:
        return Path(given.split(":")[0]) / "journal.db"
    system = Path("/var/lib/joulepath")
    if os.access(system, os.W_OK):
        return system / "journal.db"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "joulepath" / "journal.db"
