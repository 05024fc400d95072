"""`joulepath search`: what it says, and a whole search on a small network."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from converters.errors import ConvertError, WeightsError
from converters.families import segformer
from converters.paths import read_paths
from converters.search import cli, job
from converters.search.job import SearchJob, search
from edge.errors import UsageError
from tests.converters.search.streets import LABELS, write_set, write_weights

NEEDED = ("tensorflow", "safetensors", "optuna", "plotly")
needs_extras = pytest.mark.skipif(
    any(find_spec(name) is None for name in NEEDED),
    reason="needs the extras [convert,search,report]",
)
ARGUMENTS = [
    *("search", "segformer", "--weights", "w", "--size", "64x64", "--calibration", "folder:c"),
    *("--search-set", "folder:s", "--out", "out"),
]


def app() -> typer.Typer:
    made = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="markdown")
    cli.register(made)
    made.command("other")(lambda: None)
    return made


def test_help_has_examples() -> None:
    text = CliRunner().invoke(app(), ["search", "segformer", "--help"], env={"COLUMNS": "200"}).output
    for words in ("--search-set camvid:camvid/train", "--paths found/paths.json", "Ctrl-C keeps what was evaluated"):
        assert words in text


@needs_extras
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--speedup", "0.5"], "--speedup '0.5': expected numbers above 1"),
        (["--latency-ms", "fast"], "--latency-ms 'fast': expected numbers above 0"),
        (["--sampler", "grid"], "--sampler 'grid': choose nsga2 or tpe"),
        (["--size", "64"], "--size '64': expected HEIGHTxWIDTH"),
    ],
)
def test_options_that_cannot_be(more: list[str], message: str) -> None:
    error = CliRunner().invoke(app(), [*ARGUMENTS, *more]).exception
    assert isinstance(error, UsageError)
    assert str(error).startswith(message)


@needs_extras
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(job: SearchJob, say: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "search", interrupted)
    result = CliRunner().invoke(app(), ARGUMENTS)
    assert result.exit_code == 130
    assert result.output == (
        "joulepath: interrupted; what was evaluated is kept in out/ledger.jsonl: the same command goes on\n"
    )


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "optuna" else object())
    error = CliRunner().invoke(app(), ARGUMENTS).exception
    assert str(error) == "searching needs optuna; install with: pip install 'joulepath[search]'"


@pytest.mark.host
@pytest.mark.slow
@needs_extras
def test_a_whole_search_its_files_and_the_same_command_again(tmp_path: Path) -> None:
    train, val = write_set(tmp_path / "train", 16), write_set(tmp_path / "val", 5, seed=1)
    weights = write_weights(tmp_path / "weights")
    wanted = SearchJob(
        weights, (64, 96), train, train, tmp_path / "out", val, speedups=(1.05, 900.0), trials=3, workers=2,
        calibration_images=8, search_images=8, knobs=("blocks", "decoder"),
    )  # fmt: skip
    found = search(wanted)
    assert found.evaluated == len(found.seen) > 8
    assert found.finals.kept[0].path.name == "full"
    assert found.met[-1].reason is not None
    assert found.met[-1].reason.startswith("900x (")
    told = json.loads((tmp_path / "out" / "frontier.json").read_text())
    names = [path.name for path in read_paths(tmp_path / "out" / "paths.json", segformer.load(weights).space)]
    assert names == [each["name"] for each in told["paths"]]
    assert told["images"] == 5
    assert set(found.finals.kept[0].score.per_class if found.finals.kept[0].score else {}) == set(LABELS)
    assert (tmp_path / "out" / "report.html").stat().st_size > 1e6
    again = search(wanted)
    assert again.evaluated == 0
    assert again.seen == found.seen


@needs_extras
def test_weights_that_miss_a_tensor_and_sets_that_are_too_small(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    train, weights = write_set(tmp_path / "train", 9), write_weights(tmp_path / "weights")
    wanted = SearchJob(weights, (64, 96), train, train, tmp_path / "out")
    with pytest.raises(ConvertError, match=r"--search-set .*: 0 images are left"):
        search(wanted)
    file = tmp_path / "weights" / "model.safetensors"
    tensors = load_file(file)
    del tensors["decode_head.classifier.bias"]
    save_file(tensors, file)
    with pytest.raises(WeightsError, match=r"missing decode_head.classifier.bias"):
        search(wanted)
    assert not (tmp_path / "out").exists()
