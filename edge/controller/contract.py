"""What a controller sees, keeps and answers. A controller is a pure function: no clock, no file, no randomness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Candidate:
    """A variant that could run next. Unknown figures are None, never zero."""

    id: str
    accuracy: float | None = None  # ratio 0..1
    latency_ms: float | None = None  # of one inference, expected here
    power_w: float | None = None  # of the board while this variant runs, expected here
    macs: int | None = None
    idle_w: float | None = None  # of the board while nothing runs; the same for all variants of a profile
    usable: bool = True  # False once it failed to load or to verify


@dataclass(frozen=True)
class FrameSeen:
    """One frame that went through: what a controller learns from."""

    variant: str
    infer_ms: float
    window_ms: float  # from its start to the next frame's start
    energy_mj: float | None = None  # of the whole window; None where it is unavailable


@dataclass(frozen=True)
class Observation:
    """The world at one instant. A sensor that is lost or stale is None."""

    monotonic_ns: int
    running: str | None
    candidates: tuple[Candidate, ...]
    battery: float | None = None  # ratio 0..1
    on_mains: bool | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    throttled: bool | None = None
    undervoltage: bool | None = None  # the supply sags under the load
    fps: float | None = None
    battery_energy_j: float | None = None  # left, where the board counts it
    camera_fps: float | None = None  # what the source delivers; None where it waits for us
    utc_s: float | None = None  # only while the clock is synchronised
    utc_offset_s: float = 0.0  # of local time
    frames: tuple[FrameSeen, ...] = ()  # those since the last observation


@dataclass(frozen=True)
class GoalStatus:
    """How one goal stands, in words for people; `at risk` and `not feasible` are told before it is too late."""

    goal: str
    state: Literal["met", "at risk", "not feasible", "unknown"]
    text: str

    def __str__(self) -> str:
        """Such as ``battery: on course, 9.1 h expected of 8.0 h wanted``; a text that begins with what `met` means
        needs no word for it."""
        told = self.text if self.text.startswith("on course") else f"{self.state}, {self.text}"
        return f"{self.goal}: {told}"


@dataclass(frozen=True)
class Decision:
    """Which variant shall run, and why: a sentence for people and the numbers behind it.

    `expected` holds what the controller foretells for that variant (``latency_ms``, ``energy_mj`` a frame, ``power_w``,
    ``temperature_c`` a minute from now), to be held against what came. `notes` are readings that were refused.
    """

    variant: str
    reason: str
    numbers: Mapping[str, float | str] = field(default_factory=dict)
    emergency: bool = False
    expected: Mapping[str, float] = field(default_factory=dict)
    goals: tuple[GoalStatus, ...] = ()
    notes: tuple[str, ...] = ()
    max_fps: float | None = None  # frames beyond this rate are dropped before inference; None: none are


class Controller(Protocol):
    """`decide` maps (state, observation) to (state, decision); all that it learnt is in the state."""

    def initial(self) -> Any: ...

    def decide(self, state: Any, seen: Observation) -> tuple[Any, Decision]: ...
