"""Every example runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from boards.sensor import Method
from edge.journal import FrameRow, Journal

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_a_test_for_every_example() -> None:
    assert {p.name for p in EXAMPLES.glob("*.py")} == {"read_journal.py", "own_controller.py"}


def test_own_controller() -> None:
    assert [line.split()[2] for line in run("own_controller.py").splitlines()] == ["full", "full", "small", "full"]


def test_read_journal(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j.db")
    number = journal.register_variant("full-float16")
    journal.start_run("simulated", "tiny")
    rows = [(1000, Method.MODELLED), (3000, Method.MODELLED), (None, Method.UNAVAILABLE)]
    for i, (energy, method) in enumerate(rows):
        journal.append_frame(FrameRow(i, i, i + 1, number, 0, 1, 1, 1, 1, energy, energy, energy, 1, method))
    journal.close()
    assert run("read_journal.py", str(tmp_path / "j.db")).splitlines() == [
        "full-float16: 2.0 mJ a frame over 2 frames",
        "obtained as: modelled",
    ]
