"""Frames and clocks for the journal's tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boards.sensor import Method
from edge.journal import FrameRow, Journal, JournalSettings

START_NS = 5_000_000_000
UTC_NS = 1_790_000_000_000_000_000


class FakeClock:
    """A monotonic clock that stands still until told; `utc` follows it."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def utc(self) -> int:
        return UTC_NS + self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def open_journal(path: Path, clock: FakeClock | None = None, **settings: Any) -> Journal:
    """A journal without a thread on a fake clock."""
    clock = clock or FakeClock()
    return Journal.open(
        path,
        JournalSettings(**settings),
        monotonic_ns=clock,
        utc_ns=clock.utc,
        synchronised=lambda: True,
        threaded=False,
    )


def frames(count: int, variant_id: int = 1, first: int = 0, seed: int = 0, known: bool = True) -> list[FrameRow]:
    """Frames of about 100 ms in a row, with modelled energies or without any."""
    rng = random.Random(f"{seed}/{first}")
    pick: Callable[[int, int], int] = rng.randint
    rows = []
    start_ns = START_NS + first * 100_000_000
    for number in range(first, first + count):
        energy = pick(300_000, 900_000) if known else None
        rows.append(
            FrameRow(
                number,
                start_ns,
                start_ns + 100_000_000,
                variant_id,
                pick(0, 2),
                pick(60_000, 150_000),
                pick(1_000, 9_000),
                pick(40_000, 90_000),
                pick(1_000, 9_000),
                energy,
                None if energy is None else energy * 2 // 3,
                None if energy is None else pick(1_000, 20_000),
                10,
                Method.MODELLED if known else Method.UNAVAILABLE,
                pick(300_000, 800_000) if number % 2 else None,
            )
        )
        start_ns += 100_000_000
    return rows
