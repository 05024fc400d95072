"""What lines the street: houses, hedges, fences."""

from __future__ import annotations

import numpy as np

from edge.cameras.street.plan import Thing
from edge.cameras.street.view import (
    BUILDING,
    FENCE,
    NEAR_M,
    TREE,
    Canvas,
    Colour,
    Points,
)

_GLASS: tuple[Colour, ...] = ((40, 35, 30), (85, 75, 65), (150, 135, 120), (60, 60, 70), (200, 185, 170))


def paint_building(canvas: Canvas, thing: Thing, near: float, far: float, gain: float) -> None:
    """A house: the wall along the street, the wall that faces us, windows, shop front, roof."""
    view, label = canvas.view, BUILDING
    side = 1.0 if thing.x_m > 0 else -1.0
    middle = (near + far) / 2
    wall = canvas.shade(thing.colour, middle, gain)
    if near > 3:
        outer = thing.x_m + side * 9
        facing = view.project([thing.x_m, outer, outer, thing.x_m], [0, 0, thing.height_m, thing.height_m], near)
        canvas.fill(facing, canvas.shade(thing.colour, near, gain * 0.78), label)
    along = np.linspace(max(near, 2.0), far, 4)
    bottom, top = view.project(thing.x_m, 0.0, along), view.project(thing.x_m, thing.height_m, along)
    canvas.fill(np.concatenate([bottom, top[::-1]]), wall, label)
    if thing.style & 1:
        _paint_roof(canvas, thing, along, gain)
    if near < 70:
        _paint_windows(canvas, thing, near, far, gain)


def _paint_roof(canvas: Canvas, thing: Thing, along: Points, gain: float) -> None:
    rise = 0.6 + 0.5 * (thing.style >> 4 & 3)
    eaves = canvas.view.project(thing.x_m, thing.height_m, along)
    ridge = canvas.view.project(thing.x_m, thing.height_m + rise, along)
    canvas.fill(np.concatenate([eaves, ridge[::-1]]), canvas.shade((62, 62, 78), float(along.mean()), gain), BUILDING)


def _paint_windows(canvas: Canvas, thing: Thing, near: float, far: float, gain: float) -> None:
    view, style = canvas.view, thing.style
    storey, bay = 2.8 + (style >> 6 & 3) * 0.25, 1.9 + (style >> 8 & 3) * 0.6
    width, tall = bay * (0.42 + 0.1 * (style >> 10 & 3)), storey * (0.45 + 0.08 * (style >> 12 & 3))
    shop = style & 2
    floors = np.arange(1 if shop else 0, max(1, int(thing.height_m // storey))) * storey + storey * 0.3
    # Bays are counted from the house's own end, so that windows stay put while we drive by.
    start = far - thing.length_m
    bays = start + bay * 0.3 + np.arange(int(thing.length_m // bay)) * bay
    bays = bays[bays > 2.0]
    depth = (near + far) / 2
    if floors.size and bays.size:
        y, z = (grid.ravel()[:, None] for grid in np.meshgrid(floors, bays))
        for grow, colour in ((0.12, thing.accent), (0.0, _GLASS[style % len(_GLASS)])):
            low, high = y - grow, y + tall + grow
            left, right = z - grow, z + width + grow
            quads = view.project(
                thing.x_m, np.concatenate([low, low, high, high], 1), np.concatenate([left, right, right, left], 1)
            )
            canvas.fill(quads, canvas.shade(colour, depth, gain))
    if shop:
        ends = np.array([max(near, 2.0), far - 0.3])
        for low, high, colour in ((0.5, 2.4, _GLASS[style % 3]), (2.5, 3.1, thing.accent)):
            lower, upper = view.project(thing.x_m, low, ends), view.project(thing.x_m, high, ends)
            canvas.fill(np.concatenate([lower, upper[::-1]]), canvas.shade(colour, depth, gain))


def paint_shrubs(canvas: Canvas, thing: Thing, near: float, far: float, gain: float) -> None:
    """A hedge or a far row of trees: a wall of leaves with an uneven top."""
    start = far - thing.length_m
    steps = start + np.arange(0, 33) * (thing.length_m / 32)
    tops = thing.height_m * (0.72 + 0.28 * np.sin(np.arange(33) * 1.7 + thing.phase) * np.sin(np.arange(33) * 0.61))
    seen = steps > NEAR_M * 1.5
    if seen.sum() < 2:
        return
    bottom = canvas.view.project(thing.x_m, 0.0, steps[seen])
    top = canvas.view.project(thing.x_m, tops[seen], steps[seen])
    canvas.fill(np.concatenate([bottom, top[::-1]]), canvas.shade(thing.colour, (near + far) / 2, gain * 0.8), TREE)
    lower = canvas.view.project(thing.x_m, tops[seen] * 0.55, steps[seen])
    canvas.fill(np.concatenate([bottom, lower[::-1]]), canvas.shade(thing.colour, (near + far) / 2, gain * 0.55))


def paint_fence(canvas: Canvas, thing: Thing, near: float, far: float, gain: float) -> None:
    """A garden wall, boards, or railings on a low wall."""
    view, depth = canvas.view, (near + far) / 2
    ends = np.array([max(near, NEAR_M), far])
    bottom, top = view.project(thing.x_m, 0.0, ends), view.project(thing.x_m, thing.height_m, ends)
    style = thing.style % 3
    body = canvas.shade(thing.colour if style else thing.accent, depth, gain * (0.9 if style else 0.55))
    canvas.fill(np.concatenate([bottom, top[::-1]]), body, FENCE)
    rails = (0.0, 0.35, thing.colour) if style == 0 else (thing.height_m - 0.14, thing.height_m, thing.accent)
    lower, upper = view.project(thing.x_m, rails[0], ends), view.project(thing.x_m, rails[1], ends)
    canvas.fill(np.concatenate([lower, upper[::-1]]), canvas.shade(rails[2], depth, gain))
    if near > 45:
        return
    step = (0.35, 2.5, 0.9)[style]
    posts = far - thing.length_m + np.arange(int(thing.length_m / step)) * step
    posts = posts[posts > NEAR_M]
    lines = np.stack([view.project(thing.x_m, 0.0, posts), view.project(thing.x_m, thing.height_m, posts)], axis=1)
    if len(lines):
        canvas.lines(lines, canvas.shade(thing.accent, depth, gain * 0.8), view.focal_px * 0.05 / depth)
