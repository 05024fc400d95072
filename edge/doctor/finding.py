"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "note", "warning", "wrong"]


@dataclass(frozen=True)
class Finding:
    """`wrong` keeps Joulepath from working, `warning` makes it work worse, `note` is worth knowing.

    `remedy` is what to do, word for word where a command does it.
    """

    state: State
    about: str
    text: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
