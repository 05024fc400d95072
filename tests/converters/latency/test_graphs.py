"""Units as files of the engine."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from converters import flatbuffer
from converters.families import segformer
from converters.latency import KeyOps, LatencyModel, build_kit, measure_table, time_graphs
from converters.latency.findings import comparison_graphs
from converters.latency.graphs import empty_graph, patterned, unit_graph
from edge.study.findings import FINDINGS

pytest.importorskip("tensorflow", reason="building graphs needs the extra [convert]")
SIZE = (64, 96)


def operations(content: bytes) -> dict[str, int]:
    (found,) = flatbuffer.operations(flatbuffer.read_model(content)).values()
    return dict(found)


@pytest.fixture(scope="module")
def networks() -> dict[str, tuple[segformer.Network, tuple[int, int]]]:
    config = segformer.SegformerConfig(depths=(1, 1, 1, 1), hidden_sizes=(8, 16, 40, 64), decoder_width=32)
    weights = segformer.random_weights(config, 0)
    return {
        str(width): (segformer.folded(segformer.network(weights, weights.space.first("x", (1, 1, 1, 1), width))), SIZE)
        for width in (32, 16)
    }


def test_a_feed_forward_layer_is_the_operations_that_a_network_has(
    networks: dict[str, tuple[segformer.Network, tuple[int, int]]],
) -> None:
    build = segformer.builders({"x": networks["32"][0]}, SIZE)["x"]
    unit = next(unit for unit in KeyOps.of(build).units() if unit.kind == "feed-forward")
    assert operations(unit_graph(unit)) == {
        "MUL": 2, "MEAN": 1, "RSQRT": 1, "ADD": 2, "FULLY_CONNECTED": 2, "DEPTHWISE_CONV_2D": 1, "GELU": 1,
    }  # fmt: skip


def test_the_empty_graph_does_one_thing() -> None:
    assert operations(empty_graph()) == {"RELU": 1}


def test_weights_for_timing_are_of_a_weight_s_size_differ_by_row_and_pack_into_nothing() -> None:
    weight = patterned((256, 1024))
    assert weight.std() == pytest.approx(1 / 16, rel=0.1)
    assert len(np.unique(weight, axis=0)) == 256
    assert len(zlib.compress(weight.tobytes(), 1)) < weight.nbytes / 20


def test_a_table_is_measured_and_predicts_what_it_holds(
    networks: dict[str, tuple[segformer.Network, tuple[int, int]]], tmp_path: Path
) -> None:
    file = tmp_path / "table.json"
    one = {"32": networks["32"]}
    table = measure_table(one, wholes=one, file=file, rounds=2)
    model = LatencyModel(table)
    # One network was fitted to: its own prediction is its measurement.
    assert model.predict_ms(*networks["32"]) == pytest.approx(table.wholes["32"].timing.median_ms)
    assert len(model.missing(*networks["16"])) == 2
    kit = build_kit(networks, table=table)
    assert {unit.key for unit in model.missing(*networks["16"])} == set(kit.units)
    grown = measure_table(networks, file=file, rounds=2)
    assert LatencyModel(grown).missing(*networks["16"]) == ()
    assert {key: grown.entries[key] for key in table.entries} == table.entries


@pytest.mark.slow
def test_every_graph_of_the_findings_is_built_and_runs() -> None:
    graphs = comparison_graphs()
    assert {name for finding in FINDINGS for pair in finding.pairs for name in (pair.slow, pair.fast)} <= set(graphs)
    assert operations(graphs["dims: linear maps, channels first and back in each block"])["TRANSPOSE"] == 16
    assert "GELU" in operations(graphs["act: tanh GELU"])
    assert set(time_graphs(graphs, rounds=1)) == set(graphs)


def test_a_board_without_tensorflow_is_told_of_kits(tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'tensorflow' else real(name, *a)\n"
        "import edge.cli\n"
        "from edge.errors import UsageError\n"
        "import converters.latency.cli as cli\n"
        "cli.find_spec = importlib.util.find_spec\n"
        "import typer\n"
        "app = typer.Typer(); cli.register(app)\n"
        "try:\n app(['study', 'latency'], standalone_mode=False)\n"
        "except UsageError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    assert "joulepath study kit" in done.stdout, done.stderr
