"""Where the journal lies when nobody says: the same place for who writes it and who reads it."""

from __future__ import annotations

import os
from pathlib import Path

SYSTEM = Path("/var/lib/joulepath")
NAME = "journal.db"


def default_journal() -> Path:
    """``$STATE_DIRECTORY`` (systemd), ``/var/lib/joulepath`` where it may be written, else the user's state folder."""
    given = os.environ.get("STATE_DIRECTORY")
    if given:
        return Path(given.split(":")[0]) / NAME
    if os.access(SYSTEM, os.W_OK):
        return SYSTEM / NAME
    return _own()


def journal_to_read() -> Path:
    """Where `default_journal` writes; but the service's journal for whoever may read it without being the service.

    It is also named to who may not read it and has none of their own, so that they are told what is missing.
    """
    if os.environ.get("STATE_DIRECTORY") or os.access(SYSTEM, os.W_OK):
        return default_journal()
    hidden = SYSTEM.is_dir() and not os.access(SYSTEM, os.X_OK)
    if os.access(SYSTEM / NAME, os.R_OK) or (hidden and not _own().exists()):
        return SYSTEM / NAME
    return _own()


def _own() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "joulepath" / NAME
