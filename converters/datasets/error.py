"""The error of this room."""

from __future__ import annotations

from converters.errors import ConvertError
from edge.errors import UsageError


class DatasetError(ConvertError, UsageError):
    """A set that cannot be read as it was named; the message names the file and what to do."""
