from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge.bench.child import LineChild, environment
from edge.bench.record import BenchError

ECHO = """
import json, sys
for line in sys.stdin:
    body = json.loads(line)
    if body.get("leave"):
        sys.exit(3)
    print(json.dumps({"heard": body}), flush=True)
"""


def echo(tmp_path: Path) -> LineChild:
    file = tmp_path / "echo.py"
    file.write_text(ECHO)
    return LineChild.script(Path(sys.executable), file)


def test_lines_go_both_ways(tmp_path: Path) -> None:
    with echo(tmp_path) as child:
        for number in (1, 2):
            child.tell({"n": number})
        assert [child.hear(20)["heard"]["n"] for _ in range(2)] == [1, 2]


def test_a_process_that_ends_says_with_what(tmp_path: Path) -> None:
    with echo(tmp_path) as child:
        child.tell({"leave": True})
        with pytest.raises(BenchError, match="ended with status 3"):
            child.hear(20)


def test_silence_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with echo(tmp_path) as child, pytest.raises(BenchError, match=r"did not answer within 0\.05 s"):
        child.hear(0.05)


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="nowhere/python: cannot be started"):
        LineChild.script(tmp_path / "nowhere/python", tmp_path / "x.py")


def test_another_interpreter_gets_none_of_our_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert "PYTHONPATH" not in environment(ours=False)
    ours = environment()
    assert ours["PYTHONPATH"].endswith("/somewhere")
    assert ours["OMP_NUM_THREADS"] == "1"
