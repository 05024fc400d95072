"""The search's own error."""

from __future__ import annotations

from converters.errors import ConvertError


class SearchError(ConvertError):
    """A search that cannot go on; what it had evaluated is kept."""
