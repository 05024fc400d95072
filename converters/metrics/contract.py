"""What every score can say, whatever it measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Interval = tuple[float, float]


class Scored(Protocol):
    """How one contestant did; ratios 0..1. `difference` is its value less that of the best, on the same images."""

    @property
    def variant_id(self) -> str:
        """The contestant: a variant of a bundle, or a file of predictions."""
        ...

    @property
    def metric(self) -> str:
        """The name of `value`."""
        ...

    @property
    def value(self) -> float: ...

    @property
    def confidence_interval(self) -> Interval:
        """95 %."""
        ...

    @property
    def difference(self) -> float: ...

    @property
    def difference_interval(self) -> Interval:
        """95 %, of paired comparisons."""
        ...

    @property
    def dataset(self) -> str: ...

    @property
    def images(self) -> int: ...

    def beside(self) -> Mapping[str, float]:
        """Further metrics by name."""
        ...
