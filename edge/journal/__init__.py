"""The journal: what every frame cost, kept on the device in one SQLite file of bounded size."""

from __future__ import annotations

from edge.journal.errors import JournalError
from edge.journal.reader import JournalReader
from edge.journal.rows import (
    ChannelRow,
    ClockRow,
    EventRow,
    FrameRow,
    JournalSettings,
    Level,
    RunRow,
    SampleRow,
    StoredFrame,
    SwitchRow,
    VariantRow,
)
from edge.journal.writer import Journal

__all__ = [
    "ChannelRow",
    "ClockRow",
    "EventRow",
    "FrameRow",
    "Journal",
    "JournalError",
    "JournalReader",
    "JournalSettings",
    "Level",
    "RunRow",
    "SampleRow",
    "StoredFrame",
    "SwitchRow",
    "VariantRow",
]
