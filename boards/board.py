"""What a board is: named channels to sample, and where a frame's energy is taken from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from boards.sensor import Method, Sensor


class Quantity(str, Enum):
    """What a channel measures; the value is its unit."""

    POWER = "W"
    ENERGY = "J"  # a counter that only grows (RAPL, a battery's coulomb counter in joules)
    TEMPERATURE = "°C"
    RATIO = "ratio"  # 0..1: battery charge, load
    FREQUENCY = "Hz"
    FLAG = "flag"  # 0 or 1: throttled, on mains


@dataclass(frozen=True)
class Alarm:
    """What a FLAG channel means when it rises to 1 and falls to 0; each becomes an event of `kind` in the journal.

    `level` is info, warning or critical; critical events are on the disk at once.
    """

    level: str
    kind: str
    raised: str
    cleared: str


@dataclass(frozen=True)
class Channel:
    """One sampled line of a board. `name` is unique on the board, e.g. ``VDD_IN``, ``cpu-thermal``, ``battery``.

    `relative_error` is the share by which the values as a whole may be off (95 %), as a calibration found it or a
    chip's data sheet has it: it does not average out, so it is part of every energy's uncertainty; 0 where unknown.
    """

    name: str
    quantity: Quantity
    sensor: Sensor
    period_s: float
    method: Method = Method.MEASURED
    path: str = ""  # where it is read from, for people
    resolution: float = 0.0  # smallest step of the value, in its unit, as the registers have it; 0 = unknown
    alarm: Alarm | None = None
    relative_error: float = 0.0


@dataclass(frozen=True)
class Activity:
    """What the runtime is doing: the load table of the simulated board needs it, real boards ignore it.

    `variant` is the id of the running variant, `busy` whether an inference is under way, `monotonic_ns` since when.
    """

    variant: str | None
    busy: bool
    monotonic_ns: int


@dataclass(frozen=True)
class BoardInfo:
    """Facts for the journal and `joulepath probe`."""

    name: str
    model: str
    rails_included: tuple[str, ...] = ()
    whole_board: bool = False  # the energy channel is all that a battery would have to give
    details: dict[str, str] = field(default_factory=dict)


class Board(Protocol):
    """Channels to sample; `energy_channel` names the one (POWER or ENERGY) that a frame's energy is taken from.

    Well-known names that the controller looks for: the first TEMPERATURE channel in order is *the* temperature,
    ``battery`` (RATIO) the state of charge, ``battery_energy_j`` where the remaining energy is known,
    ``throttled``, ``undervoltage`` and ``mains`` (FLAG), ``load`` (RATIO).
    """

    @property
    def info(self) -> BoardInfo: ...

    @property
    def channels(self) -> tuple[Channel, ...]: ...

    @property
    def energy_channel(self) -> str | None: ...

    def note(self, activity: Activity) -> None: ...

    def close(self) -> None: ...
