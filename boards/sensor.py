"""What a sensor is: one value with a unit and the monotonic time at which it held."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, runtime_checkable


class BoardError(Exception):
    """A board that cannot be used as asked; the message says what to do."""


class SensorLost(Exception):
    """A sensor gave no valid value this time (file gone, ENODATA, EIO, garbage); it may come back."""


class Method(IntEnum):
    """How an energy figure was obtained; the numbers are stored in journals and never change."""

    UNAVAILABLE = 0
    MODELLED = 1
    MEASURED = 2
    COUNTER = 3


@dataclass(frozen=True)
class Reading:
    """One value and the monotonic time, in nanoseconds, at the middle of the read. Never NaN."""

    value: float
    monotonic_ns: int


@runtime_checkable
class Sensor(Protocol):
    """One quantity. `read` returns a finite value in the sensor's unit or raises SensorLost."""

    def read(self) -> Reading: ...


class NullSensor:
    """The sensor that is not there: every read says so."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def read(self) -> Reading:
        raise SensorLost(self.reason)
