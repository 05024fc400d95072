"""One controller in one scenario, step by step."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, field

from edge.controller.contract import Candidate, Controller, FrameSeen, Observation
from edge.pace import Pacer
from edge.simulate.scenario import Scenario
from edge.simulate.world import TrueVariant, first_state, step

_NS = 1_000_000_000
_JITTER_NS = 1000  # by which sums of a source's periods are off


@dataclass
class Outcome:
    """What came of a run. Accuracy counts per frame that was due: a late frame and a dead board serve nothing."""

    scenario: str
    seed: int
    controller: str
    frames: int = 0
    served: float = 0.0  # summed accuracy
    late: int = 0
    longest_late_streak: int = 0
    dropped: int = 0  # by a controller that was allowed fewer frames; they serve nothing, and are not late
    energy_j: float = 0.0
    hot_s: float = 0.0  # time over the temperature limit
    hungry_s: float = 0.0  # time over the power limit
    avoidable_s: float = 0.0  # of those, while a cheaper variant existed
    died_s: float | None = None  # when the battery was empty
    switches: int = 0
    throttled_s: float = 0.0
    told_s: float | None = None  # when the battery goal was first called not feasible
    decision_ms: list[float] = field(default_factory=list)
    latency_errors: list[float] = field(default_factory=list)
    energy_errors: list[float] = field(default_factory=list)
    trace: list[dict[str, float | str]] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        return self.served / self.frames if self.frames else 0.0

    @property
    def accuracy_of_served(self) -> float:
        """The same over the frames that were let through."""
        let_through = self.frames - self.dropped
        return self.served / let_through if let_through else 0.0

    @property
    def late_share(self) -> float:
        return self.late / self.frames if self.frames else 0.0


class Run:
    """The loop. Noise comes from `seed` alone, whatever the controller does."""

    def __init__(
        self, scenario: Scenario, controller: Controller, seed: int, name: str, keep_trace: bool = False
    ) -> None:
        self.scenario, self.controller, self.keep_trace = scenario, controller, keep_trace
        self.random = random.Random(seed)
        self.outcome = Outcome(scenario.name, seed, name)
        self.world = first_state(scenario.physics)
        self.state = controller.initial()
        self.running: str | None = None
        self.frames: tuple[FrameSeen, ...] = ()
        self.power_w: float | None = scenario.physics.idle_w + scenario.physics.background_w(0.0)  # nothing ran yet
        self.next_s = 0.0  # when the next frame arrives
        self.free_s = 0.0  # when the engine is free again
        self._frames: list[tuple[float, float]] = []  # inference and window of this step's frames, ms
        self.pacer = Pacer()
        self.late_streak = 0
        self.learnt_s: dict[str, float] = {}  # time that each variant has run so far

    def go(self) -> Outcome:
        """Run to the end."""
        steps = round(self.scenario.seconds / self.scenario.step_s)
        for number in range(steps):
            self._step(number * self.scenario.step_s)
        return self.outcome

    def _step(self, at_s: float) -> None:
        scenario, outcome = self.scenario, self.outcome
        end_s = at_s + scenario.step_s
        due = self._arrivals(end_s)
        outcome.frames += len(due)
        if self.world.left_j <= 0:
            if outcome.died_s is None:
                outcome.died_s = at_s
            return
        seen = self._observation(at_s)
        before = time.perf_counter()
        self.state, decision = self.controller.decide(self.state, seen)
        outcome.decision_ms.append(1e3 * (time.perf_counter() - before))
        if decision.variant != self.running:
            outcome.switches += self.running is not None
        self.running = decision.variant
        if outcome.told_s is None and any(g.goal == "battery" and g.state == "not feasible" for g in decision.goals):
            outcome.told_s = at_s
        variant = scenario.physics.variant(decision.variant)
        busy = self._serve(variant, due, at_s, decision.max_fps)
        watts = scenario.physics.power_w(variant, busy, at_s, self.world.throttled)
        self._account(variant, watts, at_s, decision.expected)
        self.power_w = watts
        self.world = step(scenario.physics, self.world, watts, at_s, scenario.step_s)
        self._watch(watts)
        self.learnt_s[variant.id] = self.learnt_s.get(variant.id, 0.0) + scenario.step_s
        if self.keep_trace:
            self._trace(at_s, decision.reason, watts, min(scenario.fps_at(at_s), decision.max_fps or math.inf))

    def _arrivals(self, end_s: float) -> list[float]:
        """When the frames arrive that do so before `end_s`."""
        due = []
        while self.next_s < end_s - 1e-9:
            due.append(self.next_s)
            self.next_s += 1 / self.scenario.fps_at(self.next_s)
        return due

    def _serve(self, variant: TrueVariant, due: list[float], at_s: float, max_fps: float | None) -> float:
        """Serve this step's frames as they arrive, the newest first in line; returns the share of time spent inferring.

        A frame that is still waiting when the next one arrives is replaced by it, and counts as late.
        """
        scenario, physics = self.scenario, self.scenario.physics
        limit_ms = scenario.goals.longest_ms
        slow = physics.slowdown(at_s, self.world.throttled)
        end_s, period_s = at_s + scenario.step_s, 1 / scenario.fps_at(at_s)
        window_ms = 1000 * max(period_s, 0.0 if max_fps is None else 1 / max_fps)
        busy_s = min(end_s, max(at_s, self.free_s)) - at_s  # what the step before left to be done
        self._frames = []
        for arrival_s in due:
            latency_ms = variant.latency_ms * slow * math.exp(self.random.gauss(0.0, physics.latency_noise))
            if self.random.random() < physics.tail_share:
                latency_ms *= 1.5
            arrival_ns = round(arrival_s * _NS)
            if self.pacer.wait_ns(arrival_ns, max_fps) > _JITTER_NS:
                self.outcome.dropped += 1
                continue
            self.pacer.taken(arrival_ns, max_fps)
            begin_s = max(arrival_s, self.free_s)
            taken = begin_s < arrival_s + period_s
            if taken:
                self.free_s = begin_s + latency_ms / 1000
                busy_s += max(0.0, min(self.free_s, end_s) - min(begin_s, end_s))
                self._frames.append((latency_ms, max(window_ms, latency_ms)))
            self._served(variant, taken and (limit_ms is None or latency_ms <= limit_ms))
        return min(1.0, busy_s / scenario.step_s)

    def _served(self, variant: TrueVariant, on_time: bool) -> None:
        outcome = self.outcome
        if on_time:
            least = self.scenario.goals.min_accuracy
            outcome.served += 0.0 if least is not None and variant.accuracy < least else variant.accuracy
            self.late_streak = 0
        else:
            outcome.late += 1
            self.late_streak += 1
            outcome.longest_late_streak = max(outcome.longest_late_streak, self.late_streak)

    def _account(self, variant: TrueVariant, watts: float, at_s: float, expected: object) -> None:
        scenario = self.scenario
        physics, dynamic_w = scenario.physics, scenario.physics.dynamic_w(variant, at_s, self.world.throttled)
        base_w = physics.idle_w + physics.background_w(at_s)
        noise = 1 + self.random.gauss(0.0, scenario.senses.power_noise_w / max(1.0, watts))
        heard = scenario.senses.power_present(at_s) >= 0.5
        seen = []
        for latency, window in self._frames:
            energy_mj = base_w * window + dynamic_w * latency
            seen.append(FrameSeen(variant.id, latency, window, max(0.0, energy_mj * noise) if heard else None))
            if self.learnt_s.get(variant.id, 0.0) >= 60 and isinstance(expected, dict) and "latency_ms" in expected:
                self.outcome.latency_errors.append(abs(float(expected["latency_ms"]) / latency - 1))
                if "energy_mj" in expected:
                    self.outcome.energy_errors.append(abs(float(expected["energy_mj"]) / energy_mj - 1))
        self.frames = tuple(seen)
        self.outcome.energy_j += watts * scenario.step_s

    def _watch(self, watts: float) -> None:
        scenario, outcome = self.scenario, self.outcome
        limit_c, limit_w = scenario.goals.max_temperature_c, scenario.goals.max_power_w
        cheapest = min(scenario.physics.variants, key=lambda v: v.dynamic_w * v.latency_ms)
        avoidable = self.running != cheapest.id
        hot = limit_c is not None and self.world.chip_c > limit_c
        hungry = limit_w is not None and watts > limit_w
        outcome.hot_s += scenario.step_s * hot
        outcome.hungry_s += scenario.step_s * hungry
        outcome.avoidable_s += scenario.step_s * ((hot or hungry) and avoidable)
        outcome.throttled_s += scenario.step_s * self.world.throttled

    def _observation(self, at_s: float) -> Observation:
        scenario, senses, world = self.scenario, self.scenario.senses, self.world
        temperature: float | None = world.chip_c + self.random.gauss(0.0, senses.temperature_noise_c)
        if temperature is not None:
            temperature = round(temperature / senses.temperature_step_c) * senses.temperature_step_c
        if senses.temperature_present(at_s) < 0.5:
            temperature = None
        power_noise = self.random.gauss(0.0, senses.power_noise_w)
        power = None if self.power_w is None else max(0.0, self.power_w + power_noise)
        has_battery = math.isfinite(scenario.physics.battery_j)
        charge = None
        if has_battery:
            shown = senses.gauge(world.left_j / scenario.physics.full_j)
            charge = round(shown / senses.charge_step) * senses.charge_step
        return Observation(
            monotonic_ns=round((at_s + 1000) * _NS),
            running=self.running,
            candidates=tuple(_candidate(v, scenario.hides) for v in scenario.physics.variants),
            battery=charge,
            on_mains=None if has_battery else True,
            temperature_c=temperature,
            power_w=power if senses.power_present(at_s) >= 0.5 else None,
            throttled=world.throttled,
            fps=scenario.fps_at(at_s),
            battery_energy_j=world.left_j if has_battery and senses.counts_energy else None,
            camera_fps=scenario.fps_at(at_s),
            frames=self.frames,
        )

    def _trace(self, at_s: float, reason: str, watts: float, fps: float) -> None:
        self.outcome.trace.append(
            {
                "at_s": at_s,
                "variant": self.running or "",
                "power_w": watts,
                "fps": fps,
                "chip_c": self.world.chip_c,
                "left_j": self.world.left_j,
                "reason": reason,
            }
        )


def _candidate(variant: TrueVariant, hides: frozenset[str]) -> Candidate:
    """What a profile says of a variant."""
    return Candidate(
        variant.id,
        None if "accuracy" in hides else variant.accuracy,
        None if "latency" in hides else variant.profile_ms,
        power_w=None if "power" in hides else variant.profile_w,
        macs=round(variant.profile_ms * 1e7),
    )


def run(scenario: Scenario, controller: Controller, seed: int, name: str, keep_trace: bool = False) -> Outcome:
    """Run `controller` through `scenario`."""
    return Run(scenario, controller, seed, name, keep_trace).go()
