"""What stands where along the endless street: a pure function of the seed and the number of a 40 m block."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import lru_cache

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


@dataclass(frozen=True)
class Manner:
    """What a seed decides once for its whole street."""

    road_half_m: float
    pavement_m: float
    lane_side: int
    speed_m_s: float
    light: float
    sky_top: Colour
    sky_low: Colour
    cloud: float
    road: Colour
    pavement: Colour
    warmth: float
    winter: bool
    sunny_side: int
    shadow: float
    focal: float
    horizon: float
    camera_y_m: float
    noise: float
    traffic: float
    phase: float

    @property
    def wall_m(self) -> float:
        """Distance from the road's middle to the pavement's outer edge, metres."""
        return self.road_half_m + self.pavement_m


def _grey(rng: random.Random, low: float, high: float, tint: float = 0.12) -> Colour:
    level = rng.uniform(low, high)
    return (level * rng.uniform(1 - tint, 1 + tint), level, level * rng.uniform(1 - tint, 1 + tint))


def _paint(rng: random.Random, bright: float = 1.0) -> Colour:
    """Any colour, greys most often: clothes, cars."""
    if rng.random() < 0.5:
        return _grey(rng, 18, 215 * bright)
    base, strong = rng.uniform(15, 70), rng.uniform(70, 210) * bright
    channels = [base, base * rng.uniform(0.8, 1.6), base * rng.uniform(0.8, 1.6)]
    channels[rng.randrange(3)] = strong
    return (channels[0], channels[1], channels[2])


_FACADES: tuple[Colour, ...] = (
    (62, 84, 128), (88, 120, 152), (120, 150, 175), (178, 196, 205), (205, 210, 214), (70, 78, 92), (110, 118, 128),
    (140, 168, 190), (60, 66, 100), (150, 150, 148), (95, 130, 165), (45, 52, 62),
)  # fmt: skip


def _facade(rng: random.Random) -> Colour:
    blue, green, red = rng.choice(_FACADES)
    level = rng.uniform(0.7, 1.15)
    return (blue * level * rng.uniform(0.9, 1.1), green * level, red * level * rng.uniform(0.9, 1.1))


def _leaf(rng: random.Random, winter: bool) -> Colour:
    if winter:
        return _grey(rng, 55, 120, 0.18)
    return (rng.uniform(18, 55), rng.uniform(60, 125), rng.uniform(35, 105))


@lru_cache(maxsize=64)
def manner_of(seed: int) -> Manner:
    """The street's own manner: widths, light, weather, palette."""
    rng = random.Random(f"manner {seed}")
    overcast = rng.random() < 0.35
    light = rng.uniform(0.42, 1.0)
    if overcast:
        sky_top, sky_low = _grey(rng, 165, 225, 0.04), _grey(rng, 205, 250, 0.03)
    else:
        sky_top = (rng.uniform(205, 255), rng.uniform(150, 205), rng.uniform(95, 170))
        sky_low = (rng.uniform(235, 255), rng.uniform(215, 250), rng.uniform(190, 245))
    return Manner(
        road_half_m=rng.uniform(3.4, 5.2),
        pavement_m=rng.uniform(1.8, 4.0),
        lane_side=-1 if rng.random() < 0.75 else 1,
        speed_m_s=rng.uniform(6.0, 11.0),
        light=light,
        sky_top=sky_top,
        sky_low=sky_low,
        cloud=rng.uniform(0.0, 1.0),
        road=_grey(rng, 72, 135, 0.06),
        pavement=_grey(rng, 95, 175, 0.09),
        warmth=rng.uniform(-0.08, 0.10),
        winter=rng.random() < 0.4,
        sunny_side=rng.choice((-1, 1)),
        shadow=1.0 if overcast else rng.uniform(0.45, 0.8),
        focal=rng.uniform(0.95, 1.35),
        horizon=rng.uniform(0.38, 0.52),
        camera_y_m=rng.uniform(1.3, 1.9),
        noise=rng.uniform(1.0, 5.0),
        traffic=rng.uniform(0.3, 1.0),
        phase=rng.uniform(0, 6.28),
    )


@dataclass
class _Builder:
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
                self.add("building", offset, x_m, height, _facade(self.rng), length_m=length, accent=_facade(self.rng))
            offset += length

    def fence(self, x_m: float, height_m: float) -> None:
        colour, accent = _facade(self.rng), _grey(self.rng, 20, 190)
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
                _leaf(self.rng, self.manner.winter), width_m=height * self.rng.uniform(0.5, 0.85),
                accent=_grey(self.rng, 25, 70), behind=behind,
            )  # fmt: skip
            offset += spacing_m * self.rng.uniform(0.7, 1.4)

    def shrubs(self, x_m: float, low_m: float, high_m: float) -> None:
        colour = _leaf(self.rng, self.manner.winter and self.rng.random() < 0.5)
        self.add("shrubs", 0.0, x_m, self.rng.uniform(low_m, high_m), colour, length_m=BLOCK_M)


@lru_cache(maxsize=256)
def block(seed: int, number: int) -> tuple[Thing, ...]:
    """Everything that stands still in block `number` (any integer), both sides of the street."""
    things: list[Thing] = []
    manner = manner_of(seed)
    for side in (-1, 1):
        builder = _Builder(random.Random(f"block {seed} {number} {side}"), manner, number * BLOCK_M)
        # A side keeps its character for three blocks, so that streets have stretches.
        character = random.Random(f"stretch {seed} {number // 3} {side}").random()
        _frontage(builder, side, character)
        _furniture(builder, side, character)
        things += builder.things
    return tuple(things)


def _frontage(builder: _Builder, side: int, character: float) -> None:
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


