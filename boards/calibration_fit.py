"""Fitting a calibration to an external meter's readings.

The table model takes the board's mean power in a state as

    watts = (1 - busy_share) * idle + busy_share * busy_of_the_variant

which is linear in what is sought, so that readings at any duty cycle count, and all of them tell how much the meter
scatters. The affine model is a straight line through (channel, meter).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np

from boards.calibration import IDLE, AffineModel, Calibration, Point, State, TableModel
from boards.least_squares import LEAST_FREEDOM, LinearFit, Underdetermined, fit_linear
from boards.recording import Floats
from boards.sensor import BoardError

POOR = 0.10  # a relative error beyond this is worth a warning
LEAST_BUSY = 0.2  # below this duty cycle a reading says next to nothing of the variant
# How far beyond the readings a straight line is believed, in widths of the range they span.
BELOW, ABOVE = 0.25, 0.5


@dataclass(frozen=True)
class Origin:
    """What is calibrated, with what.

    `meter_error` is the meter's accuracy as a share (95 %); `known` whether its user stated it or it is assumed.
    `resolution_w` is the smallest step that the meter shows.
    """

    board: str
    board_model: str
    meter: str
    meter_error: float
    known: bool
    resolution_w: float
    joulepath: str
    made_utc: str = ""

    def time(self) -> str:
        """When it was made."""
        return self.made_utc or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def fit_table(points: Sequence[Point], origin: Origin, interpolate: Mapping[str, float] | None = None) -> Calibration:
    """Idle watts and watts by variant.

    `interpolate` gives the cost (MACs) of variants by id: those without a reading whose cost lies between two that were
    read get watts between theirs, and the whole difference of the two as error. Raises BoardError, saying how many
    readings of what are missing.
    """
    variants = sorted({point.state for point in points} - {IDLE})
    _require_states(points, variants)
    unknowns = [IDLE, *variants]
    design = np.zeros((len(points), len(unknowns)))
    for line, point in zip(design, points, strict=True):
        share = 0.0 if point.state == IDLE else point.busy_share
        line[0] = 1.0 - share
        line[unknowns.index(point.state)] += share
    fit = _fitted(design, points, origin, "any of the states")
    states = {}
    for name, row in zip(unknowns, np.eye(len(unknowns)), strict=True):
        watts = fit.at(row)
        if watts <= 0:
            raise BoardError(f"the readings make {name} draw {watts:.2f} W, which cannot be: check them")
        own = fit.residuals[[point.state == name for point in points]]
        error_w = fit.half_width(row) * _unrest(own, fit.scatter)
        states[name] = State(watts=watts, error_w=error_w, readings=len(own))
    idle = states.pop(IDLE)
    warnings = [
        f"{name} draws {state.watts:.2f} W, less than idle ({idle.watts:.2f} W): was it running while read?"
        for name, state in states.items()
        if state.watts < idle.watts
    ]
    states |= _between(states, interpolate or {})
    errors = [(state.error_w, state.watts) for state in (idle, *states.values())]
    return _calibration(points, origin, fit, TableModel(idle=idle, variants=states), errors, warnings)


def fit_affine(points: Sequence[Point], channel: str, origin: Origin) -> Calibration:
    """Scale and offset that make the board's watts of `channel`'s. Raises BoardError."""
    bare = [point for point in points if point.sensor_w is None]
    if bare:
        raise BoardError(f"{len(bare)} readings have no value of {channel} beside them")
    sensor = np.array([point.sensor_w for point in points], dtype=np.float64)
    design = np.column_stack((sensor, np.ones(len(points))))
    fit = _fitted(design, points, origin, "at other loads")
    scale, offset_w = (float(value) for value in fit.coefficients)
    if scale <= 0:
        raise BoardError(
            f"the meter's watts fall as {channel}'s rise (scale {scale:.3f}): are the readings in the right order?"
        )
    width = float(sensor.max() - sensor.min())
    low_w, high_w = float(sensor.min()) - BELOW * width, float(sensor.max()) + ABOVE * width
    low_w = max(low_w, 0.0)
    lowest = scale * low_w + offset_w
    warnings = []
    if lowest <= 0:  # a line that is steep through few readings: believed only where it gives watts
        low_w = float(sensor.min())
    if width < 0.2 * float(sensor.mean()):
        warnings.append(
            f"the readings span only {width:.2f} W of {channel}: read the meter at rest and at full load as well"
        )
    ends = [np.array([at, 1.0]) for at in (low_w, float(sensor.min()), float(sensor.max()), high_w)]
    errors = [(fit.half_width(row), fit.at(row)) for row in ends]
    if any(watts <= 0 for _, watts in errors):
        raise BoardError(f"the readings make the board draw less than nothing at rest (offset {offset_w:.2f} W)")
    model = AffineModel(channel=channel, scale=scale, offset_w=offset_w, low_w=low_w, high_w=high_w)
    return _calibration(points, origin, fit, model, errors, warnings)


def _require_states(points: Sequence[Point], variants: list[str]) -> None:
    if not variants:
        raise BoardError("there is no reading of a running variant: read the meter while each variant runs, too")
    still = [v for v in variants if not any(p.state == v and p.busy_share > 0 for p in points)]
    if still:
        raise BoardError(f"the readings of {', '.join(still)} have a busy share of 0, so they say nothing of it")
    unread = all(point.state != IDLE for point in points)
    if unread and not any(0 < point.busy_share < 1 for point in points):
        raise BoardError(f"there is no reading of the board at rest (state {IDLE!r}): 1 more reading is needed")


def _fitted(design: Floats, points: Sequence[Point], origin: Origin, where: str) -> LinearFit:
    watts = np.array([point.watts for point in points], dtype=np.float64)
    try:
        return fit_linear(design, watts, origin.resolution_w)
    except Underdetermined as error:
        if not error.missing:
            raise BoardError(
                "the readings do not tell the states apart (all at one load): read the meter at another one as well"
            ) from error
        raise BoardError(
            f"{len(points)} readings for {design.shape[1]} unknowns: {error.missing} more are needed, of {where}, "
            f"so that the model's error can be stated ({LEAST_FREEDOM} readings to spare)"
        ) from error


def _unrest(own: Floats, scatter: float) -> float:
    """How many times more a state's own readings scatter than all together, 1 at least.

    A board at rest draws evenly, one at work does not: what all readings share would flatter the latter.
    """
    if len(own) < 3 or scatter == 0.0:
        return 1.0
    return max(1.0, math.sqrt(float(own @ own) / (len(own) - 1)) / scatter)


def _between(states: Mapping[str, State], costs: Mapping[str, float]) -> dict[str, State]:
    """States for variants that were not read, from those read just below and just above in cost."""
    read = sorted((costs[name], state.watts, state.error_w) for name, state in states.items() if name in costs)
    found = {}
    for name, cost in costs.items():
        if name in states:
            continue
        below = [each for each in read if each[0] <= cost]
        above = [each for each in read if each[0] >= cost]
        if not below or not above:
            continue  # drawn on beyond the readings it would be a guess
        (low, low_w, low_error), (high, high_w, high_error) = below[-1], above[0]
        share = (cost - low) / (high - low) if high > low else 0.5
        error_w = abs(high_w - low_w) + max(low_error, high_error)
        found[name] = State(watts=low_w + share * (high_w - low_w), error_w=error_w, readings=0, origin="interpolated")
    return found


def _calibration(
    points: Sequence[Point],
    origin: Origin,
    fit: LinearFit,
    model: TableModel | AffineModel,
    errors: list[tuple[float, float]],
    warnings: list[str],
) -> Calibration:
    relative = math.hypot(max(error / watts for error, watts in errors), origin.meter_error)
    left_out = fit.left_out[np.isfinite(fit.left_out)]
    if relative > POOR:
        warnings.append(f"poor: the model may be off by {relative:.0%}; more readings, or a steadier load, would help")
    for index in fit.unusual:
        point = points[index]
        warnings.append(
            f"reading {index + 1} ({point.state}, {point.watts:g} W) lies {fit.residuals[index]:+.2f} W from the "
            "model, far beyond the others: was it a slip?"
        )
    weak = sorted({p.state for p in points if p.state != IDLE and p.sensor_w is None and p.busy_share < LEAST_BUSY})
    if weak:
        warnings.append(
            f"{', '.join(weak)} ran less than {LEAST_BUSY:.0%} of the time while read: its watts are extrapolated"
        )
    if not origin.known:
        warnings.append(
            f"the meter's accuracy was not given: {origin.meter_error:.0%} is assumed (--meter-error PERCENT states it)"
        )
    return Calibration(
        board=origin.board,
        board_model=origin.board_model,
        made_utc=origin.time(),
        joulepath=origin.joulepath,
        meter=origin.meter,
        meter_error=origin.meter_error,
        meter_error_known=origin.known,
        resolution_w=origin.resolution_w,
        points=tuple(points),
        model=model,
        scatter_w=fit.scatter,
        freedom=fit.freedom,
        left_out_w=float(np.sqrt(np.mean(left_out**2))) if len(left_out) else None,
        error_w=max(error for error, _ in errors),
        relative_error=min(10.0, relative),
        warnings=tuple(warnings),
    )
