"""The physics of a simulated world, stepped in seconds: what is true, as against what a controller believes.

Power follows the share of time spent inferring; the chip sits `chip_k_per_w` above a case of one heat capacity behind
one resistance, solved in closed form over each step; a throttled board gives up the same share of its dynamic power as
of its speed. `boards.simulated` is the same board in real time, and cites where its constants come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Course = Callable[[float], float]


def flat(value: float) -> Course:
    """A course that never changes."""
    return lambda at_s: value


NOTHING, AS_USUAL, ROOM_C, BARE_CASE = flat(0.0), flat(1.0), flat(25.0), flat(9.0)


@dataclass(frozen=True)
class TrueVariant:
    """A variant as it really is here, against what its profile says."""

    id: str
    accuracy: float
    latency_ms: float
    dynamic_w: float
    profile_ms: float
    profile_w: float  # of the whole board while it infers


@dataclass(frozen=True)
class Physics:
    """The board and its surroundings; courses are functions of seconds since the start."""

    variants: tuple[TrueVariant, ...]
    idle_w: float = 3.0
    resistance: Course = BARE_CASE  # K/W, from case to ambient
    capacity_j_per_k: float = 60.0
    chip_k_per_w: float = 1.0
    ambient_c: Course = ROOM_C
    start_c: float = 35.0  # of the case
    throttle_c: float = 85.0
    throttle_hysteresis_c: float = 5.0
    throttle_factor: float = 1.5
    contention: Course = AS_USUAL  # times as slow
    dynamic_scale: Course = AS_USUAL  # of all dynamic power: a lower clock, a lower voltage
    background_w: Course = NOTHING  # what others draw
    solar_w: Course = NOTHING
    battery_j: float = math.inf
    full_j: float = math.inf
    latency_noise: float = 0.03
    tail_share: float = 0.002  # of frames that take half as long again: interrupts, page faults

    def variant(self, name: str) -> TrueVariant:
        return next(v for v in self.variants if v.id == name)

    def power_w(self, variant: TrueVariant, busy: float, at_s: float, throttled: bool) -> float:
        """What the board draws with the share `busy` of time spent inferring."""
        return self.idle_w + self.background_w(at_s) + self.dynamic_w(variant, at_s, throttled) * busy

    def dynamic_w(self, variant: TrueVariant, at_s: float, throttled: bool) -> float:
        """What `variant` draws over idle while it infers."""
        return variant.dynamic_w * self.dynamic_scale(at_s) / (self.throttle_factor if throttled else 1.0)

    def slowdown(self, at_s: float, throttled: bool) -> float:
        return self.contention(at_s) * (self.throttle_factor if throttled else 1.0)


@dataclass(frozen=True)
class WorldState:
    """What changes: case temperature, chip temperature, throttling, joules left."""

    case_c: float
    chip_c: float
    throttled: bool
    left_j: float


def first_state(physics: Physics) -> WorldState:
    return WorldState(
        physics.start_c, physics.start_c + physics.chip_k_per_w * physics.idle_w, False, physics.battery_j
    )


def step(physics: Physics, state: WorldState, power_w: float, at_s: float, step_s: float) -> WorldState:
    """The world `step_s` later, at a constant power."""
    resistance = physics.resistance(at_s)
    decay = math.exp(-step_s / (resistance * physics.capacity_j_per_k))
    settled_c = physics.ambient_c(at_s) + resistance * power_w
    case_c = settled_c + (state.case_c - settled_c) * decay
    chip_c = case_c + physics.chip_k_per_w * power_w
    if state.throttled:
        throttled = chip_c > physics.throttle_c - physics.throttle_hysteresis_c
    else:
        throttled = chip_c >= physics.throttle_c
    gained_j = (physics.solar_w(at_s) - power_w) * step_s
    return WorldState(case_c, chip_c, throttled, min(physics.full_j, max(0.0, state.left_j + gained_j)))
