from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from converters import bench_graphs, bench_model, bench_worker
from converters.bench_graphs import Network, published_input, raw_input
from edge.bench.child import LineChild
from edge.bench.interleave import Rounds
from edge.bench.record import BenchError

TINY_FILE = Path(__file__).parents[1] / "edge/engines/tiny_plain.tflite"
TINY = Network("tiny", 64, 96, 7)


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.callback()(lambda: None)
    bench_model.register(made)
    return made


def plan(tmp_path: Path, engine: str, model: Path = TINY_FILE) -> dict[str, object]:
    np.save(tmp_path / "in.npy", np.full((1, 16, 24, 3), 100, np.float32))
    return {
        "engine": engine, "model": str(model), "threads": 1, "input": str(tmp_path / "in.npy"),
        "output": str(tmp_path / "out.npy"),
    }  # fmt: skip


def test_a_worker_answers_each_turn(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    with LineChild.module("converters.bench_worker") as child:
        child.tell(plan(tmp_path, "ai-edge-litert"))
        ready = child.hear(60)
        child.tell({"runs": 3})
        turn = child.hear(60)
    assert ready["version"]
    assert len(turn["times_ms"]) == 3
    assert min(turn["times_ms"]) > 0
    assert np.load(tmp_path / "out.npy").shape == (1, 4, 6, 5)


def test_a_worker_says_why_it_cannot_run_a_file(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"not a model")
    with LineChild.module("converters.bench_worker") as child:
        child.tell(plan(tmp_path, "ai-edge-litert", broken))
        assert child.hear(60)["missing"].startswith("refused: ")


def test_the_worker_runs_without_anything_of_ours(tmp_path: Path) -> None:
    # As it must in another interpreter: isolated, and no engine there is a reason, not a crash.
    with LineChild.script(Path(sys.executable), Path(bench_worker.__file__)) as child:
        child.tell(plan(tmp_path, "tflite-runtime"))
        answer = child.hear(60)
    assert "version" in answer or "tflite" in answer["missing"]


def test_both_inputs_show_the_same_picture() -> None:
    image = TINY.image()
    raw, published = raw_input(image), published_input(image)
    assert raw.shape == (1, 64, 96, 3)
    assert published.shape == (1, 3, 64, 96)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    rgb = (published[0].transpose(1, 2, 0) * std + mean) * 255
    np.testing.assert_allclose(rgb[..., ::-1], raw[0], atol=1e-3)
    assert (TINY.image(1) != image).any()


def test_files_are_kept_under_what_they_depend_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(wanted: Network, kind: str, folder: Path, out: Path) -> bench_graphs.Made:
        made.append(kind)
        if kind == "-folded.tflite":
            return bench_graphs.Made(None, "tensorflow is not installed")
        out.write_bytes(b"x")
        return bench_graphs.Made(out)

    monkeypatch.setattr(bench_graphs, "_in_a_process", make)
    first = bench_graphs.make_files(TINY, tmp_path, ["-int8.tflite", "-stock.tflite"])
    assert made == ["-stock.tflite", "-folded.tflite"]
    assert first["-int8.tflite"] == bench_graphs.Made(None, "tensorflow is not installed")
    assert first["-stock.tflite"].path == tmp_path / bench_graphs.fingerprint() / "tiny-64x96-7-stock.tflite"
    bench_graphs.make_files(TINY, tmp_path, ["-stock.tflite"])
    assert made == ["-stock.tflite", "-folded.tflite"]
    monkeypatch.setattr(bench_graphs, "fingerprint", lambda: "other")
    bench_graphs.make_files(TINY, tmp_path, ["-stock.tflite"])
    assert made == ["-stock.tflite", "-folded.tflite", "-stock.tflite"]


def test_a_missing_tool_is_named_as_the_reason() -> None:
    assert (
        bench_graphs._reason("Traceback\nModuleNotFoundError: No module named 'torch.nn'\n") == "torch is not installed"
    )
    assert bench_graphs._reason("a\nConvertError: too small\n") == "ConvertError: too small"


def test_goals_hold_for_the_size_they_were_set_for() -> None:
    values = {
        "ai-edge-litert, stock": (24.0, 25.0, 24.0),
        "ai-edge-litert, folded": (10.0, 10.0, 10.0),
        "onnxruntime, stock": (24.0, 24.0, 24.0),
    }
    goals = list(bench_model._goals(Network("b2", 512, 512, 150), Rounds(values)))
    assert [(goal.measured, goal.bound, goal.met) for goal in goals] == [(2.4, 2.3, True), (2.4, 2.5, False)]
    b0 = list(bench_model._goals(Network("b0", 512, 512, 150), Rounds(values)))
    assert [goal.met for goal in b0] == [True, None]
    assert b0[1].why_unknown == "no row ai-edge-litert, folded int8"
    assert not list(bench_model._goals(Network("b0", 256, 512, 150), Rounds(values)))


def test_a_row_that_is_absent_shows_its_reason() -> None:
    rows = bench_model.rows_of(None)
    for row in rows:
        row.missing = "not installed"
    rows[0].missing, rows[0].version, rows[0].agreement = "", "9.9", 1.0
    rows[0].busy_cores.append(1.0)
    table = bench_model._table(TINY, rows, Rounds({rows[0].name: (2.0, 4.0, 3.0)}), threads=1)
    assert table.rows[0] == ("ai-edge-litert 9.9", "stock", 3.0, 2.2, 3.8, None, "1.0000", 1.0)
    assert {row[2] for row in table.rows[1:]} == {"not installed"}
    assert len(table.rows) == 13


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "512"], "is not a size"),
        (["--networks", "b9"], "is not a network"),
        (["--prepare"], "--prepare needs --work"),
    ],
)
def test_bad_options_are_usage_errors(app: typer.Typer, arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["model", *arguments])
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_an_unknown_engine_is_refused(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["model", "--engines", "abacus", "--networks", "tiny"])
    assert isinstance(done.exception, BenchError)
    assert "no engine abacus" in str(done.exception)


@pytest.mark.host
def test_a_tiny_network_stock_and_folded(app: typer.Typer, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs the host extra: pip install 'joulepath[convert]'")
    arguments = [
        "model", "--networks", "tiny", "--size", "64x96", "--classes", "7", "--rounds", "2", "--engines",
        "ai-edge-litert", "--work", str(tmp_path / "work"), "--record", str(tmp_path),
    ]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    body = json.loads((tmp_path / "model.json").read_text())
    found = body["details"]["tiny-64x96-7"]
    assert {name: len(times) for name, times in found["times_ms"].items()} == {
        "ai-edge-litert, stock": 2, "ai-edge-litert, folded": 2, "ai-edge-litert, folded int8": 2,
    }  # fmt: skip
    rows = {row[1]: row for row in body["tables"][0]["rows"]}
    assert float(rows["folded"][6]) > 0.9999  # same argmax as the stock graph


@pytest.mark.oracle
def test_the_folded_network_is_the_published_one(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra [train]")
    pytest.importorskip("transformers", reason="needs the extra [train]")
    from converters.bench_torch import FOLDED, STOCK, open_network

    folder = tmp_path / "hf"
    bench_graphs._make_checkpoint(TINY, tmp_path, folder)
    pixels = torch.from_numpy(published_input(TINY.image()))
    with torch.inference_mode():
        stock, folded = (open_network(folder, form)(pixels) for form in (STOCK, FOLDED))
    assert stock.shape == (1, 7, 16, 24)
    assert float((stock - folded).abs().max()) <= 1e-4 * float(stock.abs().max())
