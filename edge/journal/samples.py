"""Readings of a channel gathered into one row a second."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class _Second:
    second: int
    count: int
    sum: float
    min: float
    max: float


class Seconds:
    """Open seconds by channel. `add` hands out the second that a reading closes."""

    def __init__(self) -> None:
        self._open: dict[int, _Second] = {}

    def add(self, channel_id: int, time_ns: int, value: float, scale: float) -> tuple[int, int, int, int, int] | None:
        """Take a reading in; returns (second, channel_id, mean, min, max) in base units when a second is complete."""
        second = time_ns // 1_000_000_000
        have = self._open.get(channel_id)
        if have is not None and second <= have.second:
            have.count += 1
            have.sum += value
            have.min = min(have.min, value)
            have.max = max(have.max, value)
            return None
        self._open[channel_id] = _Second(second, 1, value, value, value)
        return None if have is None else _row(channel_id, have, scale)

    def close(self, scales: dict[int, float]) -> list[tuple[int, int, int, int, int]]:
        """Every open second as a row; none is open afterwards."""
        rows = [_row(channel_id, second, scales[channel_id]) for channel_id, second in self._open.items()]
        self._open.clear()
        return rows


def _row(channel_id: int, second: _Second, scale: float) -> tuple[int, int, int, int, int]:
    mean, least, most = (round(value * scale) for value in (second.sum / second.count, second.min, second.max))
    return second.second, channel_id, mean, least, most
