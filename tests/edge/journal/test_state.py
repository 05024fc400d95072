"""Random histories: append, commit, crash, restart. Nothing acknowledged is lost; roll-ups equal a scan."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.journal import FrameRow, Journal, JournalReader, JournalSettings
from tests.edge.journal.made import FakeClock, frames, open_journal
from tests.edge.journal.scan import assert_equal, gather


class History(RuleBasedStateMachine):
    """A crash is a copy of database and WAL as they lie on the disk, opened by somebody else."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.clock = FakeClock()
        self.lives = 0
        self.sequence = 0
        self.saved: list[tuple[int, FrameRow]] = []
        self.waiting: list[tuple[int, FrameRow]] = []
        self.journal: Journal

    @initialize()
    def begin(self) -> None:
        self._open(self.root / "life-0.db")

    @rule(count=st.integers(0, 30), variant=st.integers(1, 3), known=st.booleans())
    def append(self, count: int, variant: int, known: bool) -> None:
        rows = frames(count, variant, first=self.sequence, known=known)
        self.sequence += count
        self.journal.append_frames(rows)
        self.waiting += [(self.run_id, row) for row in rows]

    @rule()
    def commit(self) -> None:
        assert self.journal.flush()
        self._acknowledge()

    @rule()
    def interval_ends(self) -> None:
        self.clock.advance(JournalSettings().commit_interval_s + 1)
        assert self.journal.tick()
        self._acknowledge()

    @rule()
    def new_run(self) -> None:
        self.run_id = self.journal.start_run("b", "b")

    @rule()
    def crash(self) -> None:
        self.lives += 1
        now = self.journal.path
        then = self.root / f"life-{self.lives}.db"
        for companion in ("", "-wal"):
            if Path(f"{now}{companion}").exists():
                shutil.copy(f"{now}{companion}", f"{then}{companion}")
        self.journal.close()
        self.waiting = []
        self._open(then)

    @rule()
    @precondition(lambda self: self.lives < 20)
    def restart(self) -> None:
        assert self.journal.close()
        self._acknowledge()
        self._open(self.journal.path)

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        if not hasattr(self, "journal"):
            return
        with JournalReader(self.journal.path) as reader:
            stored = [(frame.run_id, tuple(frame)[2:]) for frame in reader.frames()]
            assert stored == [(run_id, tuple(row)) for run_id, row in self.saved]
            assert_equal(reader.rollups(), gather(self.saved))
            by_method = reader.total_energy_uj()
            assert sum(by_method.values()) == sum(row.energy_uj or 0 for _, row in self.saved)

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
        shutil.rmtree(self.root)

    def _open(self, path: Path) -> None:
        self.journal = open_journal(path, self.clock, batch_rows=100_000)
        self.run_id = self.journal.start_run("b", "b")
        assert self.journal.flush()

    def _acknowledge(self) -> None:
        self.saved += self.waiting
        self.waiting = []


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
