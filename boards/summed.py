"""Several disjoint rails read as one: the total of a board that has no single inlet.

All of them are read in one go, so that the sum holds for one moment as nearly as the bus allows. The rails themselves
are then shown from that same round: reading them once more would cost the bus what the sum needs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from boards.rails import Rail
from boards.sensor import Reading, Sensor, SensorLost
from boards.sysfs import Clock

_STALE_NS = 1_000_000_000
_TRIES = 3
_SHARE = 1.5  # a sum may take two thirds of its period: the other sensors want the thread too
_GRID_S = 0.01


class SummedRails:
    """Watts of `rails` together, at the middle of the round. One that is lost loses the sum: less would be a lie."""

    def __init__(self, rails: Sequence[Rail], clock: Clock = time.monotonic_ns) -> None:
        self._rails = tuple(rails)
        self._clock = clock
        self._latest: dict[str, Reading] = {}

    @property
    def resolution_w(self) -> float:
        """Steps of independent rails add as squares; 0 when any is unknown."""
        steps = [rail.resolution_w for rail in self._rails]
        return math.hypot(*steps) if all(steps) else 0.0

    def read(self) -> Reading:
        readings = {rail.label: rail.sensor.read() for rail in self._rails}
        self._latest = readings
        times = [reading.monotonic_ns for reading in readings.values()]
        watts = math.fsum(reading.value for reading in readings.values())
        if watts < 0:
            raise SensorLost(f"{' + '.join(readings)}: implausible sum {watts:.3f} W")
        return Reading(watts, (min(times) + max(times)) // 2)

    def part(self, label: str) -> _Part:
        """One of the rails, as the last round found it."""
        return _Part(self, label)

    def latest(self, label: str) -> Reading:
        reading = self._latest.get(label)
        if reading is None or self._clock() - reading.monotonic_ns > _STALE_NS:
            raise SensorLost(f"{label}: the sum that it belongs to was not read within the last second")
        return reading

    def close(self) -> None:
        for rail in self._rails:
            if hasattr(rail.sensor, "close"):
                rail.sensor.close()


class _Part:
    def __init__(self, rails: SummedRails, label: str) -> None:
        self._rails = rails
        self._label = label

    def read(self) -> Reading:
        return self._rails.latest(self._label)


def fitting_period_s(sensor: Sensor, clock: Clock, wanted_s: float) -> float:
    """`wanted_s`, or as much more as one read of `sensor` needs, on a grid of 10 ms.

    A driver may let each read wait for a conversion of its chip, 13 ms for a rail of an INA3221, or answer in half a
    millisecond: which one it is, only trying tells.
    """
    took_ns = []
    for _ in range(_TRIES):
        before_ns = clock()
        try:
            sensor.read()
        except SensorLost:
            return wanted_s
        took_ns.append(clock() - before_ns)
    needed_s = _SHARE * sorted(took_ns)[_TRIES // 2] * 1e-9
    return max(wanted_s, math.ceil(needed_s / _GRID_S - 1e-9) * _GRID_S)
