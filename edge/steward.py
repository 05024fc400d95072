"""The steward: carries decisions out. Observes, asks the controller, makes the variant resident, swaps between frames.

It runs on the pipeline's thread, at frame boundaries only; loading happens in the pool's background. The swap itself
is one assignment, so that no frame is lost or computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge.controller import Candidate, Controller, Decision, Observation, PinnedController


class Residents(Protocol):
    """What the steward asks of the pool."""

    def ensure(self, variant_id: str) -> None: ...

    def is_resident(self, variant_id: str) -> bool: ...

    def failure(self, variant_id: str) -> str | None: ...

    def first_latency_ms(self, variant_id: str) -> float | None: ...


@dataclass(frozen=True)
class Known:
    """What is known of a variant before it runs."""

    id: str
    accuracy: float | None
    macs: int | None
    latency_ms: float | None = None
    power_w: float | None = None  # of the board while it infers
    idle_w: float | None = None  # of the board while nothing runs, where the profile measured it


@dataclass(frozen=True)
class Switch:
    """A swap that took place: from, to, why, and how long it took from decision to swap."""

    time_ns: int
    before: str | None
    after: str
    reason: str
    numbers: Mapping[str, float | str]
    cost_us: int


@dataclass
class LatencyBook:
    """Running mean of each variant's inference time on this board, in ms."""

    means: dict[str, float] = field(default_factory=dict)
    weight: float = 0.1

    def add(self, variant: str, latency_ms: float) -> None:
        mean = self.means.get(variant)
        self.means[variant] = latency_ms if mean is None else mean + self.weight * (latency_ms - mean)


class Steward:
    """Holds the active variant. Single-threaded, but for `pin` and `replace_controller`, which are one assignment."""

    def __init__(
        self,
        variants: tuple[Known, ...],
        controller: Controller,
        pool: Residents,
        look: Callable[[], Mapping[str, Any]],
        *,
        period_ns: int,
        on_switch: Callable[[Switch], None],
        on_decision: Callable[[Observation, Decision], None],
        on_event: Callable[[str, str, str], None],
        prewarm: tuple[str, ...] = (),
    ) -> None:
        self._variants, self._pool, self._look = variants, pool, look
        self._base, self._period_ns = controller, period_ns
        self._on_switch, self._on_decision, self._on_event = on_switch, on_decision, on_event
        self._prewarm = prewarm
        self._state = controller.initial()
        self._pin: str | None = None
        self._wanted: Decision | None = None
        self._wanted_since_ns = 0
        self._next_ns = 0
        self._reported: set[str] = set()
        self._controller_failed = False
        self.latency = LatencyBook({v.id: v.latency_ms for v in variants if v.latency_ms is not None})
        self.active: str | None = None
        self.reason = ""

    @property
    def pinned(self) -> str | None:
        return self._pin

    @property
    def max_fps(self) -> float | None:
        """Frames a second that may be served; None for every one. Safe from any thread."""
        wanted = self._wanted
        return None if wanted is None else wanted.max_fps

    def pin(self, variant_id: str | None) -> None:
        """Hold one variant from the next frame on; None gives the choice back to the controller."""
        self._pin = variant_id
        self._next_ns = 0

    def replace_controller(self, controller: Controller, period_ns: int) -> None:
        """Take a new controller (reloaded configuration) and start its state afresh."""
        self._base, self._period_ns, self._state = controller, period_ns, controller.initial()
        self._next_ns = 0

    def at_boundary(self, now_ns: int) -> str | None:
        """Called between two frames: the variant to run next, None while none is resident yet."""
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + self._period_ns
            self._decide(now_ns)
        wanted = self._wanted
        if wanted is not None and wanted.variant != self.active:
            if self._pool.is_resident(wanted.variant):
                self._swap(wanted, now_ns)
            else:
                self._pool.ensure(wanted.variant)
                if self.active is None:
                    self._run_whatever_is_ready(now_ns)
        return self.active

    def hopeless(self) -> str | None:
        """Why no variant at all can run, in the words of the first one's failure; None while one may."""
        reasons = [self._pool.failure(known.id) for known in self._variants]
        if any(reason is None for reason in reasons):
            return None
        return f"no variant of the bundle can run here; {self._variants[0].id}: {reasons[0]}"

    def drop_active(self) -> None:
        """The active variant's engine was lost: choose again before the next frame."""
        self.active = None
        self._next_ns = 0

    def _decide(self, now_ns: int) -> None:
        seen = self._observe(now_ns)
        pin = self._pin
        controller = PinnedController(self._base, pin) if pin is not None else self._base
        try:
            self._state, decision = controller.decide(self._state, seen)
        except ValueError as error:
            self._on_event("error", "no_variant", str(error))
            return
        except Exception as error:
            # A controller that fails must not take the stream with it: what runs goes on, and it starts afresh.
            if not self._controller_failed:
                self._on_event("error", "controller_failed", f"{type(error).__name__}: {error}; the variant stays")
            self._controller_failed, self._state = True, self._base.initial()
            return
        self._controller_failed = False
        if self._wanted is None or decision.variant != self._wanted.variant:
            self._wanted_since_ns = now_ns
        self._wanted = decision
        if decision.variant == self.active:
            self.reason = decision.reason
        self._on_decision(seen, decision)

    def _observe(self, now_ns: int) -> Observation:
        candidates = []
        for known in self._variants:
            failure = self._pool.failure(known.id)
            if failure is not None and known.id not in self._reported:
                self._reported.add(known.id)
                self._on_event("error", "variant_failed", f"{known.id} cannot be used: {failure}")
            candidates.append(
                Candidate(
                    known.id,
                    accuracy=known.accuracy,
                    latency_ms=self._latency_ms(known.id),
                    power_w=known.power_w,
                    idle_w=known.idle_w,
                    macs=known.macs,
                    usable=failure is None,
                )
            )
        return Observation(monotonic_ns=now_ns, running=self.active, candidates=tuple(candidates), **self._look())

    def _latency_ms(self, variant_id: str) -> float | None:
        mean = self.latency.means.get(variant_id)
        return self._pool.first_latency_ms(variant_id) if mean is None else mean

    def _swap(self, decision: Decision, now_ns: int) -> None:
        before, self.active, self.reason = self.active, decision.variant, decision.reason
        if before is None:
            # The first frame is served: now the rest may load, so that later switches find them resident.
            for variant_id in self._prewarm:
                self._pool.ensure(variant_id)
        cost_us = (now_ns - self._wanted_since_ns) // 1000
        self._on_switch(Switch(now_ns, before, decision.variant, decision.reason, decision.numbers, cost_us))

    def _run_whatever_is_ready(self, now_ns: int) -> None:
        for known in self._variants:
            if self._pool.is_resident(known.id):
                stopgap = Decision(known.id, "the wanted variant is still loading")
                self._swap(stopgap, now_ns)
                return
