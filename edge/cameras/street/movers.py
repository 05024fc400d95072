"""What moves along the street: streams of cars, cyclists and walkers, and those who go ahead of the camera."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import lru_cache

from edge.cameras.street.manner import Manner, manner_of, paint
from edge.cameras.street.plan import Builder, Thing, vehicle


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
    builder = Builder(rng, manner_of(seed), slot * flow.spacing_m)
    offset = rng.uniform(0, flow.spacing_m * 0.6)
    across = flow.x_m + rng.uniform(-1, 1) * flow.spread_m
    if flow.kind == "car":
        vehicle(builder, offset, across)
    else:
        builder.add(flow.kind, offset, across, rng.uniform(1.5, 1.9), paint(rng, 0.8), accent=paint(rng, 0.6))
    thing = builder.things[0]
    # The sign of length tells a person's or cyclist's heading; vehicles keep their true length.
    return thing if flow.kind == "car" else replace(thing, length_m=flow.speed_m_s)


@lru_cache(maxsize=64)
def leaders(seed: int) -> tuple[Thing, Thing]:
    """The vehicle and the cyclist that go ahead of the camera, now near, now far."""
    builder = Builder(random.Random(f"leader {seed}"), manner_of(seed), 0.0)
    manner = manner_of(seed)
    vehicle(builder, 0.0, manner.lane_side * manner.road_half_m * (0.28 if manner.road_half_m > 3.9 else 0.5))
    across = manner.lane_side * (manner.road_half_m - (2.7 if manner.road_half_m > 3.9 else 1.0))
    builder.add(
        "cyclist", 0.0, across, builder.rng.uniform(1.6, 1.9), paint(builder.rng, 0.8),
        accent=paint(builder.rng, 0.6), length_m=1.0,
    )  # fmt: skip
    return builder.things[0], builder.things[1]
