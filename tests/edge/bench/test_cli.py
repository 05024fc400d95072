from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge.bench import cli
from tests.edge.tiny import write_bundle

COMMANDS = ("pipeline", "switch", "journal", "energy", "sampling", "idle", "all")


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.callback()(lambda: None)
    cli.register(made)
    return made


def test_every_command_is_there_with_help(app: typer.Typer) -> None:
    listed = CliRunner().invoke(app, ["bench", "--help"]).output
    for command in COMMANDS:
        assert command in listed
        helped = CliRunner().invoke(app, ["bench", command, "--help"])
        assert helped.exit_code == 0
        assert "Example" in helped.output


def test_energy_is_recorded_with_its_goals(app: typer.Typer, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "energy", "--seconds", "10", "--json", "--record", str(tmp_path)])
    assert done.exit_code == 0, done.output
    body = json.loads((tmp_path / "energy.json").read_text())
    assert body["name"] == "energy"
    assert len(body["goals"]) == 4
    assert len(body["tables"][0]["rows"]) == len(body["details"]["scores"])
    assert (tmp_path / "energy.md").read_text().startswith("# Energy")


def test_the_journal_is_held_against_its_goals(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real measurement fills a journal of gigabytes: here only what is made of its figures is looked at.
    from edge.bench import journal

    figures = {field.name: 1.0 for field in fields(journal.JournalBench)} | {
        "frames": 20_000, "ingest_frames_per_s": 199_999.0, "bytes_per_frame": 70.0, "summary_s": 1.5,
        "day_wchar_bytes": 180_000_000, "day_write_bytes": 260_000_000, "summary_runs": 5, "day_frames": 864_000,
    }  # fmt: skip
    monkeypatch.setattr(journal, "bench_journal", lambda frames: journal.JournalBench(**figures))  # type: ignore[arg-type]
    done = CliRunner().invoke(app, ["bench", "journal", "--frames", "20000", "--json"])
    assert done.exit_code == 0, done.output
    goals = json.loads(done.stdout)["goals"]
    assert [goal["met"] for goal in goals] == [False, True, True, False]
    assert goals[3]["measured"] == 260.0


def test_switch_runs_on_a_bundle(app: typer.Typer, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "tiny")
    done = CliRunner().invoke(app, ["bench", "switch", "--bundle", str(bundle), "--rounds", "2", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["name"] == "switch"


def test_sampling_is_measured_in_turn(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["bench", "sampling", "--seconds", "0.5", "--runs", "2", "--json"])
    assert done.exit_code == 0, done.output
    body = json.loads(done.stdout)
    assert [run["rate_hz"] for run in body["details"]["runs"]] == [50.0, 100.0, 50.0, 100.0]
    assert [row[0] for row in body["tables"][0]["rows"]] == [50.0, 100.0]
    assert body["goals"][0]["measured"] > 0


def test_thread_counts_are_whole_numbers(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["bench", "pipeline", "--threads", "1,many"])
    assert done.exit_code == 2
    assert "write whole numbers separated by commas" in " ".join(done.output.split())


def test_all_runs_each_by_itself_and_names_what_failed(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, list[tuple[str, Path | None]]] = {}

    def run(name: str, options: list[tuple[str, Path | None]]) -> bool:
        asked[name] = options
        return name != "model"

    monkeypatch.setattr(cli, "_run", run)
    done = CliRunner().invoke(app, ["bench", "all", "--bundle", "b", "--record", "out"])
    assert str(done.exception) == "these benchmarks did not finish: model; run them by themselves to see why"
    assert set(asked) == {"model", *COMMANDS} - {"all"}
    assert asked["idle"] == [("--bundle", Path("b")), ("--record", Path("out"))]
