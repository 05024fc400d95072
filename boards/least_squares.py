"""Fits by least squares that say how far they may be off: few points, so Student's t instead of the bell curve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from boards.recording import Floats

LEAST_FREEDOM = 2  # with one reading to spare the 95 % interval is 12.7 standard deviations wide and says nothing


class Underdetermined(ValueError):
    """Too few or too similar readings; `missing` more are needed at least (0: other ones, not more)."""

    def __init__(self, missing: int) -> None:
        super().__init__(f"{missing} more readings are needed")
        self.missing = missing


@dataclass(frozen=True, eq=False)
class LinearFit:
    """Coefficients of ``values = design @ coefficients``, and what is needed to state their error.

    `scatter` is the standard deviation of one reading around the fit, in the values' unit, `freedom` how many readings
    were to spare, `unscaled` the inverse of design' design. `left_out` are the errors at each reading of a fit without
    it; `unusual` are the readings further off than one in a thousand would be.
    """

    coefficients: Floats
    scatter: float
    freedom: int
    unscaled: Floats
    residuals: Floats
    left_out: Floats
    unusual: tuple[int, ...]

    def at(self, row: Floats) -> float:
        """The fitted value for one row of a design."""
        return float(row @ self.coefficients)

    def half_width(self, row: Floats) -> float:
        """Half of the 95 % prediction interval for one further reading at `row`: t * s * sqrt(1 + x' (X'X)^-1 x)."""
        spread = math.sqrt(1.0 + float(row @ self.unscaled @ row))
        return student_t(0.95, self.freedom) * self.scatter * spread


def fit_linear(design: Floats, values: Floats, resolution: float = 0.0) -> LinearFit:
    """Ordinary least squares. `resolution` is the smallest step of a reading: readings that all round to one number
    scatter by resolution / sqrt(12) nevertheless, so no less is stated.

    Raises Underdetermined where coefficients outnumber what the readings tell apart, or fewer than two are to spare.
    """
    count, unknown = design.shape
    missing = unknown + LEAST_FREEDOM - count
    if missing > 0:
        raise Underdetermined(missing)
    if np.linalg.matrix_rank(design) < unknown:
        raise Underdetermined(0)
    unscaled = np.linalg.inv(design.T @ design)
    coefficients = unscaled @ design.T @ values
    residuals = values - design @ coefficients
    freedom = count - unknown
    variance = float(residuals @ residuals) / freedom
    leverage = np.clip(np.einsum("ij,jk,ik->i", design, unscaled, design), 0.0, 1.0)
    scatter = math.sqrt(variance + resolution * resolution / 12)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = np.where(leverage < 1 - 1e-9, residuals / (1 - leverage), np.nan)
    return LinearFit(
        coefficients, scatter, freedom, unscaled, residuals, left_out, _unusual(residuals, leverage, freedom, scatter)
    )


def _unusual(residuals: Floats, leverage: Floats, freedom: int, floor: float) -> tuple[int, ...]:
    """Readings whose residual, held against the scatter of the others alone, is beyond the 99.9 % of Student's t."""
    if freedom < 3:
        return ()
    limit = student_t(0.999, freedom - 1)
    found = []
    for index, (residual, lever) in enumerate(zip(residuals.tolist(), leverage.tolist(), strict=True)):
        if lever > 1 - 1e-9:
            continue
        others = (float(residuals @ residuals) - residual * residual / (1 - lever)) / (freedom - 1)
        spread = math.sqrt(max(others, 1e-4 * floor * floor, 1e-24) * (1 - lever))
        if abs(residual) > limit * spread and abs(residual) > floor:
            found.append(index)
    return tuple(found)


def student_t(share: float, freedom: int) -> float:
    """The t within which `share` of Student's distribution lies, both sides together.

    The distribution's closed form for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4), inverted by
    halving.
    """
    if not 0 < share < 1 or freedom < 1:
        raise ValueError("a share between 0 and 1, and one degree of freedom at least")
    low, high = 0.0, 1.0
    while _within(high, freedom) < share:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
