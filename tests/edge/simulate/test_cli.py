"""`joulepath simulate` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge.errors import JoulepathError, UsageError
from edge.simulate.cli import register
from edge.simulate.scenarios import SCENARIOS

APP = typer.Typer()
APP.callback()(lambda: None)
register(APP)


def call(*arguments: str) -> str:
    result = CliRunner().invoke(APP, ["simulate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list_names_scenarios_and_boards() -> None:
    output = call("--list")
    assert all(name in output for name in SCENARIOS)
    assert "xavier-nx" in output


def test_json_holds_each_controller_and_the_oracle() -> None:
    pytest.importorskip("scipy", reason="the oracle needs scipy")
    body = json.loads(call("deadline", "-c", "plan", "-c", "static:p4", "--seed", "3", "--oracle", "--json"))
    assert [run["controller"] for run in body["runs"]] == ["plan", "static:p4"]
    assert all(run["energy_method"] == "modelled" for run in body["runs"])
    assert 0.9 < body["runs"][0]["of_oracle"] <= 1.02
    assert body["runs"][0]["accuracy"] >= body["runs"][1]["accuracy"]


def test_a_table_and_a_plot(tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="plots need plotly")
    page = tmp_path / "run.html"
    output = call("deadline", "--controller", "tiers", "--plot", str(page))
    assert "tiers" in output
    assert "deadline, seed 0" in page.read_text()


def test_mistakes_are_named() -> None:
    for arguments, words in (
        (["nowhere"], "no scenario is called 'nowhere'"),
        (["deadline", "-c", "magic"], "known are plan, ladder, tiers, alert, static:full"),
        ([], "name a scenario"),
    ):
        with pytest.raises(UsageError, match=words):
            CliRunner().invoke(APP, ["simulate", *arguments], catch_exceptions=False)
    with pytest.raises(JoulepathError, match="no board is called"):
        CliRunner().invoke(APP, ["simulate", "deadline", "--board", "abacus"], catch_exceptions=False)
