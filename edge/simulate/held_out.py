"""A second list of scenarios, of other shapes than the first, judged by itself.

Faults of principle that these showed were corrected (a thermal shock, a gauge that sticks, latencies nobody measured);
no constant was set by their scores.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

from edge.controller.goals import Goals
from edge.simulate.kit import Kit
from edge.simulate.scenario import Scenario, Senses
from edge.simulate.scenarios import base_physics, between, bursts, swept, warm
from edge.simulate.world import Course, Physics


def night_with_heater(rng: random.Random, kit: Kit) -> Scenario:
    """A heater's thermostat switches: the battery feeds it too, and what it draws comes and goes."""
    physics = base_physics(rng, kit)
    heater_w, turn_s, duty = rng.uniform(1.0, 2.0), rng.uniform(240, 600), rng.uniform(0.3, 0.6)
    heat: Course = lambda at_s: heater_w if at_s % turn_s < duty * turn_s else 0.0  # noqa: E731
    left_j = (between(physics, rng.uniform(0.3, 0.7)) + duty * heater_w) * 3600
    physics = replace(
        physics, ambient_c=lambda at_s: -5.0, start_c=5.0, background_w=heat, battery_j=left_j, full_j=left_j / 0.9
    )
    goals = Goals(battery_hours=1.0, battery_critical=0.0, battery_capacity_wh=left_j / 0.9 / 3600)
    return Scenario("night-heater", physics, goals, seconds=3600, about="a cold night; a heater on the same battery")


def two_paths(rng: random.Random, kit: Kit) -> Scenario:
    """Only the dearest and the cheapest variant are there."""
    physics = base_physics(rng, kit)
    ambient = warm(physics, 70.0, rng.uniform(0.2, 0.8))
    physics = replace(
        physics,
        variants=(physics.variants[0], physics.variants[-1]),
        ambient_c=lambda at_s: ambient,
        start_c=ambient + 3 * physics.resistance(0),
    )
    return Scenario("two-paths", physics, Goals(max_temperature_c=70.0), seconds=2400, about="a bundle of two variants")


def nameless_accuracy(rng: random.Random, kit: Kit) -> Scenario:
    """Nobody measured any accuracy: more multiply-accumulates are taken for better."""
    physics = base_physics(rng, kit)
    left_j = between(physics, rng.uniform(0.2, 0.7)) * 2400
    goals = Goals(battery_hours=2400 / 3600, battery_critical=0.0, battery_capacity_wh=left_j / 0.7 / 3600)
    return Scenario(
        "no-accuracy", replace(physics, battery_j=left_j, full_j=left_j / 0.7), goals,
        seconds=2400, hides=frozenset({"accuracy"}), about="accuracies unknown",
    )  # fmt: skip


def unmeasured(rng: random.Random, kit: Kit) -> Scenario:
    """A bundle straight from the converter: no latency, no power, only multiply-accumulates."""
    physics = base_physics(rng, kit)
    return Scenario(
        "unmeasured", replace(physics, latency_noise=0.05),
        Goals(deadline_ms=rng.uniform(80.0, 180.0), max_temperature_c=None),
        seconds=1200, step_s=0.5, hides=frozenset({"latency", "power"}), about="latencies and powers unknown",
    )  # fmt: skip


def fast_camera(rng: random.Random, kit: Kit) -> Scenario:
    """A six times faster board behind a camera of 30 frames a second."""
    physics = _faster(base_physics(rng, kit), 6.0)
    ambient = warm(physics, 75.0, rng.uniform(0.2, 0.8), fps=30.0)
    physics = replace(physics, ambient_c=lambda at_s: ambient, start_c=ambient + 15)
    goals = Goals(max_temperature_c=75.0, deadline_ms=33.3)
    return Scenario("camera-30", physics, goals, fps=30.0, step_s=0.5, seconds=1200, about="30 frames a second")


def pace_change(rng: random.Random, kit: Kit) -> Scenario:
    """The camera falls to half its rate in the dark, and comes back."""
    physics = base_physics(rng, kit)
    dark_s, light_s = rng.uniform(500, 900), rng.uniform(1400, 1900)
    pace: Course = lambda at_s: 0.5 if dark_s <= at_s < light_s else 1.0  # noqa: E731
    ambient = warm(physics, 70.0, rng.uniform(0.2, 0.6))
    physics = replace(physics, ambient_c=lambda at_s: ambient, start_c=ambient + 20)
    return Scenario(
        "pace-change", physics, Goals(max_temperature_c=70.0), seconds=2400, pace=pace, about="the camera slows down"
    )


def coarse_thermometer(rng: random.Random, kit: Kit) -> Scenario:
    """A zone that speaks in steps of five degrees."""
    physics = base_physics(rng, kit)
    ambient = warm(physics, 72.0, rng.uniform(0.3, 0.8))
    physics = replace(physics, ambient_c=lambda at_s: ambient, start_c=ambient + 20)
    senses = Senses(temperature_step_c=5.0, temperature_noise_c=0.3)
    return Scenario("coarse-heat", physics, Goals(max_temperature_c=72.0), senses, seconds=2400, about="steps of 5 °C")


