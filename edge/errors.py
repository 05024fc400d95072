"""The root of every error that a user may meet: its message says what is wrong, where, and what to do next."""

from __future__ import annotations


class JoulepathError(Exception):
    """The work failed (exit code 1)."""


class UsageError(JoulepathError):
    """Bad usage or configuration (exit code 2)."""
