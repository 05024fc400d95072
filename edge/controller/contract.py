"""What a controller sees, keeps and answers. A controller is a pure function: no clock, no file, no randomness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Candidate:
    """A variant that could run next. Unknown figures are None, never zero."""

    id: str
    accuracy: float | None = None  # ratio 0..1
    latency_ms: float | None = None  # of one inference, expected here
    power_w: float | None = None  # of the board while this variant runs, expected here
    macs: int | None = None
    usable: bool = True  # False once it failed to load or to verify


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


@dataclass(frozen=True)
class Decision:
    """Which variant shall run, and why: a sentence for people and the numbers behind it."""

    variant: str
    reason: str
    numbers: Mapping[str, float | str] = field(default_factory=dict)
    emergency: bool = False


class Controller(Protocol):
    """`decide` maps (state, observation) to (state, decision); all that it learnt is in the state."""

    def initial(self) -> Any: ...

    def decide(self, state: Any, seen: Observation) -> tuple[Any, Decision]: ...
