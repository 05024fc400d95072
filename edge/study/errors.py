"""What a study of a board's engine says when it cannot go on."""

from __future__ import annotations

from edge.errors import JoulepathError


class StudyError(JoulepathError):
    """A latency study, table or kit that cannot be made, read or used."""
