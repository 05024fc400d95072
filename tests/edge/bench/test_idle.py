from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from boards.board import Quantity
from boards.linux import open_linux
from boards.roots import Roots
from edge.bench.idle import measure_idle, measure_start
from edge.bench.idle_daemon import LABELS, FastRails, write_rails
from edge.bench.record import BenchError
from tests.edge.tiny import write_bundle


def test_the_board_has_three_rails_at_fifty_hertz(tmp_path: Path) -> None:
    board = FastRails(open_linux(Roots(sys=write_rails(tmp_path))))
    rails = [channel for channel in board.channels if channel.quantity is Quantity.POWER]
    assert [rail.name for rail in rails] == list(LABELS)
    assert {rail.period_s for rail in rails} == {0.02}
    assert board.energy_channel == "VDD_IN"
    assert rails[1].sensor.read().value == pytest.approx(5.064 * 0.8)
    board.close()


def test_an_idle_daemon_is_measured_with_its_processes(tmp_path: Path) -> None:
    idle = measure_idle(write_bundle(tmp_path / "bundle"), tmp_path / "idle", seconds=1.0, settle_s=0.5)
    assert set(idle.by_process) == {"edge.bench.idle_daemon", "edge.engines.worker", "edge.cameras.child"}
    assert idle.percent == pytest.approx(sum(idle.by_process.values()))
    assert 0 < idle.samples_per_s < 51


def test_a_daemon_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"the idle daemon did not start: .*no such bundle directory"):
        measure_idle(tmp_path / "none", tmp_path / "idle", seconds=1.0)


@pytest.mark.skipif(
    not any(entry.name == "run" for entry in entry_points(group="joulepath.commands")),
    reason="joulepath is not installed here (pip install -e .), so there is no command to start",
)
def test_a_start_is_timed_from_the_process_to_the_first_mask(tmp_path: Path) -> None:
    start = measure_start(write_bundle(tmp_path / "bundle"), tmp_path / "start")
    assert 0 < start.infer_s < start.first_frame_s < start.ended_s
