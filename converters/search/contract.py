"""What the search knows of a path, and who tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from converters.paths import ExecutionPath

LatencyKind = Literal["measured", "predicted"]


@dataclass(frozen=True)
class Measured:
    """A path that was built and scored.

    `accuracy` is 0..1 on the search set, or agreement with the full network where the set has no labels. `latency_ms`
    is one inference, one thread. `bytes` is the size of the path's float32 file by itself. `energy_mj` is what a
    model of the board says (`converters.search.energy`), None where there is none.
    """

    path: ExecutionPath
    accuracy: float
    latency_ms: float
    latency_kind: LatencyKind
    macs: int
    parameters: int
    bytes: int
    energy_mj: float | None = None


@dataclass(frozen=True)
class Refused:
    """A path that cannot be had, or that nobody should take, and why."""

    path: ExecutionPath
    reason: str


Outcome = Measured | Refused


class Evaluator(Protocol):
    """Builds, scores and times one path."""

    def __call__(self, path: ExecutionPath) -> Measured:
        """Raises ConvertError for a path that these weights do not allow; any other error ends the search."""
        ...


class EvaluatorSpec(Protocol):
    """Says how to make an evaluator; small and picklable, for it is sent to every worker."""

    def __hash__(self) -> int:
        """A worker keeps what it built for one."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal for two specs that give a path the same numbers, and for no others."""
        ...

    def build(self) -> Evaluator:
        """Read what evaluating needs; takes seconds. Raises JoulepathError."""
        ...


# Outcomes in the order of the paths given: what every strategy asks.
Evaluate = Callable[[Sequence[ExecutionPath]], list[Outcome]]
Say = Callable[[str], None]
