"""`joulepath analyze` from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from converters.analyze.cli import register
from edge.errors import UsageError


def run(*arguments: str) -> None:
    app = typer.Typer()
    register(app)
    app(["analyze", "segformer", *arguments], standalone_mode=False)


def test_counting_writes_json_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("plotly", reason="the plot needs the extra [report]")
    run("--config", "b0", "--no-time", "--energy", "accelerator", "--size", "64x64", "--out", str(tmp_path), "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "analysis.json").read_text())
    published, folded = printed["forms"]
    assert published["macs"] > folded["macs"]
    assert published["energy"]["method"] == printed["headline"]["method"] == "modelled"
    assert all(layer["energy"]["method"] == "modelled" for layer in published["layers"])
    assert published["finding"] is None
    page = (tmp_path / "analysis.html").read_text()
    assert "energy (modelled)" in page


@pytest.mark.slow
def test_layers_are_timed_and_kept_in_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorflow", reason="building layers needs the extra [convert]")
    table = tmp_path / "table.json"
    arguments = (
        "--config",
        "b0",
        "--classes",
        "3",
        "--size",
        "32x32",
        "--rounds",
        "1",
        "--table",
        str(table),
        "--json",
    )
    run(*arguments)
    first = json.loads(capsys.readouterr().out)
    assert "of the time is not where" in first["forms"][0]["finding"]["sentence"]
    assert first["forms"][1]["whole_ms"] > 0
    before = table.read_text()
    run(*arguments)
    assert json.loads(capsys.readouterr().out) == first
    assert table.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give --weights, or --config"),
        (("--config", "b9"), "there are b0, b1, b2"),
        (("--config", "b0", "--energy", "gpu"), "only `accelerator`"),
        (("--config", "b0", "--size", "12"), "HEIGHTxWIDTH"),
    ],
)
def test_bad_usage_is_said(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        run("--no-time", *arguments)
