"""The scenarios: what happens to a board in the field. Each is drawn from a seed, constants swept by +-30 %.

The board and the variants come from a kit (`edge.simulate.kit`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

from edge.controller.goals import Goals
from edge.simulate.kit import Kit
from edge.simulate.scenario import Scenario, Senses
from edge.simulate.world import Course, Physics, TrueVariant


def swept(rng: random.Random, value: float, share: float = 0.3) -> float:
    return value * rng.uniform(1 - share, 1 + share)


def base_physics(rng: random.Random, kit: Kit) -> Physics:
    """A board whose every constant is off by up to 30 % from what one would guess."""
    speed, hunger, idle_w = rng.uniform(0.8, 1.1), rng.uniform(0.7, 1.3), swept(rng, kit.idle_w)
    drift = rng.uniform(0.85, 1.15)  # of all dynamic power since the profile was made: another day, another supply
    dearest_ms = max(latency_ms for _, _, latency_ms in kit.profile)
    variants = []
    for name, accuracy, latency_ms in kit.profile:
        dynamic_w = kit.dynamic_w * (0.6 + 0.4 * latency_ms / dearest_ms) * hunger
        measured_w = idle_w + dynamic_w * rng.uniform(0.95, 1.05)
        true_ms = latency_ms * speed * rng.uniform(0.95, 1.05)
        variants.append(TrueVariant(name, accuracy, true_ms, dynamic_w * drift, latency_ms, measured_w))
    resistance = swept(rng, kit.resistance_k_per_w)
    return Physics(
        tuple(variants),
        idle_w=idle_w,
        resistance=lambda at_s: resistance,
        capacity_j_per_k=swept(rng, kit.capacity_j_per_k),
        chip_k_per_w=swept(rng, kit.chip_k_per_w),
        start_c=rng.uniform(30.0, 45.0),
    )


def _typical_w(physics: Physics, fps: float, name: str) -> float:
    variant = physics.variant(name)
    return physics.power_w(variant, min(1.0, variant.latency_ms * fps / 1000), 0.0, False)


def between(physics: Physics, share: float, fps: float = 5.0) -> float:
    """A power between the cheapest variant's (0) and the dearest's (1)."""
    low, high = _typical_w(physics, fps, physics.variants[-1].id), _typical_w(physics, fps, physics.variants[0].id)
    return low + share * (high - low)


def warm(physics: Physics, limit_c: float, share: float, resistance: float | None = None, fps: float = 5.0) -> float:
    """The ambient temperature at which `share` of the way between cheapest and dearest just meets the limit."""
    kelvin = (resistance or physics.resistance(0.0)) + physics.chip_k_per_w
    return limit_c - kelvin * between(physics, share, fps)


def battery_hours(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    left_j = between(physics, rng.uniform(0.25, 0.8)) * 3600
    full_j = left_j / rng.uniform(0.6, 0.95)
    goals = Goals(battery_hours=1.0, battery_critical=0.0, battery_capacity_wh=full_j / 3600 * rng.uniform(0.8, 1.3))
    return Scenario(
        "battery", replace(physics, battery_j=left_j, full_j=full_j), goals, seconds=3600,
        about="a battery that must last an hour; its capacity is stated wrongly by up to 30 %",
    )  # fmt: skip


def battery_counted(rng: random.Random, kit: Kit) -> Scenario:
    scenario = battery_hours(rng, kit)
    return replace(scenario, name="battery-counted", senses=Senses(counts_energy=True), about="the gauge counts joules")


def weak_battery(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    left_j = between(physics, rng.uniform(0.02, 0.25)) * 3600
    goals = Goals(battery_hours=1.0, battery_critical=0.0, battery_capacity_wh=left_j / 0.5 / 3600)
    return Scenario(
        "weak-battery", replace(physics, battery_j=left_j, full_j=left_j / 0.5), goals, seconds=3600,
        about="barely enough for the cheapest variant",
    )  # fmt: skip


def hot_box(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    ambient = warm(physics, 70.0, rng.uniform(0.2, 0.8))
    physics = replace(physics, ambient_c=lambda at_s: ambient, start_c=ambient + 3 * physics.resistance(0))
    return Scenario(
        "hot-box", physics, Goals(max_temperature_c=70.0), seconds=2400, about="a closed case in a warm place"
    )


def sun_on_case(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    cool_c, warm_c = warm(physics, 70.0, 1.3), warm(physics, 70.0, rng.uniform(0.15, 0.5))
    begin_s, ramp_s = rng.uniform(400, 900), rng.uniform(120, 400)
    physics = replace(physics, ambient_c=_ramp(cool_c, warm_c, begin_s, ramp_s), start_c=cool_c + 10)
    return Scenario("sun", physics, Goals(max_temperature_c=70.0), seconds=2700, about="the sun reaches the case")


def fan_failure(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    before = physics.resistance(0.0) * 0.5
    after = physics.resistance(0.0)
    ambient = warm(physics, 70.0, rng.uniform(0.2, 0.6), after)
    fails_s = rng.uniform(500, 1200)
    physics = replace(
        physics,
        ambient_c=lambda at_s: ambient,
        resistance=lambda at_s: before if at_s < fails_s else after,
        start_c=ambient + 2 * before,
    )
    return Scenario("fan-failure", physics, Goals(max_temperature_c=70.0), seconds=2700, about="the fan stops")


def cold_start(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    ambient = warm(physics, 65.0, rng.uniform(0.3, 0.7))
    physics = replace(physics, ambient_c=lambda at_s: ambient, start_c=ambient - rng.uniform(0, 25))
    return Scenario(
        "cold-start", physics, Goals(max_temperature_c=65.0), seconds=1800, about="cold case, long way to the limit"
    )


def contention(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    course = bursts(rng, 1800, every_s=120, lasts_s=(10, 60), factor=(1.4, 2.2))
    physics = replace(physics, contention=course, background_w=lambda at_s: 0.8 * (course(at_s) - 1))
    return Scenario(
        "contention",
        physics,
        Goals(deadline_ms=200.0, max_temperature_c=None),
        step_s=0.5,
        seconds=1800,
        about="another process takes the processor at times",
    )


def contention_step(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    at, factor = rng.uniform(300, 900), rng.uniform(1.5, 2.2)
    physics = replace(physics, contention=lambda at_s: factor if at_s >= at else 1.0)
    return Scenario(
        "contention-step",
        physics,
        Goals(min_fps=5.0, max_temperature_c=None),
        step_s=0.5,
        seconds=1500,
        about="another process comes and stays",
    )


def tight_deadline(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    limit = rng.uniform(70.0, 180.0)
    return Scenario(
        "deadline",
        replace(physics, latency_noise=0.05),
        Goals(deadline_ms=limit, max_temperature_c=None),
        step_s=0.5,
        seconds=1200,
        about="a deadline between two variants",
    )


def power_cap(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    cap = between(physics, rng.uniform(0.2, 0.9))
    return Scenario(
        "power-cap",
        physics,
        Goals(max_power_w=cap, max_temperature_c=None),
        seconds=1200,
        about="a supply that gives only so much",
    )


def day_cycle(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    warmest, coolest = warm(physics, 70.0, rng.uniform(0.1, 0.4)), warm(physics, 70.0, rng.uniform(0.7, 1.2))
    middle, swing = (warmest + coolest) / 2, (warmest - coolest) / 2
    turn_s, phase = rng.uniform(2400, 3600), rng.uniform(0, 6.28)
    physics = replace(physics, ambient_c=lambda at_s: middle + swing * math.sin(6.283 * at_s / turn_s + phase))
    physics = replace(physics, start_c=physics.ambient_c(0.0) + 15)
    return Scenario(
        "day-cycle",
        physics,
        Goals(max_temperature_c=70.0),
        seconds=3600,
        about="warm days and cool nights, an hour for each",
    )


def solar(rng: random.Random, kit: Kit) -> Scenario:
    physics = base_physics(rng, kit)
    need = between(physics, rng.uniform(0.3, 0.7)) * 3600
    sun_w = 0.35 * need / 3600
    turn_s = 1800.0
    given = sun_w * 3600
    course: Course = lambda at_s: sun_w * (1 + math.sin(6.283 * at_s / turn_s))  # noqa: E731
    left = need - given
    goals = Goals(battery_hours=1.0, battery_critical=0.0, battery_capacity_wh=2 * left / 3600)
    physics = replace(physics, battery_j=left, full_j=2 * left, solar_w=course)
    return Scenario(
        "solar",
        physics,
        goals,
        senses=Senses(counts_energy=True),
        seconds=3600,
        about="a panel charges while clouds pass",
    )


def sensor_loss(rng: random.Random, kit: Kit) -> Scenario:
    scenario = hot_box(rng, kit)
    gone = _windows(rng, 2400, count=4, lasts_s=(60, 240))
    dumb = _windows(rng, 2400, count=4, lasts_s=(60, 240))
    senses = Senses(temperature_present=lambda at_s: 1 - gone(at_s), power_present=lambda at_s: 1 - dumb(at_s))
    return replace(scenario, name="sensor-loss", senses=senses, about="temperature and power fall silent at times")


def noisy_rails(rng: random.Random, kit: Kit) -> Scenario:
    scenario = battery_hours(rng, kit)
    senses = Senses(power_noise_w=0.6, temperature_noise_c=0.6, temperature_step_c=1.0)
    return replace(scenario, name="noisy-rails", senses=senses, about="rails that scatter by 0.6 W")


def everything(rng: random.Random, kit: Kit) -> Scenario:
    scenario = sun_on_case(rng, kit)
    course = bursts(rng, 2700, every_s=300, lasts_s=(20, 80), factor=(1.2, 1.7))
    share = rng.uniform(0.4, 0.8)
    left_j = between(scenario.physics, share) * 2700
    physics = replace(scenario.physics, contention=course, battery_j=left_j, full_j=left_j / 0.8)
    goals = replace(
        scenario.goals, deadline_ms=190.0, battery_hours=2700 / 3600, battery_critical=0.0,
        battery_capacity_wh=left_j / 0.8 / 3600,
    )  # fmt: skip
    return replace(
        scenario,
        name="everything",
        step_s=0.5,
        physics=physics,
        goals=goals,
        about="sun, contention, battery and deadline at once",
    )


SCENARIOS: dict[str, Callable[[random.Random, Kit], Scenario]] = {
    "battery": battery_hours,
    "battery-counted": battery_counted,
    "weak-battery": weak_battery,
    "hot-box": hot_box,
    "sun": sun_on_case,
    "fan-failure": fan_failure,
    "cold-start": cold_start,
    "contention": contention,
    "contention-step": contention_step,
    "deadline": tight_deadline,
    "power-cap": power_cap,
    "day-cycle": day_cycle,
    "solar": solar,
    "sensor-loss": sensor_loss,
    "noisy-rails": noisy_rails,
    "everything": everything,
}


def _ramp(before: float, after: float, begin_s: float, ramp_s: float) -> Course:
    return lambda at_s: before + (after - before) * min(1.0, max(0.0, (at_s - begin_s) / ramp_s))


def bursts(
    rng: random.Random, seconds: float, every_s: float, lasts_s: tuple[float, float], factor: tuple[float, float]
) -> Course:
    found, at = [], rng.expovariate(1 / every_s)
    while at < seconds:
        lasts = rng.uniform(*lasts_s)
        found.append((at, at + lasts, rng.uniform(*factor)))
        at += lasts + rng.expovariate(1 / every_s)
    return lambda at_s: next((factor for begin, end, factor in found if begin <= at_s < end), 1.0)


def _windows(rng: random.Random, seconds: float, count: int, lasts_s: tuple[float, float]) -> Course:
    windows = [(begin, begin + rng.uniform(*lasts_s)) for begin in (rng.uniform(60, seconds) for _ in range(count))]
    return lambda at_s: float(any(begin <= at_s < end for begin, end in windows))
