"""Pedestrians and bicyclists, made of a few limbs that move with time."""

from __future__ import annotations

import math

import numpy as np

from edge.cameras.street.plan import Thing
from edge.cameras.street.view import (
    BICYCLIST,
    PEDESTRIAN,
    Canvas,
    Colour,
    Points,
    box,
    disc,
)

_DETAIL_M = 40.0  # beyond this, small parts cannot be seen
_SKIN: tuple[Colour, ...] = ((120, 150, 200), (90, 120, 170), (50, 75, 115), (140, 170, 220))


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
