"""Cars, vans and trucks: two boxes on wheels."""

from __future__ import annotations

import math

import numpy as np

from edge.cameras.street.plan import Thing
from edge.cameras.street.view import (
    CAR,
    Canvas,
    disc,
)

_DETAIL_M = 40.0  # beyond this, small parts cannot be seen
_VAN_M = 1.9  # as high as this, it is a van: no side windows


def paint_car(canvas: Canvas, thing: Thing, depth: float, gain: float) -> None:
    """A vehicle as a lower and an upper box: near end, the side that we see, wheels, glass, lamps, shadow."""
    view, body = canvas.view, canvas.shade(thing.colour, depth, gain)
    half, high, near, far = thing.width_m / 2, thing.height_m, depth, depth + thing.length_m
    waist = high * 0.56
    shadow = view.project(thing.x_m + np.array([-1.1, 1.1, 1.1, -1.1]) * half, 0.0, [near - 0.1, near - 0.1, far, far])
    canvas.fill(shadow, canvas.shade((30, 28, 28), depth, 0.8))
    van = high > _VAN_M
    setback = 0.02 if van else 0.14
    roof_near, roof_far = near + thing.length_m * setback, far - thing.length_m * (0.12 if van else 0.3)
    roof_half = half * (0.97 if van else 0.82)
    glass = canvas.shade((58, 52, 46), depth, gain)
    _paint_flank(canvas, thing, depth, (roof_near, roof_far, roof_half), gain)
    lid_x = thing.x_m + np.array([-half, half, roof_half, -roof_half])
    canvas.fill(view.project(lid_x, [waist, waist, high, high], [near, near, roof_near, roof_near]), body, CAR)
    roof_x = thing.x_m + np.array([-roof_half, roof_half, roof_half, -roof_half])
    canvas.fill(view.project(roof_x, high, [roof_near, roof_near, roof_far, roof_far]), body, CAR)
    end_x = thing.x_m + np.array([-half, half, half, -half])
    canvas.fill(view.project(end_x, [0.25, 0.25, waist, waist], near), body, CAR)
    pane = thing.x_m + np.array([-0.9, 0.9, 0.78, -0.78]) * np.array([half, half, roof_half, roof_half])
    pane_y = [waist + 0.06, waist + 0.06, high - 0.12, high - 0.12]
    canvas.fill(view.project(pane, pane_y, [near, near, roof_near, roof_near]), glass)
    if near < _DETAIL_M:
        _paint_car_end(canvas, thing, near, gain)


def _paint_flank(canvas: Canvas, thing: Thing, near: float, roof: tuple[float, float, float], gain: float) -> None:
    """The side that we see, with its wheels; `roof` is where the roof begins, where it ends, and half its width."""
    view, half, waist, high = canvas.view, thing.width_m / 2, thing.height_m * 0.56, thing.height_m
    far, (roof_near, roof_far, roof_half) = near + thing.length_m, roof
    flank = thing.x_m + half if thing.x_m < view.camera_x_m else thing.x_m - half
    flank_top = thing.x_m + math.copysign(roof_half, flank - thing.x_m)
    glass = canvas.shade((58, 52, 46), near, gain)
    side_y, side_z = [0.28, 0.28, waist, waist], [near, far, far, near]
    canvas.fill(view.project(flank, side_y, side_z), canvas.shade(thing.colour, near, gain * 0.75), CAR)
    cabin = view.project(
        [flank, flank, flank_top, flank_top], [waist, waist, high, high], [near, far, roof_far, roof_near]
    )
    canvas.fill(cabin, canvas.shade(thing.colour, near, gain * 0.75) if thing.height_m > _VAN_M else glass, CAR)
    for along in (near + thing.length_m * 0.2, far - thing.length_m * 0.2):
        hub = view.project(flank, 0.31, along)
        ring = view.focal_px * 0.31 / along
        squash = max(0.15, min(0.9, abs(flank - view.camera_x_m) / along * 2))
        canvas.fill(disc(hub[0], hub[1], ring * squash, ring, 10), canvas.shade((26, 26, 26), near), CAR)


def _paint_car_end(canvas: Canvas, thing: Thing, near: float, gain: float) -> None:
    view, half, waist = canvas.view, thing.width_m / 2, thing.height_m * 0.56
    # Some show their tail, some their front.
    ahead = thing.style & 1
    lamp = canvas.shade((45, 40, 200) if ahead else (225, 235, 240), near, 1.1)
    for side in (-1, 1):
        inner, outer = thing.x_m + side * half * 0.6, thing.x_m + side * half * 0.95
        canvas.fill(
            view.project([inner, outer, outer, inner], [waist - 0.22, waist - 0.22, waist - 0.05, waist - 0.05], near),
            lamp,
        )
        tyre_in, tyre_out = thing.x_m + side * half * 0.62, thing.x_m + side * half * 0.96
        canvas.fill(
            view.project([tyre_in, tyre_out, tyre_out, tyre_in], [0.0, 0.0, 0.28, 0.28], near),
            canvas.shade((24, 24, 24), near), CAR,
        )  # fmt: skip
    plate = thing.x_m + np.array([-0.25, 0.25, 0.25, -0.25])
    canvas.fill(view.project(plate, [0.4, 0.4, 0.52, 0.52], near), canvas.shade((200, 225, 225), near, gain))
    bumper = thing.x_m + np.array([-half, half, half, -half])
    canvas.fill(view.project(bumper, [0.25, 0.25, 0.38, 0.38], near), canvas.shade((45, 45, 45), near, gain), CAR)
