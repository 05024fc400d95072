from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge import cli_bundle, inspect, profile
from edge.bundle import load_bundle
from edge.errors import JoulepathError, UsageError
from edge.profile import Cost, Profile
from tests.edge.engines.models import PLAIN
from tests.edge.tiny import write_bundle


@pytest.fixture(autouse=True)
def _short_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "BURST_S", 0.02)
    monkeypatch.setattr(profile._Gauge, "IDLE_S", 0.2)


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    cli_bundle.register(made)
    return made


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "tiny")


def run(app: typer.Typer, *arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_json_holds_what_the_manifest_says(bundle: Path) -> None:
    described = inspect.describe(load_bundle(bundle), None)
    assert described["name"] == "tiny"
    full = described["variants"][0]
    assert (full["id"], full["accuracy"], full["accuracy_dataset"]) == ("full", 0.6, "none, for tests")
    assert (full["macs"], full["latency_ms"], full["latency_runs"]) == (10_000_000, None, 0)
    assert full["bytes"] == (bundle / "tiny_two.tflite").stat().st_size


def test_unknown_accuracy_has_a_reason(bundle: Path) -> None:
    opened = load_bundle(bundle)
    variants = tuple(v.model_copy(update={"accuracy": ()}) for v in opened.manifest.variants)
    manifest = opened.manifest.model_copy(update={"variants": variants})
    described = inspect.describe(type(opened)(opened.root, manifest, None, opened.digest), None)
    assert {v["accuracy_unknown"] for v in described["variants"]} == {"not measured"}


def test_table(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = load_bundle(bundle)
    costs = {"full": Cost(12.5, 12.0, 13.0, 14.25, 30), "half": Cost(7.0, 6.5, 8.0, 9.0, 31)}
    found = Profile("tiny", opened.digest, 2, "lib 1", {}, "none", "2026-01-01T00:00:00Z", 3, None, costs)
    inspect.show(inspect.describe(opened, found))
    shown = capsys.readouterr().out
    assert "12.50" in shown
    assert "14.25" in shown
    assert "60.0 %" in shown
    assert "2 threads, lib 1" in shown
    assert "* one file with several paths" in shown
    assert "adds:" not in shown  # the manifest does not say


def test_bytes_that_each_path_adds(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = load_bundle(bundle)
    added = {"full": 7_250_000, "half": 0}
    variants = tuple(v.model_copy(update={"added_bytes": added.get(v.id)}) for v in opened.manifest.variants)
    manifest = opened.manifest.model_copy(update={"variants": variants})
    described = inspect.describe(type(opened)(opened.root, manifest, None, opened.digest), None)
    assert [v["added_bytes"] for v in described["variants"][:2]] == [7_250_000, 0]
    inspect.show(described)
    shown = capsys.readouterr().out
    assert " 7.25 " in shown
    assert " 0.00 " in shown
    assert "adds: weights in the file that no variant above it uses" in shown


def test_inspect_measures_here(app: typer.Typer, bundle: Path) -> None:
    described = json.loads(run(app, "inspect", bundle, "--json", "--seconds", "0.1"))
    assert all(v["latency_ms"] > 0 and v["latency_runs"] >= 6 for v in described["variants"])


def test_profile_is_kept_and_inspect_shows_it(
    app: typer.Typer, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shown = run(app, "profile", bundle, "--board", "simulated", "--seconds", "0.1")
    assert "modelled" in shown
    assert "kept in" in shown
    described = json.loads(run(app, "inspect", bundle, "--json", "--no-measure"))
    assert all(v["energy_mj"] > 0 and v["energy_method"] == "modelled" for v in described["variants"])


def test_wrap_command(app: typer.Typer, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\ne\n")
    out = tmp_path / "out"
    shown = run(
        app, "wrap", PLAIN, "--task", "segment", "--labels", labels, "--out", out, "--mean", "0", "--std", "1,1,1"
    )
    assert "tiny_plain: float32, 24x16 float32 RGB -> logits" in shown
    assert load_bundle(out).manifest.name == "tiny_plain"


def test_mistakes_are_said(app: typer.Typer, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown board 'moon'"):
        CliRunner().invoke(app, ["profile", str(bundle), "--board", "moon"], catch_exceptions=False)
    arguments = ["wrap", str(PLAIN), "--task", "segment", "--out", str(tmp_path / "o"), "--mean", "grey"]
    with pytest.raises(UsageError, match="--mean 'grey': give one number"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    with pytest.raises(JoulepathError, match="no such bundle directory"):
        CliRunner().invoke(app, ["inspect", str(tmp_path / "none")], catch_exceptions=False)
