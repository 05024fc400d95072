"""A board's latency table: what each piece of a network costs on one machine with one engine, as a JSON file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.study.errors import StudyError
from edge.study.timing import Timing

FORMAT: Literal["joulepath latency table 1"] = "joulepath latency table 1"
# What is written between two units' turns: more than the private caches of the processors that boards have.
BETWEEN_BYTES = 4 << 20


class Entry(BaseModel):
    """Milliseconds of one inference: the median and the middle 80 % of `rounds` rounds.

    `values_ms` are the rounds themselves, kept where ratios are taken round by round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    median_ms: float = Field(gt=0)
    p10_ms: float = Field(ge=0)
    p90_ms: float = Field(ge=0)
    rounds: int = Field(ge=1)
    values_ms: tuple[float, ...] | None = None

    @property
    def spread(self) -> float:
        """The width of the middle 80 % as a share of the median."""
        return (self.p90_ms - self.p10_ms) / self.median_ms

    @classmethod
    def of(cls, timing: Timing, *, each: bool = False) -> Entry:
        """A timing, with `each` of its rounds when asked."""
        return cls(
            median_ms=timing.median_ms,
            p10_ms=timing.p10_ms,
            p90_ms=timing.p90_ms,
            rounds=timing.rounds,
            values_ms=timing.values_ms if each else None,
        )


class Whole(BaseModel):
    """A whole network: how often each unit occurs in it, and what it took.

    The sum of units is fitted to those that are `fitted`; the others are held out and tell how far it is to be trusted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: dict[str, int]
    timing: Entry
    fitted: bool = True


class LatencyTable(BaseModel):
    """Medians by key, and what they were measured on.

    `entries` are units (`converters.latency.keys`) timed with `between_bytes` of memory written between turns, so that
    they are as cold as within a network; `wholes` are networks, `compared` the graphs of studies, both timed hot.
    `overhead_ms` is what the engine takes for an empty graph, as cold; it is part of every figure here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["joulepath latency table 1"] = FORMAT
    board: str
    machine: dict[str, Any]
    engine: str
    version: str
    threads: int = Field(ge=1)
    measured_utc: str
    between_bytes: int = Field(default=BETWEEN_BYTES, ge=0)
    overhead_ms: float = Field(ge=0)
    entries: dict[str, Entry] = {}
    wholes: dict[str, Whole] = {}
    compared: dict[str, Entry] = {}

    def extended(
        self,
        entries: Mapping[str, Entry] | None = None,
        wholes: Mapping[str, Whole] | None = None,
        compared: Mapping[str, Entry] | None = None,
    ) -> LatencyTable:
        """This table with more in it."""
        return self.model_copy(
            update={
                "entries": self.entries | dict(entries or {}),
                "wholes": self.wholes | dict(wholes or {}),
                "compared": self.compared | dict(compared or {}),
            }
        )

    def elsewhere(self, other: LatencyTable) -> str | None:
        """What figures of `other` were measured with that this table's were not, None when they may be joined."""
        for what in ("cpu", "cores"):
            mine, its = self.machine.get(what), other.machine.get(what)
            if mine != its:
                return f"{what} {its!r} instead of {mine!r}"
        for what in ("engine", "version", "threads", "between_bytes"):
            mine, its = getattr(self, what), getattr(other, what)
            if mine != its:
                return f"{what.replace('_', ' ')} {its!r} instead of {mine!r}"
        return None

    def save(self, file: Path) -> None:
        """Write it whole or not at all. Raises StudyError when it cannot be written."""
        beside = file.with_name(f".{file.name}.new")
        try:
            beside.write_text(self.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")
            os.replace(beside, file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise StudyError(f"{file}: the latency table cannot be written ({error.strerror})") from error

    @classmethod
    def read(cls, file: Path) -> LatencyTable:
        """A table from its file. Raises StudyError saying what is wrong with it."""
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise StudyError(f"{file}: the latency table cannot be read ({reason})") from error
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = " > ".join(str(part)[:60] for part in first["loc"]) or "the file"
            raise StudyError(
                f"{file}: not a latency table: {where}: {first['msg']}; "
                "make it again with `joulepath study latency --out FILE`"
            ) from error
