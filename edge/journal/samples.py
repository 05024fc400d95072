"""Readings of a channel gathered into one row a second, or a few seconds."""

from __future__ import annotations

from dataclasses import dataclass

_NS = 1_000_000_000
Row = tuple[int, int, int, int, int]  # second, channel, mean, min, max


@dataclass
class _Stretch:
    second: int
    count: int
    sum: float
    min: float
    max: float


class Stretches:
    """The stretch of time under way of each channel. `add` hands out the one that a reading closes."""

    def __init__(self) -> None:
        self._open: dict[int, _Stretch] = {}

    def add(self, channel_id: int, time_ns: int, value: float, scale: float, row_s: int) -> Row | None:
        """Take a reading in; returns a row in base units, named by its first second, when `row_s` are complete."""
        second = time_ns // (row_s * _NS) * row_s
        have = self._open.get(channel_id)
        if have is not None and second <= have.second:
            have.count += 1
            have.sum += value
            have.min = min(have.min, value)
            have.max = max(have.max, value)
            return None
        self._open[channel_id] = _Stretch(second, 1, value, value, value)
        return None if have is None else _row(channel_id, have, scale)

    def close(self, scales: dict[int, float]) -> list[Row]:
        """Every open stretch as a row; none is open afterwards."""
        rows = [_row(channel_id, stretch, scales[channel_id]) for channel_id, stretch in self._open.items()]
        self._open.clear()
        return rows


def _row(channel_id: int, stretch: _Stretch, scale: float) -> Row:
    mean, least, most = (round(value * scale) for value in (stretch.sum / stretch.count, stretch.min, stretch.max))
    return stretch.second, channel_id, mean, least, most
