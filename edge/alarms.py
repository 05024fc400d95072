"""Alarms: a flag of the board that rises or falls becomes an event, once for each edge."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from boards.board import Channel

OnEvent = Callable[[str, str, str], None]


class AlarmWatch:
    """Watches the samples of all channels that carry an `Alarm`; tells `on_event` (level, kind, message) of edges.

    A flag that is up at the first sample is told; one that is down is not. A lost sensor changes nothing: its own
    loss is told by the sampler, and whether the alarm still holds is unknown.
    """

    def __init__(self, channels: Iterable[Channel], on_event: OnEvent) -> None:
        self._alarms = {channel.name: channel.alarm for channel in channels if channel.alarm is not None}
        self._up = dict.fromkeys(self._alarms, False)
        self._on_event = on_event

    def sample(self, name: str, value: float) -> None:
        """One sample of any channel; the value of a flag is 0 or 1."""
        alarm = self._alarms.get(name)
        if alarm is None or (value >= 0.5) == self._up[name]:
            return
        self._up[name] = value >= 0.5
        if self._up[name]:
            self._on_event(alarm.level, alarm.kind, alarm.raised)
        else:
            self._on_event("info", alarm.kind, alarm.cleared)
