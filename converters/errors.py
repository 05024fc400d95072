"""The converters' own errors; every message says what is wrong, where, and what to do next."""

from __future__ import annotations

from edge.errors import JoulepathError


class ConvertError(JoulepathError):
    """A conversion that cannot go on."""


class WeightsError(ConvertError):
    """Weights that cannot be found, read, or matched with their configuration."""