def sticky_gauge(rng: random.Random, kit: Kit) -> Scenario:
    """A gauge that stands for an eighth of the charge and then jumps."""
    physics = base_physics(rng, kit)
    left_j = between(physics, rng.uniform(0.3, 0.7)) * 3600
    step = rng.uniform(0.04, 0.12)
    senses = Senses(gauge=lambda charge: math.ceil(charge / step) * step)
    goals = Goals(battery_hours=1.0, battery_critical=0.0, battery_capacity_wh=left_j / 0.95 / 3600)
    return Scenario(
        "sticky-gauge", replace(physics, battery_j=left_j, full_j=left_j / 0.95), goals, senses, seconds=3600,
        about="a battery gauge that sticks and jumps",
    )  # fmt: skip


def thermal_shock(rng: random.Random, kit: Kit) -> Scenario:
    """Carried from the cold into a hot room, twice."""
    physics = base_physics(rng, kit)
    cold, hot = warm(physics, 70.0, 1.5), warm(physics, 70.0, rng.uniform(0.2, 0.5))
    in_s, out_s, again_s = rng.uniform(300, 600), rng.uniform(1100, 1300), rng.uniform(1500, 1700)
    ambient: Course = lambda at_s: hot if in_s <= at_s < out_s or at_s >= again_s else cold  # noqa: E731
    physics = replace(physics, ambient_c=ambient, start_c=cold + 15)
    return Scenario(
        "shock", physics, Goals(max_temperature_c=70.0), seconds=2400, about="from the cold into a hot room at once"
    )


def clock_steps(rng: random.Random, kit: Kit) -> Scenario:
    """The kernel's governor steps the clock: slower and thriftier, under a deadline and a battery."""
    physics = base_physics(rng, kit)
    factors = [rng.choice((1.0, 1.0, 1.2, 1.5)) for _ in range(60)]
    slow: Course = lambda at_s: factors[int(at_s // 60) % 60]  # noqa: E731
    left_j = between(physics, rng.uniform(0.3, 0.7)) * 2400
    physics = replace(
        physics, contention=slow, dynamic_scale=lambda at_s: slow(at_s) ** -1.5, battery_j=left_j, full_j=left_j / 0.8
    )
    goals = Goals(
        deadline_ms=195.0, battery_hours=2400 / 3600, battery_critical=0.0, battery_capacity_wh=left_j / 0.8 / 3600
    )
    return Scenario("clock-steps", physics, goals, seconds=2400, step_s=0.5, about="the clock steps each minute")


def wrong_profile(rng: random.Random, kit: Kit) -> Scenario:
    """A profile from another board: everything takes twice as long and draws another power."""
    physics = base_physics(rng, kit)
    factor = rng.choice((0.5, 2.0))
    variants = tuple(
        replace(v, profile_ms=v.profile_ms * factor, profile_w=v.profile_w * 1.4) for v in physics.variants
    )
    physics = replace(physics, variants=variants)
    ambient = warm(physics, 70.0, rng.uniform(0.2, 0.8))
    physics = replace(physics, ambient_c=lambda at_s: ambient, start_c=ambient + 10)
    return Scenario(
        "wrong-profile", physics, Goals(max_temperature_c=70.0, deadline_ms=200.0), seconds=1800, about="off by 2x"
    )


def capped_and_crowded(rng: random.Random, kit: Kit) -> Scenario:
    """A supply's limit, while another process comes and goes."""
    physics = base_physics(rng, kit)
    course = bursts(rng, 1800, every_s=200, lasts_s=(20, 90), factor=(1.1, 1.5))
    goals = Goals(max_power_w=between(physics, swept(rng, 0.7, 0.25)), max_temperature_c=None)
    return Scenario(
        "crowded-cap", replace(physics, contention=course), goals, seconds=1800, about="contention at a supply's limit"
    )


def hopeless_battery(rng: random.Random, kit: Kit) -> Scenario:
    """Not even the cheapest variant lasts: the goal must be called not feasible, early."""
    physics = base_physics(rng, kit)
    left_j = between(physics, 0.0) * 2400 * rng.uniform(0.5, 0.85)
    goals = Goals(battery_hours=2400 / 3600, battery_critical=0.0, battery_capacity_wh=left_j / 0.8 / 3600)
    return Scenario(
        "hopeless", replace(physics, battery_j=left_j, full_j=left_j / 0.8), goals, seconds=2400,
        about="a battery that cannot last",
    )  # fmt: skip


def _faster(physics: Physics, factor: float) -> Physics:
    variants = (
        replace(v, latency_ms=v.latency_ms / factor, profile_ms=v.profile_ms / factor) for v in physics.variants
    )
    return replace(physics, variants=tuple(variants))


HELD_OUT: dict[str, Callable[[random.Random, Kit], Scenario]] = {
    "night-heater": night_with_heater,
    "two-paths": two_paths,
    "no-accuracy": nameless_accuracy,
    "unmeasured": unmeasured,
    "camera-30": fast_camera,
    "pace-change": pace_change,
    "coarse-heat": coarse_thermometer,
    "sticky-gauge": sticky_gauge,
    "shock": thermal_shock,
    "clock-steps": clock_steps,
    "wrong-profile": wrong_profile,
    "crowded-cap": capped_and_crowded,
    "hopeless": hopeless_battery,
}
