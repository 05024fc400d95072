"""`joulepath train` from the command line: a step on a made set, going on from what it wrote, and wrong use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

pytest.importorskip("torch", reason="needs PyTorch (extra [train])")
pytest.importorskip("transformers", reason="needs transformers (extra [train])")

import edge.cli
from converters.train.cli import register
from tests.converters.datasets.making import write_image, write_mask

pytestmark = pytest.mark.oracle
Run = Callable[..., tuple[int, str]]
PATHS = {"paths": [{"name": "small", "depths": [1, 1, 1, 1], "decoder_width": 64, "ffn": [0.5, 0.5, 0.5, 0.5]}]}


@pytest.fixture
def joulepath(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command line; gives its exit code and what it said on stderr."""
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    monkeypatch.setattr(edge.cli, "build_app", lambda: app)

    def run(*arguments: str) -> tuple[int, str]:
        code = edge.cli.run(["train", *arguments])
        return code, capsys.readouterr().err

    return run


def made(root: Path, labels: str = "left\nright\n") -> str:
    root.mkdir()
    (root / "labels.txt").write_text(labels)
    for number in range(2):
        write_image(root / "images" / f"{number}.png", number, (48, 64))
        write_mask(root / "masks" / f"{number}.png", [0, 1], size=(48, 64))
    return f"folder:{root}"


def test_a_fresh_network_is_trained_and_given_another_classifier(joulepath: Run, tmp_path: Path) -> None:
    data, first, second = made(tmp_path / "data"), tmp_path / "first", tmp_path / "second"
    (tmp_path / "paths.json").write_text(json.dumps(PATHS))
    small = ("--crop", "32x32", "--batch", "2", "--steps", "1", "--device", "cpu", "--threads", "1")
    code, said = joulepath(
        "--out", str(first), "--data", data, "--validation", data, "--validation-stride", "1", "--paths", "1",
        "--path-file", str(tmp_path / "paths.json"), *small,
    )  # fmt: skip
    assert (code, said) == (0, "")
    record = json.loads((first / "training.json").read_text())
    assert [entry["path"] for entry in record["validation"]] == ["full", "small"]
    assert record["settings"]["paths"][0]["ffn"] == [0.5, 0.5, 0.5, 0.5]

    others = made(tmp_path / "others", "sky\nroad\ntree\n")
    code, said = joulepath("--out", str(second), "--data", others, "--weights", str(first), *small)
    assert (code, "--new-classifier starts a new classifier" in said) == (2, True)
    code, said = joulepath("--out", str(second), "--data", others, "--weights", str(first), "--new-classifier", *small)
    assert (code, said) == (0, "")
    config = json.loads((second / "config.json").read_text())
    assert config["id2label"] == {"0": "sky", "1": "road", "2": "tree"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--weights", "nowhere/at/all"), 1, "nowhere/at/all"),
        (("--device", "abacus"), 2, "expected auto, cpu, cuda or cuda:NUMBER"),
        (("--model", "b7"), 2, "choose from b0"),
        (("--crop", "33x64"), 2, "multiples of 32"),
        (("--scale", "2-1"), 2, "LOW must be above 0"),
        (("--order-channels", "8"), 2, "--order-channels orders what --weights has learnt"),
        (("--path-file", "nowhere.json"), 1, "cannot read the paths"),
        (("--validation", "OTHER"), 2, "has other classes than"),
        (("--data", "coco:DATA"), 2, "found 0 files instances"),
        (("--data", "folder:nowhere"), 2, "no such directory"),
        (("--synthetic-batch", "1"), 2, "needs data with the 11 CamVid classes"),
    ],
)
def test_wrong_use_is_said(joulepath: Run, arguments: tuple[str, str], code: int, message: str, tmp_path: Path) -> None:
    data = made(tmp_path / "data")
    given = {"--out": str(tmp_path / "out"), "--data": data}
    if arguments[1] == "OTHER":
        arguments = (arguments[0], made(tmp_path / "others", "a\nb\n"))
    option, value = arguments
    given[option] = value.replace("DATA", str(tmp_path / "data"))
    found, said = joulepath(*(part for pair in given.items() for part in pair))
    assert (found, message in said) == (code, True), said
    assert not (tmp_path / "out").exists()
