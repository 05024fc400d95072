"""What a recording is: named series of values over time, and where they come from.

Values are held: each one counts from its own time until the next. Straight lines between them would be wrong twice: a
meter's reading once a second is the mean of a second and no instant's value, and the integral of the held values is
exactly what the recording's own readings add up to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from boards.board import Quantity

Floats = npt.NDArray[np.float64]

GAP_STEPS = 5.0  # a value that is followed by nothing for so many usual steps holds one step, then the sensor is lost

# What is believed of a recorded value, in its unit; anything else is a damaged line.
PLAUSIBLE: dict[Quantity, tuple[float, float]] = {
    Quantity.POWER: (0.0, 10_000.0),
    Quantity.ENERGY: (0.0, 1e12),
    Quantity.TEMPERATURE: (-60.0, 200.0),
    Quantity.RATIO: (0.0, 1.0),
    Quantity.FREQUENCY: (0.0, 1e12),
    Quantity.FLAG: (0.0, 1.0),
}


@dataclass(frozen=True, eq=False)
class Series:
    """One line of a recording. `times_s` (float64, rising, the recording begins at 0) and `values` are of one length.

    Raises ValueError where they are not, or where there are none.
    """

    name: str
    quantity: Quantity
    times_s: Floats
    values: Floats

    def __post_init__(self) -> None:
        if len(self.times_s) != len(self.values) or len(self.times_s) == 0:
            raise ValueError(f"series {self.name!r} needs as many times as values, and one at least")
        if not (np.isfinite(self.times_s).all() and np.isfinite(self.values).all()):
            raise ValueError(f"series {self.name!r} holds values that are not finite")
        if len(self.times_s) > 1 and not (np.diff(self.times_s) > 0).all():
            raise ValueError(f"series {self.name!r} must rise in time")

    @cached_property
    def step_s(self) -> float:
        """The usual time between two values (median); 1 s where there is only one."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else 1.0

    @cached_property
    def ends_s(self) -> Floats:
        """Until when each value holds: the next one's time; the last one, and one before a gap, hold one usual step."""
        ends = np.append(self.times_s[1:], self.times_s[-1] + self.step_s)
        gaps = ends - self.times_s > GAP_STEPS * self.step_s
        return np.where(gaps, self.times_s + self.step_s, ends)

    @cached_property
    def sums(self) -> Floats:
        """The integral over time up to each value's own time."""
        return np.concatenate(([0.0], np.cumsum(self.values * (self.ends_s - self.times_s))))[:-1]

    @cached_property
    def gap_indices(self) -> npt.NDArray[np.int64]:
        """The values that come after a gap."""
        return np.flatnonzero(self.ends_s[:-1] < self.times_s[1:]) + 1

    @property
    def total(self) -> float:
        """The integral over the whole series, gaps left out: joules for watts."""
        return float(self.sums[-1] + self.values[-1] * (self.ends_s[-1] - self.times_s[-1]))

    def index_at(self, at_s: float) -> int | None:
        """Which value holds at a time; None before the first one, in a gap, and after the end."""
        index = int(np.searchsorted(self.times_s, at_s, side="right")) - 1
        return None if index < 0 or at_s >= self.ends_s[index] else index


@dataclass(frozen=True, eq=False)
class Recording:
    """What was recorded, by whom. `energy` names the POWER series that all of the board is behind, None if unknown.

    `began_utc_s` is when it began, seconds since 1970, as its time stamps say (taken as UTC where they name no zone).
    `notes` are facts for people: lines passed over, columns not used.
    """

    source: str
    kind: str
    series: tuple[Series, ...]
    energy: str | None = None
    rails_included: tuple[str, ...] = ()
    began_utc_s: float | None = None
    notes: dict[str, str] = field(default_factory=dict)

    @cached_property
    def duration_s(self) -> float:
        """From the first value to where the last one ceases to hold."""
        return max(float(series.ends_s[-1]) for series in self.series)

    def find(self, name: str) -> Series | None:
        """The series of that name."""
        return next((series for series in self.series if series.name == name), None)


def summed(name: str, parts: list[Series]) -> Series | None:
    """The sum of series where all of them have a value; None where that is nowhere."""
    times = parts[0].times_s
    for part in parts[1:]:
        if part.times_s is not times:
            times = np.intersect1d(times, part.times_s, assume_unique=True)
    if len(times) == 0:
        return None
    total = np.zeros(len(times))
    for part in parts:
        total += part.values if part.times_s is times else part.values[np.searchsorted(part.times_s, times)]
    return Series(name, parts[0].quantity, times, total)