def _furniture(builder: _Builder, side: int, character: float) -> None:
    rng, manner = builder.rng, builder.manner
    kerb = side * (manner.road_half_m + 0.45)
    for offset in (rng.uniform(0, 6), rng.uniform(20, 26)):
        if rng.random() < 0.75:
            builder.add("lamp", offset, kerb, rng.uniform(4.5, 8), _grey(rng, 25, 170), accent=_grey(rng, 120, 220))
    for _ in range(rng.randrange(1, 4)):
        builder.add("sign", rng.uniform(2, 38), kerb, rng.uniform(2.2, 3.2), _grey(rng, 40, 170), accent=_paint(rng))
    if rng.random() < 0.45:
        builder.add("light", rng.uniform(4, 36), kerb, rng.uniform(2.8, 3.8), _grey(rng, 20, 150))
    if character < 0.5 and rng.random() < 0.7:
        builder.add("board", rng.uniform(4, 36), side * (manner.wall_m - 0.5), rng.uniform(3.0, 4.5), _paint(rng))
    if rng.random() < 0.75:
        slot = rng.uniform(0, 5)
        parked = side * (manner.road_half_m - 1.1)
        while slot < BLOCK_M - 4:
            if rng.random() < 0.42 and manner.road_half_m > 3.9:
                _vehicle(builder, slot, parked)
            slot += rng.uniform(5.6, 7.5)
    for _ in range(rng.randrange(0, 3)):
        across = side * rng.uniform(manner.road_half_m + 0.8, manner.wall_m - 0.4)
        height = rng.uniform(1.5, 1.9)
        builder.add("person", rng.uniform(0, 40), across, height, _paint(rng, 0.8), accent=_paint(rng, 0.6))


def _vehicle(builder: _Builder, offset_m: float, x_m: float) -> None:
    rng = builder.rng
    large = rng.random() < 0.15
    builder.add(
        "car", offset_m, x_m, rng.uniform(2.0, 2.7) if large else rng.uniform(1.38, 1.65), _paint(rng),
        length_m=rng.uniform(4.9, 6.5) if large else rng.uniform(3.6, 4.6), width_m=rng.uniform(1.65, 1.95),
    )  # fmt: skip


@dataclass(frozen=True)
class Flow:
    """A stream of one kind of mover along the street: one in each slot of `spacing_m`, all at `speed_m_s`."""

    kind: str
    x_m: float
    spread_m: float
    speed_m_s: float
    spacing_m: float
    chance: float


def flows_of(manner: Manner) -> tuple[Flow, ...]:
    """The movers of a street; negative speeds come towards the camera."""
    lane, half, walk = manner.lane_side, manner.road_half_m, manner.road_half_m + manner.pavement_m / 2
    spread = manner.pavement_m * 0.3
    wide = half > 3.9
    return (
        Flow("car", -lane * (half * 0.32 if wide else half * 0.5), 0.2, -9.0, 26.0, 0.5 * manner.traffic),
        Flow("cyclist", lane * (half - (2.6 if wide else 0.9)), 0.25, 4.2, 21.0, 0.75 * manner.traffic),
        Flow("cyclist", -lane * (half - (2.4 if wide else 0.7)), 0.2, -4.6, 26.0, 0.75 * manner.traffic),
        Flow("person", walk, spread, 1.2, 11.0, 0.8 * manner.traffic),
        Flow("person", -walk, spread, -1.3, 12.0, 0.8 * manner.traffic),
    )


def movers(seed: int, time_s: float, start_m: float, end_m: float) -> list[Thing]:
    """The movers between two places of the street at `time_s`."""
    manner = manner_of(seed)
    found: list[Thing] = []
    for index, flow in enumerate(flows_of(manner)):
        shift = flow.speed_m_s * time_s
        first = int((start_m - shift) // flow.spacing_m)
        last = int((end_m - shift) // flow.spacing_m)
        for slot in range(first, last + 1):
            thing = _mover(seed, index, flow, slot)
            if thing is not None:
                found.append(replace(thing, at_m=thing.at_m + shift))
    return found


@lru_cache(maxsize=512)
def _mover(seed: int, index: int, flow: Flow, slot: int) -> Thing | None:
    rng = random.Random(f"mover {seed} {index} {slot}")
    if rng.random() >= flow.chance:
        return None
    builder = _Builder(rng, manner_of(seed), slot * flow.spacing_m)
    offset = rng.uniform(0, flow.spacing_m * 0.6)
    across = flow.x_m + rng.uniform(-1, 1) * flow.spread_m
    if flow.kind == "car":
        _vehicle(builder, offset, across)
    else:
        builder.add(flow.kind, offset, across, rng.uniform(1.5, 1.9), _paint(rng, 0.8), accent=_paint(rng, 0.6))
    thing = builder.things[0]
    # The sign of length tells a person's or cyclist's heading; vehicles keep their true length.
    return thing if flow.kind == "car" else replace(thing, length_m=flow.speed_m_s)


@lru_cache(maxsize=64)
def leaders(seed: int) -> tuple[Thing, Thing]:
    """The vehicle and the cyclist that go ahead of the camera, now near, now far."""
    builder = _Builder(random.Random(f"leader {seed}"), manner_of(seed), 0.0)
    manner = manner_of(seed)
    _vehicle(builder, 0.0, manner.lane_side * manner.road_half_m * (0.28 if manner.road_half_m > 3.9 else 0.5))
    across = manner.lane_side * (manner.road_half_m - (2.7 if manner.road_half_m > 3.9 else 1.0))
    builder.add(
        "cyclist", 0.0, across, builder.rng.uniform(1.6, 1.9), _paint(builder.rng, 0.8),
        accent=_paint(builder.rng, 0.6), length_m=1.0,
    )  # fmt: skip
    return builder.things[0], builder.things[1]
