"""What stands on the pavement: trees, lamps, signs, traffic lights."""

from __future__ import annotations

import math
import random
from functools import lru_cache

import numpy as np

from edge.cameras.street.plan import Thing
from edge.cameras.street.view import (
    POLE,
    SIGN,
    TREE,
    Canvas,
    Points,
    box,
    disc,
)


@lru_cache(maxsize=256)
def _crown(style: int) -> tuple[Points, Points, Points]:
    """A crown of unit size: its ragged outline, clumps of leaves, and branches."""
    rng = random.Random(style)
    turn = np.linspace(0, 2 * math.pi, 42, endpoint=False)
    ragged = np.array([rng.uniform(0.8, 1.0) for _ in turn]) * (0.92 + 0.08 * np.sin(turn * 5 + style))
    outline = np.stack([np.cos(turn) * ragged, np.sin(turn) * ragged], -1)
    clumps = np.stack([
        disc(rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), (s := rng.uniform(0.1, 0.3)), s * 0.8, 7)
        for _ in range(22)
    ])  # fmt: skip
    clumps += np.array([[rng.uniform(-0.06, 0.06) for _ in range(2)] for _ in range(22 * 7)]).reshape(22, 7, 2)
    turns = [(rng.uniform(0.2, 0.9), rng.uniform(-math.pi, 0)) for _ in range(26)]
    tips = [(reach, math.cos(turn), math.sin(turn)) for reach, turn in turns]
    branches = np.array([
        [(0.02 * i % 0.1, 0.9), (r * 0.45 * x, 0.3 + r * 0.3 * y), (r * x, r * y)]
        for i, (r, x, y) in enumerate(tips)
    ])  # fmt: skip
    return outline, clumps, branches


def paint_tree(canvas: Canvas, thing: Thing, depth: float, gain: float) -> None:
    """A trunk and a crown, in leaf or bare."""
    column, row, scale = canvas.view.stand(thing.x_m, depth)
    outline, clumps, branches = _crown(thing.style % 97)
    size = np.array([thing.width_m / 2, thing.height_m * 0.36]) * scale
    centre = np.array([column, row - thing.height_m * 0.64 * scale])
    trunk = max(0.6, thing.height_m * 0.022 * scale)
    bark = canvas.shade(thing.accent, depth, gain)
    canvas.fill(box(column - trunk, row - thing.height_m * 0.5 * scale, column + trunk, row), bark, TREE)
    canvas.fill(outline * size + centre, canvas.shade(thing.colour, depth, gain), TREE)
    if depth > 70:
        return
    bare = max(thing.colour) - min(thing.colour) < 30
    canvas.fill(clumps[:11] * size + centre, canvas.shade(thing.colour, depth, gain * (1.15 if bare else 0.6)))
    canvas.fill(clumps[11:] * size + centre, canvas.shade(thing.colour, depth, gain * (0.75 if bare else 1.3)))
    if bare:
        canvas.lines(branches * size + centre, bark, scale * 0.035)


def paint_lamp(canvas: Canvas, thing: Thing, depth: float, gain: float) -> None:
    """A lamp post with its arm over the road."""
    column, row, scale = canvas.view.stand(thing.x_m, depth)
    colour, half = canvas.shade(thing.colour, depth, gain), max(0.5, 0.075 * scale)
    top = row - thing.height_m * scale
    canvas.fill(box(column - half, top, column + half, row), colour, POLE)
    canvas.fill(box(column - half * 1.8, row - 1.1 * scale, column + half * 1.8, row), colour, POLE)
    reach = math.copysign(1.3 * scale, -thing.x_m) if thing.style & 1 else 0.0
    left, right = min(column, column + reach) - half, max(column, column + reach) + half
    canvas.fill(box(left, top, right, top + max(1.0, 0.09 * scale)), colour, POLE)
    head = canvas.shade(thing.accent, depth)
    canvas.fill(disc(column + reach, top, 0.32 * scale, 0.14 * scale, 8), head, POLE)


def paint_sign(canvas: Canvas, thing: Thing, depth: float, gain: float) -> None:
    """A traffic sign on its post: disc, triangle, square or a wide plate."""
    column, row, scale = canvas.view.stand(thing.x_m, depth)
    half, top = max(0.5, 0.045 * scale), row - thing.height_m * scale
    canvas.fill(box(column - half, top, column + half, row), canvas.shade(thing.colour, depth, gain), POLE)
    size = (0.34 + 0.06 * (thing.style >> 4 & 3)) * scale
    rim, face = canvas.shade((40, 35, 190), depth, gain), canvas.shade((225, 230, 230), depth, gain)
    shape = thing.style % 4
    if shape == 0:
        canvas.fill(disc(column, top, size, size), rim, SIGN)
        canvas.fill(disc(column, top, size * 0.72, size * 0.72), face)
        canvas.fill(box(column - size * 0.3, top - size * 0.4, column + size * 0.25, top + size * 0.4), rim)
    elif shape == 1:
        corners = np.array([(0, -1.15), (1.1, 0.8), (-1.1, 0.8)])
        canvas.fill(corners * size + (column, top), rim, SIGN)
        canvas.fill(corners * size * 0.6 + (column, top + size * 0.1), face)
    else:
        wide = size * (1.0 if shape == 2 else 1.7)
        plate = canvas.shade(thing.accent, depth, gain)
        canvas.fill(box(column - wide, top - size, column + wide, top + size), plate, SIGN)
        canvas.fill(box(column - wide * 0.7, top - size * 0.6, column + wide * 0.5, top - size * 0.2), face)
        canvas.fill(box(column - wide * 0.7, top + size * 0.1, column + wide * 0.7, top + size * 0.4), face)


def paint_light(canvas: Canvas, thing: Thing, depth: float, gain: float) -> None:
    """A traffic light: the sign class, as CamVid labels it."""
    column, row, scale = canvas.view.stand(thing.x_m, depth)
    half, top = max(0.5, 0.06 * scale), row - thing.height_m * scale
    canvas.fill(box(column - half, top, column + half, row), canvas.shade(thing.colour, depth, gain), POLE)
    canvas.fill(
        box(column - 0.2 * scale, top, column + 0.2 * scale, top + 0.95 * scale),
        canvas.shade((24, 24, 22), depth),
        SIGN,
    )
    lit = thing.style % 3
    for index, lamp in enumerate(((40, 40, 235), (30, 170, 250), (130, 235, 60))):
        gain_lamp = 1.6 if index == lit else 0.2
        spot = disc(column, top + (0.2 + 0.28 * index) * scale, 0.11 * scale, 0.11 * scale, 8)
        canvas.fill(spot, canvas.shade(lamp, depth, gain_lamp))


def paint_board(canvas: Canvas, thing: Thing, depth: float, gain: float) -> None:
    """A sign that hangs from a house over the pavement."""
    column, row, scale = canvas.view.stand(thing.x_m, depth)
    top, size = row - thing.height_m * scale, 0.4 * scale
    canvas.fill(
        box(column - size, top - size, column + size, top + size), canvas.shade(thing.colour, depth, gain), SIGN
    )
    face = canvas.shade((215, 220, 222), depth, gain)
    canvas.fill(box(column - size * 0.6, top - size * 0.6, column + size * 0.6, top - size * 0.1), face)
