"""What stands where along the endless street: a pure function of the seed and the number of a 40 m block."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import lru_cache

from edge.cameras.street.manner import Manner, facade, grey, leaf, manner_of, paint
from edge.cameras.street.view import Colour

BLOCK_M = 40.0


@dataclass(frozen=True)
class Thing:
    """One object. `at_m` is its place along the street, `x_m` across it; the rest depends on `kind`."""

    kind: str
    at_m: float
    x_m: float
    height_m: float
    length_m: float
    width_m: float
    colour: Colour
    accent: Colour
    style: int
    phase: float
    behind: bool = False


@dataclass
class Builder:
    """Puts things into one block, with that block's own randomness."""

    rng: random.Random
    manner: Manner
    start_m: float
    things: list[Thing] = field(default_factory=list)

    def add(
        self,
        kind: str,
        offset_m: float,
        x_m: float,
        height_m: float,
        colour: Colour,
        *,
        length_m: float = 0.0,
        width_m: float = 0.0,
        accent: Colour = (0.0, 0.0, 0.0),
        behind: bool = False,
    ) -> None:
        rng = self.rng
        style, phase = rng.randrange(1 << 16), rng.uniform(0, 6.28)
        at = self.start_m + offset_m
        self.things.append(Thing(kind, at, x_m, height_m, length_m, width_m, colour, accent, style, phase, behind))

    def row_of_buildings(self, x_m: float, low_m: float, high_m: float, gap: float) -> None:
        offset = 0.0
        while offset < BLOCK_M - 3:
            length = min(self.rng.uniform(6, 16), BLOCK_M - offset)
            if self.rng.random() >= gap:
                height = self.rng.uniform(low_m, high_m)
                self.add("building", offset, x_m, height, facade(self.rng), length_m=length, accent=facade(self.rng))
            offset += length

    def fence(self, x_m: float, height_m: float) -> None:
        colour, accent = facade(self.rng), grey(self.rng, 20, 190)
        style = self.rng.randrange(3)
        for part in range(4):
            self.add("fence", part * 10.0, x_m, height_m, colour, length_m=10.0, accent=accent)
            self.things[-1] = replace(self.things[-1], style=style)

    def trees(self, x_m: float, spacing_m: float, behind: bool) -> None:
        offset = self.rng.uniform(0, spacing_m)
        while offset < BLOCK_M:
            height = self.rng.uniform(4.5, 12)
            self.add(
                "tree", offset, x_m * self.rng.uniform(0.95, 1.2 if behind else 1.02), height,
                leaf(self.rng, self.manner.winter), width_m=height * self.rng.uniform(0.5, 0.85),
                accent=grey(self.rng, 25, 70), behind=behind,
            )  # fmt: skip
            offset += spacing_m * self.rng.uniform(0.7, 1.4)

    def shrubs(self, x_m: float, low_m: float, high_m: float) -> None:
        colour = leaf(self.rng, self.manner.winter and self.rng.random() < 0.5)
        self.add("shrubs", 0.0, x_m, self.rng.uniform(low_m, high_m), colour, length_m=BLOCK_M)


@lru_cache(maxsize=256)
def block(seed: int, number: int) -> tuple[Thing, ...]:
    """Everything that stands still in block `number` (any integer), both sides of the street."""
    things: list[Thing] = []
    manner = manner_of(seed)
    for side in (-1, 1):
        builder = Builder(random.Random(f"block {seed} {number} {side}"), manner, number * BLOCK_M)
        # A side keeps its character for three blocks, so that streets have stretches.
        character = random.Random(f"stretch {seed} {number // 3} {side}").random()
        _frontage(builder, side, character)
        _furniture(builder, side, character)
        things += builder.things
    return tuple(things)


def _frontage(builder: Builder, side: int, character: float) -> None:
    rng, wall = builder.rng, builder.manner.wall_m
    if character < 0.5:
        builder.row_of_buildings(side * wall, 6.5, 15, 0.04)
        builder.shrubs(side * (wall + 14), 3, 8)
        if rng.random() < 0.25:
            builder.trees(side * (wall - 0.9), 11, behind=False)
    elif character < 0.78:
        if rng.random() < 0.5:
            builder.row_of_buildings(side * (wall + 11), 8, 15, 0.1)
        builder.shrubs(side * (wall + 4), 1.8, 4.5)
        builder.trees(side * (wall + 2), 7, behind=True)
        builder.fence(side * wall, rng.uniform(0.9, 2.0))
    else:
        builder.shrubs(side * (wall + 15), 4, 9)
        builder.row_of_buildings(side * (wall + 5), 5.5, 8.5, 0.18)
        builder.shrubs(side * (wall + 0.8), 1.0, 1.8)
        builder.trees(side * (wall + 2), 14, behind=True)
        builder.fence(side * wall, rng.uniform(0.7, 1.3))


def _furniture(builder: Builder, side: int, character: float) -> None:
    rng, manner = builder.rng, builder.manner
    kerb = side * (manner.road_half_m + 0.45)
    for offset in (rng.uniform(0, 6), rng.uniform(20, 26)):
        if rng.random() < 0.75:
            builder.add("lamp", offset, kerb, rng.uniform(4.5, 8), grey(rng, 25, 170), accent=grey(rng, 120, 220))
    for _ in range(rng.randrange(1, 4)):
        builder.add("sign", rng.uniform(2, 38), kerb, rng.uniform(2.2, 3.2), grey(rng, 40, 170), accent=paint(rng))
    if rng.random() < 0.45:
        builder.add("light", rng.uniform(4, 36), kerb, rng.uniform(2.8, 3.8), grey(rng, 20, 150))
    if character < 0.5 and rng.random() < 0.7:
        builder.add("board", rng.uniform(4, 36), side * (manner.wall_m - 0.5), rng.uniform(3.0, 4.5), paint(rng))
    if rng.random() < 0.75:
        slot = rng.uniform(0, 5)
        parked = side * (manner.road_half_m - 1.1)
        while slot < BLOCK_M - 4:
            if rng.random() < 0.42 and manner.road_half_m > 3.9:
                vehicle(builder, slot, parked)
            slot += rng.uniform(5.6, 7.5)
    for _ in range(rng.randrange(0, 3)):
        across = side * rng.uniform(manner.road_half_m + 0.8, manner.wall_m - 0.4)
        height = rng.uniform(1.5, 1.9)
        builder.add("person", rng.uniform(0, 40), across, height, paint(rng, 0.8), accent=paint(rng, 0.6))


def vehicle(builder: Builder, offset_m: float, x_m: float) -> None:
    """Add a car, or now and then a van."""
    rng = builder.rng
    large = rng.random() < 0.15
    builder.add(
        "car", offset_m, x_m, rng.uniform(2.0, 2.7) if large else rng.uniform(1.38, 1.65), paint(rng),
        length_m=rng.uniform(4.9, 6.5) if large else rng.uniform(3.6, 4.6), width_m=rng.uniform(1.65, 1.95),
    )  # fmt: skip
