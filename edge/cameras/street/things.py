"""How the things of the street are painted: vehicles, people, trees, poles, signs, fences, buildings."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from edge.cameras.street.plan import Thing
from edge.cameras.street.view import (
    BICYCLIST,
    BUILDING,
    CAR,
    FENCE,
    NEAR_M,
    PEDESTRIAN,
    POLE,
    SIGN,
    TREE,
    Canvas,
    Colour,
    Points,
    box,
    disc,
)  # fmt: skip

_DETAIL_M = 40.0
_SKIN: tuple[Colour, ...] = ((120, 150, 200), (90, 120, 170), (50, 75, 115), (140, 170, 220))
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


def paint_car(canvas: Canvas, thing: Thing, depth: float, gain: float) -> None:
    """A vehicle as a lower and an upper box: near end, the side that we see, wheels, glass, lamps, shadow."""
    view, body = canvas.view, canvas.shade(thing.colour, depth, gain)
    half, high, near, far = thing.width_m / 2, thing.height_m, depth, depth + thing.length_m
    waist = high * 0.56
    shadow = view.project(thing.x_m + np.array([-1.1, 1.1, 1.1, -1.1]) * half, 0.0, [near - 0.1, near - 0.1, far, far])
    canvas.fill(shadow, canvas.shade((30, 28, 28), depth, 0.8))
    flank = thing.x_m + half if thing.x_m < view.camera_x_m else thing.x_m - half
    van = high > 1.9
    setback = 0.02 if van else 0.14
    roof_near, roof_far = near + thing.length_m * setback, far - thing.length_m * (0.12 if van else 0.3)
    roof_half = half * (0.97 if van else 0.82)
    flank_top = thing.x_m + math.copysign(roof_half, flank - thing.x_m)

    side_y, side_z = [0.28, 0.28, waist, waist], [near, far, far, near]
    canvas.fill(view.project(flank, side_y, side_z), canvas.shade(thing.colour, depth, gain * 0.75), CAR)
    cabin = view.project(
        [flank, flank, flank_top, flank_top], [waist, waist, high, high], [near, far, roof_far, roof_near]
    )
    glass = canvas.shade((58, 52, 46), depth, gain)
    canvas.fill(cabin, canvas.shade(thing.colour, depth, gain * 0.75) if van else glass, CAR)
    for along in (near + thing.length_m * 0.2, far - thing.length_m * 0.2):
        hub = view.project(flank, 0.31, along)
        ring = view.focal_px * 0.31 / along
        squash = max(0.15, min(0.9, abs(flank - view.camera_x_m) / along * 2))
        canvas.fill(disc(hub[0], hub[1], ring * squash, ring, 10), canvas.shade((26, 26, 26), depth), CAR)
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


def _paint_car_end(canvas: Canvas, thing: Thing, near: float, gain: float) -> None:
    view, half, waist = canvas.view, thing.width_m / 2, thing.height_m * 0.56
    # Lane traffic comes towards us on one side and leads on the other: white or red lamps.
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


def _paint_body(
    canvas: Canvas, thing: Thing, foot: Points, metre: float, label: int, swing: float, depth: float
) -> None:
    """Legs, torso, arms and head of somebody whose feet are at `foot` and who is `metre` pixels a metre."""
    tall = thing.height_m * metre
    across = np.array([tall, tall])

    def part(corners: list[tuple[float, float]], colour: Colour, gain: float = 1.0) -> None:
        canvas.fill(np.array(corners) * across + foot, canvas.shade(colour, depth, gain), label)

    for step, gain in ((swing, 0.75), (-swing, 1.0)):
        part([(-0.06, -0.5), (0.07, -0.5), (0.05 + step, 0.0), (-0.03 + step, 0.0)], thing.accent, gain)
    lean = 0.02 * math.sin(thing.phase)
    part([(-0.09, -0.46), (0.09, -0.46), (0.13 + lean, -0.8), (-0.13 + lean, -0.8)], thing.colour)
    for side in (-1, 1) if depth < _DETAIL_M else ():
        hand = side * 0.13 - side * swing * 0.7
        part(
            [(side * 0.12, -0.8), (side * 0.155, -0.76), (hand + 0.03, -0.44), (hand - 0.02, -0.44)], thing.colour, 0.82
        )
    head = foot + np.array([lean, -0.9]) * across
    skin = _SKIN[thing.style % len(_SKIN)]
    canvas.fill(disc(head[0], head[1], 0.055 * tall, 0.075 * tall, 10), canvas.shade(skin, depth), label)
    if depth > _DETAIL_M:
        return
    hair = canvas.shade((30, 35, 45) if thing.style & 8 else thing.accent, depth)
    canvas.fill(disc(head[0], head[1] - 0.035 * tall, 0.056 * tall, 0.045 * tall, 8), hair, label)


def paint_person(canvas: Canvas, thing: Thing, depth: float, gain: float, time_s: float) -> None:
    """Somebody walking (`length_m` is the walking speed) or standing."""
    column, row, scale = canvas.view.stand(thing.x_m, depth)
    swing = 0.1 * math.sin(7.0 * time_s + thing.phase) if thing.length_m else 0.02
    _paint_body(canvas, thing, np.array([column, row]), scale, PEDESTRIAN, swing, depth)


def paint_cyclist(canvas: Canvas, thing: Thing, depth: float, gain: float, time_s: float) -> None:
    """A rider from behind or ahead: one narrow wheel, handlebar, somebody pedalling above it."""
    column, row, scale = canvas.view.stand(thing.x_m, depth)
    dark = canvas.shade((28, 28, 30), depth)
    if thing.style % 3 == 0:
        # Seen at an angle: two wheels and the frame between them.
        for shift in (-0.42, 0.42):
            hoop = disc(column + shift * scale, row - 0.34 * scale, 0.3 * scale, 0.34 * scale, 16)
            canvas.lines(np.concatenate([hoop, hoop[:1]])[None], dark, 0.06 * scale, BICYCLIST)
        frame = np.array([(-0.42, -0.34), (0.0, -0.32), (0.36, -0.85), (-0.1, -0.85), (0.0, -0.32)])
        joints = (frame * scale + np.array([column, row]))[None]
        canvas.lines(joints, canvas.shade(thing.accent, depth), 0.05 * scale, BICYCLIST)
    else:
        wheel = disc(column, row - 0.34 * scale, max(0.7, 0.05 * scale), 0.34 * scale, 10)
        canvas.fill(wheel, dark, BICYCLIST)
        bar = row - 1.0 * scale
        canvas.fill(box(column - 0.28 * scale, bar, column + 0.28 * scale, bar + 0.05 * scale), dark, BICYCLIST)
    pedal = 0.05 * math.sin(5.0 * time_s + thing.phase)
    foot = np.array([column, row - 0.22 * scale])
    _paint_body(canvas, thing, foot, scale * 0.93, BICYCLIST, pedal, depth)
    if thing.style & 16:
        helmet = canvas.shade((200, 205, 60) if thing.style & 32 else (40, 45, 60), depth)
        crown = foot[1] - thing.height_m * 0.93 * scale * 0.94
        canvas.fill(disc(column, crown, 0.12 * scale, 0.08 * scale, 8), helmet, BICYCLIST)


STILL: dict[str, Callable[[Canvas, Thing, float, float], None]] = {
    "tree": paint_tree, "lamp": paint_lamp, "sign": paint_sign, "light": paint_light, "board": paint_board,
    "car": paint_car,
}  # fmt: skip
MOVING: dict[str, Callable[[Canvas, Thing, float, float, float], None]] = {
    "person": paint_person, "cyclist": paint_cyclist,
}  # fmt: skip
LONG: dict[str, Callable[[Canvas, Thing, float, float, float], None]] = {
    "building": paint_building, "shrubs": paint_shrubs, "fence": paint_fence,
}  # fmt: skip
