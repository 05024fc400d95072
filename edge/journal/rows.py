"""The rows of a journal, in integer base units: ns, us, uJ, uW, millidegrees, parts per million."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from boards.board import Quantity
from boards.sensor import Method


class Level(IntEnum):
    """How bad an event is; the numbers are stored in journals and never change."""

    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


class FrameRow(NamedTuple):
    """One frame. A named tuple because a frozen dataclass of this many fields takes five times as long to make.

    `start_ns` to `end_ns` is the frame's window on the monotonic clock; `age_us` runs from capture to result.
    `energy_uj` is the window's energy, `infer_energy_uj` the part spent while inferring, `uncertainty_uj` the
    half-width of the stated error of `energy_uj`; None where unknown, never zero. `samples` counts the readings inside
    the window. `miou_ppm` is the frame's mean intersection over union in parts per million where truth is known.
    `reused` is 1 for a frame that showed nothing new and was answered with what `variant_id` made of an earlier one:
    nothing was inferred, so its `infer_us` says nothing and is in no percentile; its energy counts like any other's.
    """

    sequence: int
    start_ns: int
    end_ns: int
    variant_id: int
    skipped: int
    age_us: int
    prepare_us: int
    infer_us: int
    finish_us: int
    energy_uj: int | None
    infer_energy_uj: int | None
    uncertainty_uj: int | None
    samples: int
    method: Method | int
    miou_ppm: int | None = None
    reused: int = 0


class StoredFrame(NamedTuple):
    """A frame as read back: a FrameRow with its place in the journal."""

    id: int
    run_id: int
    sequence: int
    start_ns: int
    end_ns: int
    variant_id: int
    skipped: int
    age_us: int
    prepare_us: int
    infer_us: int
    finish_us: int
    energy_uj: int | None
    infer_energy_uj: int | None
    uncertainty_uj: int | None
    samples: int
    method: int
    miou_ppm: int | None
    reused: int


class SampleRow(NamedTuple):
    """One channel from `second` on, as long as its rows are; mean, min and max in the channel's base unit."""

    run_id: int
    second: int
    channel_id: int
    mean: int
    min: int
    max: int


class SwitchRow(NamedTuple):
    """A change of variant; `from_id` is None for a run's first one, `detail` is JSON, `cost_us` None if unknown."""

    run_id: int
    time_ns: int
    from_id: int | None
    to_id: int
    reason: str
    detail: str
    cost_us: int | None


class EventRow(NamedTuple):
    """Something worth telling. `run_id` is None outside a run."""

    run_id: int | None
    time_ns: int
    level: int
    kind: str
    message: str


class ClockRow(NamedTuple):
    """What the wall clock said at a monotonic instant. `synchronised` is None where nobody could tell."""

    run_id: int
    monotonic_ns: int
    utc_ns: int
    synchronised: bool | None


class VariantRow(NamedTuple):
    """A variant that ran; `name` is its id in the bundle."""

    id: int
    name: str
    path: str
    precision: str
    engine: str


class ChannelRow(NamedTuple):
    """A sampled channel. A stored integer is `value * scale`; `unit` names the base unit that it is in."""

    id: int
    name: str
    quantity: Quantity
    unit: str
    scale: float
    method: Method


class RunRow(NamedTuple):
    """One run. `outcome` is None while it goes on; `energy_uj` is None until it ends or where no energy was known."""

    id: int
    started_utc_ns: int
    start_ns: int
    ended_ns: int | None
    ended_utc_ns: int | None
    outcome: str | None
    board: str
    bundle: str
    config: str
    rails_included: tuple[str, ...]
    energy_uj: int | None
    first_frame_id: int | None


@dataclass(frozen=True)
class JournalSettings:
    """How a journal is kept.

    `commit_interval_s` is also what a power cut may lose. `max_bytes` bounds the database file (its WAL beside it stays
    near 4 MB). `max_pending_rows` bounds what is kept in memory while the disk refuses writes. `batch_rows` pending
    rows are committed without waiting for the interval. `raw_ring_rows` > 0 also keeps that many raw samples.
    """

    commit_interval_s: float = 120.0
    max_bytes: int = 512 * 1024 * 1024
    max_pending_rows: int = 36_000
    batch_rows: int = 20_000
    raw_ring_rows: int = 0
    clock_interval_s: float = 600.0
    keep_empty_runs: int = 1000


BASE_UNITS: dict[Quantity, tuple[str, float]] = {
    Quantity.POWER: ("uW", 1e6),
    Quantity.ENERGY: ("uJ", 1e6),
    Quantity.TEMPERATURE: ("m°C", 1e3),
    Quantity.RATIO: ("ppm", 1e6),
    Quantity.FREQUENCY: ("Hz", 1.0),
    Quantity.FLAG: ("ppm", 1e6),
}
