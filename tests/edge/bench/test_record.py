from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bench.machine import Machine
from edge.bench.record import BenchError, Goal, Result, Table, command_line, markdown, show, write

MACHINE = Machine("Some CPU", 4, ("avx2", "fma"), 8.0, "6.1", "Some Linux 1", "3.11.2", {"numpy": "2.1"}, 0.1)
RESULT = Result(
    name="made",
    title="A made result",
    command="joulepath bench made",
    machine=MACHINE,
    started_utc="2026-01-02T03:04:05Z",
    method=("counted twice",),
    tables=(Table("Times", ("engine", "ms", "note"), (("a", 12.345, None), ("b", 1234.5, "slow"), ("c", 3, "whole"))),),
    goals=(
        Goal("ratio", 2.41, 2.3, "x", interval=(2.38, 2.44)),
        Goal("bytes", 80.0, 70, " bytes", at_most=True),
        Goal("other", None, 1.5, "x", why_unknown="no row b"),
    ),
    notes=("only a test",),
    details={"all": [1, 2, 3]},
)


def test_goals_say_what_was_measured_and_whether_it_is_enough() -> None:
    assert [goal.met for goal in RESULT.goals] == [True, False, None]
    assert [goal.sentence() for goal in RESULT.goals] == [
        "ratio: 2.41x (95 % 2.38 to 2.44x), goal at least 2.30x: reached",
        "bytes: 80.00 bytes, goal at most 70 bytes: NOT reached",
        "other: not measured (no row b), goal at least 1.50x",
    ]
    assert not RESULT.reached
    assert replace(RESULT, goals=RESULT.goals[:1]).reached


def test_a_bound_itself_is_enough() -> None:
    assert Goal("lost", 0, 0, at_most=True).met
    assert Goal("ratio", 2.3, 2.3).met


def test_a_row_must_fit_its_table() -> None:
    with pytest.raises(ValueError, match="2 cells for 3 columns"):
        Table("t", ("a", "b", "c"), (("x", 1),))


def test_the_page_shows_goals_tables_command_and_machine() -> None:
    page = markdown(RESULT)
    assert page.startswith("# A made result\n\n- ratio: 2.41x")
    assert "| a | 12.35 | - |\n| b | 1,234 | slow |\n| c | 3 | whole |" in page
    assert "Command: `joulepath bench made` (2026-01-02T03:04:05Z)" in page
    assert "- processor: Some CPU, 4 cores usable, memory 8 GiB" in page
    assert "- libraries: numpy 2.1" in page
    assert "busy" not in page


def test_a_busy_machine_is_called_busy() -> None:
    assert "load average (1 min) at start: 1.90 - the machine was busy" in markdown(
        replace(RESULT, machine=replace(MACHINE, load_average_1m=1.9))
    )


def test_both_files_are_written(tmp_path: Path) -> None:
    json_path, page_path = write(RESULT, tmp_path / "new" / "bench")
    body = json.loads(json_path.read_text())
    assert page_path.read_text() == markdown(RESULT)
    assert (json_path.name, page_path.name) == ("made.json", "made.md")
    assert [goal["met"] for goal in body["goals"]] == [True, False, None]
    assert body["machine"]["libraries"] == {"numpy": "2.1"}
    assert body["details"] == {"all": [1, 2, 3]}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(BenchError, match=r"file/bench: cannot record results .*--record"):
        write(RESULT, blocked / "bench")


def test_a_published_command_names_no_folder_of_this_machine() -> None:
    arguments = ["bench", "model", "--work", "/home/somebody/files", "--record=/srv/x/bench", "--rounds", "3", "a b"]
    assert command_line(arguments) == "joulepath bench model --work files --record=bench --rounds 3 'a b'"


def test_showing_prints_everything_unbroken(capsys: pytest.CaptureFixture[str]) -> None:
    show(RESULT)
    said = capsys.readouterr().out
    assert "1,234" in said
    assert "bytes: 80.00 bytes, goal at most 70 bytes: NOT reached" in said
    assert "only a test" in said
