"""`joulepath simulate` as a person meets it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge.controller.baselines import StaticController
from edge.errors import JoulepathError, UsageError
from edge.simulate.cli import register
from edge.simulate.draw import draw
from edge.simulate.oracle import OraclePlan
from edge.simulate.plot import write_plot
from edge.simulate.run import run
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
    written = page.read_text()
    assert "deadline, seed 0" in written
    assert "battery, Wh" not in written  # this board has none


def test_the_oracle_is_drawn_beside_the_runs(tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="plots need plotly")
    scenario = replace(draw("battery", 0), seconds=60.0)
    plan = OraclePlan(0.5, 240.0, [[0.25, 0.75, 0.0, 0.0, 0.0]] * 6, 10.0, True, [4.0] * 6)
    outcome = run(scenario, StaticController("p1"), 0, "static", keep_trace=True)
    page = tmp_path / "run.html"
    write_plot(page, "a minute", scenario, {"static": outcome.trace}, plan)
    written = page.read_text()
    assert "full 25 %, p1 75 %" in written
    assert '"name":"oracle"' in written
    assert "battery, Wh" in written
    assert "frames a second" not in written  # it never changed


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
