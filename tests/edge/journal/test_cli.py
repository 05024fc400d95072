from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boards.sensor import Method
from edge.errors import UsageError
from edge.journal import JournalError, JournalReader
from edge.journal.cli import journal_app
from edge.journal.summary import summarise
from tests.edge.journal.made import START_NS, FakeClock, frames, open_journal


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "j.db"
    with open_journal(path, FakeClock()) as writer:
        full = writer.register_variant("full-f32", "full", "float32", "litert")
        half = writer.register_variant("half-int8", "half", "int8", "litert")
        writer.start_run("simulated", "demo", rails_included=["VDD_IN"])
        writer.append_frames(frames(100, full))
        writer.switch(START_NS + 10**10, full, half, "battery at 20 %", cost_us=410)
        writer.append_frames(frames(50, half, first=100))
        writer.append_frames(frames(7, half, first=150, known=False))
        writer.start_run("simulated", "demo")
        writer.append_frames(frames(3, half, first=157))
    return path


def test_the_summary_says_what_the_frames_say(journal: Path) -> None:
    with JournalReader(journal) as reader:
        summary = summarise(reader, reader.run(1))
        rows = list(reader.frames(1))
    energy_j = sum(row.energy_uj or 0 for row in rows) / 1e6
    assert summary.frames == 157
    assert summary.fps == pytest.approx(10)
    assert summary.skipped == sum(row.skipped for row in rows)
    assert summary.energy_j == {"modelled": pytest.approx(energy_j)}
    assert summary.uncertainty_j == {"modelled": pytest.approx(sum(row.uncertainty_uj or 0 for row in rows) / 1e6)}
    assert summary.frames_without_energy == 7
    assert [(row.variant, row.method, row.frames) for row in summary.variants] == [
        ("full-f32", "modelled", 100),
        ("half-int8", "unavailable", 7),
        ("half-int8", "modelled", 50),
    ]
    full = summary.variants[0]
    assert full.energy_j is not None
    assert full.power_w == pytest.approx(full.energy_j / 10)
    assert full.infer_ms is not None
    assert full.infer_ms.p50 == pytest.approx(sorted(row.infer_us for row in rows[:100])[49] / 1e3, rel=0.005)
    assert summary.variants[1].energy_j is None
    assert summary.miou == pytest.approx(sum(row.miou_ppm for row in rows if row.miou_ppm is not None) / 78 / 1e6)
    (switch,) = summary.switches
    assert (switch.at_s, switch.before, switch.after, switch.cost_ms) == (10.0, "full-f32", "half-int8", 0.41)


def test_summary_prints_units_methods_and_reasons(journal: Path) -> None:
    result = CliRunner().invoke(
        journal_app, ["summary", "--journal", str(journal), "--run", "1"], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, result.output
    for words in ("157 frames", "fps", "J modelled", "7 frames without a known energy", "battery at 20 %", "cost ms"):
        assert words in result.output


def test_no_figure_is_broken_in_a_terminal_of_80_columns(journal: Path) -> None:
    result = CliRunner().invoke(
        journal_app, ["summary", "--journal", str(journal), "--run", "1"], env={"COLUMNS": "80"}
    )
    rows = [line for line in result.output.splitlines() if "full-f32" in line]
    three = r"[\d.]+ / [\d.]+ / [\d.]+"
    assert re.fullmatch(r"│ full-f32 +│ modelled +│ +100 │ +10.00 │ +[\d.]+ │ +[\d.]+ │ +[\d.]+ │", rows[0])
    assert re.fullmatch(rf"│ full-f32 +│ +{three} │ +{three} │ +{three} │", rows[1])


def test_summary_as_json(journal: Path) -> None:
    result = CliRunner().invoke(journal_app, ["summary", "--journal", str(journal), "--all", "--json"])
    found = json.loads(result.output)
    assert [run["frames"] for run in found["runs"]] == [157, 3]
    with JournalReader(journal) as reader:
        assert found["total_energy_j"] == {"modelled": reader.total_energy_uj()[Method.MODELLED] / 1e6}


def test_the_last_run_is_the_default(journal: Path) -> None:
    for extra in ([], ["--last"]):
        result = CliRunner().invoke(journal_app, ["summary", "--journal", str(journal), "--json", *extra])
        assert [run["run"] for run in json.loads(result.output)["runs"]] == [2]


def test_what_cannot_be_done_is_said(journal: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    both = runner.invoke(journal_app, ["summary", "--journal", str(journal), "--run", "1", "--all"])
    assert isinstance(both.exception, UsageError)
    none = runner.invoke(journal_app, ["summary", "--journal", str(tmp_path / "none.db")])
    assert isinstance(none.exception, JournalError)
    unknown = runner.invoke(journal_app, ["summary", "--journal", str(journal), "--run", "9"])
    assert "it has runs 1 to 2" in str(unknown.exception)


def test_export_to_standard_output(journal: Path) -> None:
    result = CliRunner().invoke(
        journal_app, ["export", "--journal", str(journal), "--format", "jsonl", "--table", "switch"]
    )
    assert json.loads(result.output)["reason"] == "battery at 20 %"


def test_a_copy_of_a_live_journal_is_whole(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db") as writer:
        writer.start_run("b", "b")
        writer.append_frames(frames(500))
        assert writer.flush()
        result = CliRunner().invoke(journal_app, ["copy", str(tmp_path / "c.db"), "--journal", str(tmp_path / "j.db")])
        assert result.exit_code == 0, result.output
        writer.append_frames(frames(10, first=500))
        assert writer.flush()
    with JournalReader(tmp_path / "c.db") as reader:
        assert sum(1 for _ in reader.frames()) == 500
        assert reader.query("PRAGMA integrity_check") == [("ok",)]
    again = CliRunner().invoke(journal_app, ["copy", str(tmp_path / "c.db"), "--journal", str(tmp_path / "j.db")])
    assert "exists" in str(again.exception)


def test_every_command_has_help() -> None:
    for command in journal_app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__
