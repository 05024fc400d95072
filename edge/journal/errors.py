"""What can go wrong with a journal that a user should hear about."""

from __future__ import annotations

from edge.errors import JoulepathError


class JournalError(JoulepathError):
    """A journal that cannot be opened, read, copied or exported as asked; the message says what to do."""
