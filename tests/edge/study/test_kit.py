"""Kits: written, read, timed on the real engine, continued, and refused when damaged."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge.study import Kit, LatencyTable, StudyError, WholeGraph, time_graphs, time_kit
from tests.edge.tiny import MODELS

MODEL = MODELS / "tiny_plain.tflite"


@pytest.fixture(scope="module")
def graph() -> bytes:
    return MODEL.read_bytes()


@pytest.fixture
def kit(graph: bytes) -> Kit:
    return Kit(graph, {"u": graph}, {"w": WholeGraph(graph, {"u": 1}, fitted=False)}, {"c": graph})


def test_a_kit_comes_back_from_its_zip(kit: Kit, tmp_path: Path) -> None:
    kit.write(tmp_path / "kit.zip")
    assert Kit.read(tmp_path / "kit.zip") == kit
    assert [path.name for path in tmp_path.iterdir()] == ["kit.zip"]


@pytest.mark.parametrize("damage", ["cut", "no index", "missing graph", "other format"])
def test_a_damaged_kit_is_refused(kit: Kit, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "kit.zip"
    kit.write(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    elif damage == "other format":
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr("kit.json", '{"format": "joulepath latency kit 9"}')
    else:
        with zipfile.ZipFile(file) as packed:
            kept = {name: packed.read(name) for name in packed.namelist()}
        kept.pop("kit.json" if damage == "no index" else "units/0.tflite")
        with zipfile.ZipFile(file, "w") as packed:
            for name, content in kept.items():
                packed.writestr(name, content)
    with pytest.raises(StudyError, match="kit"):
        Kit.read(file)


def test_an_interrupted_run_is_continued_and_measures_nothing_twice(kit: Kit, graph: bytes) -> None:
    kept: list[LatencyTable] = []

    def interrupt(table: LatencyTable) -> None:
        kept.append(table)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        time_kit(kit, rounds=1, save=interrupt)
    assert set(kept[0].entries) == {"u"}
    assert not kept[0].wholes
    asked: list[str] = []
    table = time_kit(kit, table=kept[0], rounds=1, progress=lambda what, done, total: asked.append(what))
    assert "units" not in asked
    assert table.entries == kept[0].entries
    assert table.wholes["w"].units == {"u": 1}
    assert not table.wholes["w"].fitted
    assert table.compared["c"].values_ms is not None
    assert len(table.compared["c"].values_ms) == 1


def test_a_table_of_another_engine_is_not_extended(kit: Kit) -> None:
    table = time_kit(Kit(kit.empty), rounds=1)
    with pytest.raises(StudyError, match="cannot be extended here: this is version"):
        time_kit(kit, table=table.model_copy(update={"version": "0.0"}), rounds=1)


def test_a_graph_that_the_engine_cannot_run_is_named() -> None:
    with pytest.raises(StudyError, match="graph 'odd'"):
        time_graphs({"odd": b"\0\0\0\0TFL3 nonsense"}, rounds=1)
    with pytest.raises(StudyError, match="one round and one thread"):
        time_graphs({}, rounds=0)


def test_rounds_are_counted_and_progress_reaches_the_end(graph: bytes) -> None:
    seen: list[tuple[int, int]] = []
    found = time_graphs({"a": graph, "b": graph}, rounds=4, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 8), (4, 8), (6, 8), (8, 8)]
    assert {timing.rounds for timing in found.values()} == {4}
    assert all(len(timing.values_ms) == 4 and timing.median_ms > 0 for timing in found.values())


def test_timing_a_kit_needs_no_tensorflow(kit: Kit, tmp_path: Path) -> None:
    kit.write(tmp_path / "kit.zip")
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'torch', 'ai_edge_quantizer', 'flatbuffers'): sys.modules[name] = None\n"
        "import typer\n"
        "from converters.latency.cli import register\n"
        "app = typer.Typer(); register(app); app()\n"
    )
    arguments = ["study", "latency", "--kit", "kit.zip", "--out", "table.json", "--rounds", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert set(LatencyTable.read(tmp_path / "table.json").entries) == {"u"}
