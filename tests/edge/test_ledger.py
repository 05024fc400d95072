"""Windows tile time: rows in order, none missing, their energies add up to the run's."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from boards.sensor import Method
from edge.journal import FrameRow
from edge.ledger import Ledger, Served
from edge.meter import WindowEnergy

MS = 1_000_000


class Steady:
    """Two watts for ever, known up to `until_ns`; two watts are two nanojoules a nanosecond, so integers are exact."""

    def __init__(self, until_ns: int = 0) -> None:
        self.until_ns = until_ns

    def ready(self, end_ns: int) -> bool:
        return end_ns <= self.until_ns

    def energy(self, start_ns: int, end_ns: int) -> WindowEnergy:
        if not self.ready(end_ns):
            return WindowEnergy(None, None, 0, Method.UNAVAILABLE)
        return WindowEnergy((end_ns * 2) // 1000 - (start_ns * 2) // 1000, 1, 3, Method.MODELLED)


def served(sequence: int, start_ns: int, infer_ns: int) -> Served:
    return Served(sequence, 1, 0, start_ns - 5 * MS, start_ns, start_ns + infer_ns, start_ns + infer_ns + MS, MS, MS)


def test_a_row_waits_for_the_next_start_and_for_the_meter() -> None:
    meter, rows = Steady(), list[FrameRow]()
    ledger = Ledger(meter, rows.append)
    ledger.window_started(0)
    ledger.finished(served(0, 0, 30 * MS))
    ledger.settle(40 * MS)
    assert rows == []
    ledger.window_started(50 * MS)
    ledger.settle(51 * MS)
    assert rows == []
    meter.until_ns = 60 * MS
    ledger.settle(61 * MS)
    (row,) = rows
    assert (row.start_ns, row.end_ns) == (0, 50 * MS)
    assert (row.energy_uj, row.infer_energy_uj) == (100_000, 60_000)
    assert (row.age_us, row.prepare_us, row.infer_us, row.finish_us) == (36_000, 1000, 30_000, 1000)
    assert (row.samples, row.method) == (3, Method.MODELLED)


def test_a_meter_that_stays_silent_makes_rows_without_energy_not_without_frames() -> None:
    rows = list[FrameRow]()
    ledger = Ledger(Steady(), rows.append, patience_ns=100 * MS)
    ledger.window_started(0)
    ledger.finished(served(0, 0, 10 * MS))
    ledger.window_started(50 * MS)
    ledger.settle(149 * MS)
    assert rows == []
    ledger.settle(151 * MS)
    assert (rows[0].energy_uj, rows[0].method) == (None, Method.UNAVAILABLE)


def test_without_a_meter_rows_come_at_once_and_say_unavailable() -> None:
    rows = list[FrameRow]()
    ledger = Ledger(None, rows.append)
    ledger.window_started(0)
    ledger.finished(served(0, 0, 10 * MS))
    ledger.close(20 * MS)
    assert (rows[0].energy_uj, rows[0].uncertainty_uj, rows[0].method) == (None, None, Method.UNAVAILABLE)


@given(st.lists(st.tuples(st.integers(1, 10**8), st.integers(0, 10**8)), min_size=1, max_size=40))
def test_windows_tile_time_and_add_up(frames: list[tuple[int, int]]) -> None:
    meter, rows = Steady(), list[FrameRow]()
    ledger = Ledger(meter, rows.append)
    now = 12_345
    first = now
    for sequence, (infer_ns, idle_ns) in enumerate(frames):
        ledger.window_started(now)
        ledger.finished(served(sequence, now, infer_ns))
        now += infer_ns + idle_ns
        meter.until_ns = now - infer_ns // 2
        ledger.settle(now)
    meter.until_ns = now
    ledger.close(now)
    assert [row.sequence for row in rows] == list(range(len(frames)))
    assert rows[0].start_ns == first
    assert rows[-1].end_ns == now
    for earlier, later in itertools.pairwise(rows):
        assert earlier.end_ns == later.start_ns
    assert sum(row.energy_uj or 0 for row in rows) == now * 2 // 1000 - first * 2 // 1000
