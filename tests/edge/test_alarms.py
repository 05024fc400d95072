from __future__ import annotations

from boards.board import Alarm, Channel, Quantity
from boards.sensor import NullSensor
from edge.alarms import AlarmWatch

UNDER = Alarm("critical", "undervoltage", "the supply sags below 4.63 V", "the supply is steady again")


def test_each_edge_is_told_once_and_other_channels_never() -> None:
    told: list[tuple[str, str, str]] = []
    channels = [
        Channel("undervoltage", Quantity.FLAG, NullSensor(""), 1.0, alarm=UNDER),
        Channel("throttled", Quantity.FLAG, NullSensor(""), 1.0),
    ]
    watch = AlarmWatch(channels, lambda *event: told.append(event))
    for value in (0.0, 1.0, 1.0, 0.0, 0.0, 1.0):
        watch.sample("undervoltage", value)
        watch.sample("throttled", value)
    assert told == [
        ("critical", "undervoltage", UNDER.raised),
        ("info", "undervoltage", UNDER.cleared),
        ("critical", "undervoltage", UNDER.raised),
    ]
