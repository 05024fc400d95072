"""The accuracy-power hull: what can be had by running one variant, or by sharing time between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Option:
    """A variant with what the models foretell of it."""

    id: str
    accuracy: float
    latency_ms: float
    power_w: float


@dataclass(frozen=True)
class Mix:
    """`high` for the share `share` of time, `low` for the rest; one and the same variant when none is shared."""

    low: Option
    high: Option
    share: float

    @property
    def alone(self) -> bool:
        return self.low.id == self.high.id


def upper_hull(options: Sequence[Option]) -> list[Option]:
    """The options on the upper concave hull of accuracy over power, cheapest first.

    All others are no better than sharing time between two of these.
    """
    hull: list[Option] = []
    for option in sorted(options, key=lambda o: (o.power_w, -o.accuracy, o.id)):
        if hull and option.accuracy <= hull[-1].accuracy:
            continue
        while len(hull) >= 2 and _slope(hull[-2], option) >= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(option)
    return hull


def _slope(a: Option, b: Option) -> float:
    return (b.accuracy - a.accuracy) / max(1e-12, b.power_w - a.power_w)


def mix_for(options: Sequence[Option], power_w: float) -> Mix:
    """The most accurate mix that draws `power_w` on the mean; the cheapest option alone where even that draws more.

    Raises ValueError without options.
    """
    hull = upper_hull(options)
    if not hull:
        raise ValueError("nothing to choose from")
    if power_w >= hull[-1].power_w:
        return Mix(hull[-1], hull[-1], 1.0)
    if power_w <= hull[0].power_w:
        return Mix(hull[0], hull[0], 1.0)
    for low, high in pairwise(hull):
        if power_w < high.power_w:
            return Mix(low, high, (power_w - low.power_w) / (high.power_w - low.power_w))
    raise AssertionError("the hull's end was looked at before")
