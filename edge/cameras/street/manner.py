"""What a seed decides once for its whole street: widths, light, weather; and the palettes that all draw from."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from edge.cameras.street.view import Colour


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


def grey(rng: random.Random, low: float, high: float, tint: float = 0.12) -> Colour:
    level = rng.uniform(low, high)
    return (level * rng.uniform(1 - tint, 1 + tint), level, level * rng.uniform(1 - tint, 1 + tint))


def paint(rng: random.Random, bright: float = 1.0) -> Colour:
    """Any colour, greys most often: clothes, cars."""
    if rng.random() < 0.5:
        return grey(rng, 18, 215 * bright)
    base, strong = rng.uniform(15, 70), rng.uniform(70, 210) * bright
    channels = [base, base * rng.uniform(0.8, 1.6), base * rng.uniform(0.8, 1.6)]
    channels[rng.randrange(3)] = strong
    return (channels[0], channels[1], channels[2])


_FACADES: tuple[Colour, ...] = (
    (62, 84, 128), (88, 120, 152), (120, 150, 175), (178, 196, 205), (205, 210, 214), (70, 78, 92), (110, 118, 128),
    (140, 168, 190), (60, 66, 100), (150, 150, 148), (95, 130, 165), (45, 52, 62),
)  # fmt: skip


def facade(rng: random.Random) -> Colour:
    blue, green, red = rng.choice(_FACADES)
    level = rng.uniform(0.7, 1.15)
    return (blue * level * rng.uniform(0.9, 1.1), green * level, red * level * rng.uniform(0.9, 1.1))


def leaf(rng: random.Random, winter: bool) -> Colour:
    if winter:
        return grey(rng, 55, 120, 0.18)
    return (rng.uniform(18, 55), rng.uniform(60, 125), rng.uniform(35, 105))


@lru_cache(maxsize=64)
def manner_of(seed: int) -> Manner:
    """The street's own manner: widths, light, weather, palette."""
    rng = random.Random(f"manner {seed}")
    overcast = rng.random() < 0.35
    light = rng.uniform(0.42, 1.0)
    if overcast:
        sky_top, sky_low = grey(rng, 165, 225, 0.04), grey(rng, 205, 250, 0.03)
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
        road=grey(rng, 72, 135, 0.06),
        pavement=grey(rng, 95, 175, 0.09),
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
