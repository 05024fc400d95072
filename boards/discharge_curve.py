"""State of charge from a pack's voltage, by a stated curve of its cells: a model, and always labelled as one.

The curves are resting voltages. Under load a pack reads lower, by its resistance times the current, and by what lies
between cells and meter (diodes, wires); LiFePO4 is so flat that 20 mV are a fifth of its charge. What a curve is worth
on two recorded discharges stands in docs/batteries.md.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

Points = tuple[tuple[float, float], ...]  # (charge 0..1, volts of one cell), rising in both


@dataclass(frozen=True)
class DischargeCurve:
    """A cell's resting voltage by its charge; `source` says who measured it, and how."""

    name: str
    points: Points
    source: str

    def charge(self, cell_volts: float) -> float:
        """Charge, 0..1, of a resting cell; below and above the curve it is 0 and 1."""
        charges, volts = zip(*self.points, strict=True)
        return _interpolated(cell_volts, volts, charges)

    def volts(self, charge: float) -> float:
        """Resting voltage of a cell with this charge, 0..1."""
        charges, volts = zip(*self.points, strict=True)
        return _interpolated(charge, charges, volts)

    def energy_share(self, charge: float) -> float:
        """Share of a full cell's energy that is left at this charge: the last ampere-hours come at a lower voltage."""
        below = [point for point in self.points if point[0] < charge]
        return _area((*below, (charge, self.volts(charge)))) / _area(self.points)


def _interpolated(value: float, known: tuple[float, ...], wanted: tuple[float, ...]) -> float:
    if value <= known[0]:
        return wanted[0]
    if value >= known[-1]:
        return wanted[-1]
    above = bisect_right(known, value)
    low, high = known[above - 1], known[above]
    return wanted[above - 1] + (wanted[above] - wanted[above - 1]) * (value - low) / (high - low)


def _area(points: Points) -> float:
    return sum((right[0] - left[0]) * (right[1] + left[1]) / 2 for left, right in pairwise(points))


CURVES = {
    curve.name: curve
    for curve in (
        DischargeCurve(
            "li-ion",
            (
                (0.0, 2.500), (0.010, 2.760), (0.022, 2.943), (0.041, 3.090), (0.061, 3.175), (0.080, 3.227),
                (0.100, 3.268), (0.151, 3.351), (0.202, 3.416), (0.249, 3.497), (0.299, 3.558), (0.350, 3.610),
                (0.401, 3.662), (0.448, 3.704), (0.499, 3.752), (0.550, 3.798), (0.601, 3.840), (0.652, 3.884),
                (0.699, 3.922), (0.750, 3.979), (0.800, 4.037), (0.851, 4.075), (0.898, 4.090), (0.949, 4.111),
                (0.980, 4.138), (1.0, 4.175),
            ),
            "18650 cell US18650VTC6, mean of charge and discharge at C/20 (derlucae98/US18650VTC6_OCV_SOC_Curve, MIT)",
        ),
        DischargeCurve(
            "li-po",
            (
                (0.00, 3.400), (0.05, 3.446), (0.10, 3.492), (0.15, 3.525), (0.20, 3.552), (0.25, 3.571), (0.30, 3.587),
                (0.35, 3.600), (0.40, 3.612), (0.45, 3.628), (0.50, 3.650), (0.55, 3.683), (0.60, 3.714), (0.65, 3.746),
                (0.70, 3.783), (0.75, 3.826), (0.80, 3.874), (0.85, 3.926), (0.90, 3.984), (0.95, 4.054), (1.00, 4.172),
            ),
            "pouch cell of the Anbernic RG353, ocv-capacity-table-0 of its device tree in the Linux kernel",
        ),
        DischargeCurve(
            "lifepo4",
            (
                (0.0, 2.0102), (0.0033, 2.4177), (0.0117, 2.7405), (0.0267, 2.9299), (0.0534, 3.0872), (0.0885, 3.1942),
                (0.2972, 3.2772), (0.9833, 3.3511), (0.9950, 3.4180), (1.0, 3.5981),
            ),
            "18650 cell APR18650M1B at C/32 (Sunil, Pattipati, Balasingam: Piecewise linear approximation of battery "
            "open-circuit voltage, 2025)",
        ),
    )
}  # fmt: skip
