from __future__ import annotations

from pathlib import Path

import pytest

from edge.bench.record import BenchError
from edge.bench.switch import bench_switch
from edge.bundle import load_bundle
from edge.bundle.load import Bundle
from tests.edge.tiny import write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(write_bundle(tmp_path / "tiny"))


def test_every_ordered_pair_is_measured_as_often(bundle: Bundle) -> None:
    rounds: list[int] = []
    result = bench_switch(bundle, rounds=3, on_round=lambda done, total: rounds.append(done))
    assert rounds == [1, 2, 3]
    assert set(result.details) == {
        f"{a} -> {b}" for a in ("full", "half", "alone") for b in ("full", "half", "alone") if a != b
    }
    for samples in result.details.values():
        assert {name: len(values) for name, values in samples.items()} == dict.fromkeys(
            ("entry_ms", "first_ms", "second_ms", "steady_entry_ms"), 3
        )
        assert min(samples["entry_ms"]) > 0
    assert [row[1] for row in result.tables[0].rows] == [18, 18, 18]
    assert len(result.tables[1].rows) == 6
    (goal,) = result.goals
    assert goal.at_most
    assert goal.bound == 1.0
    assert goal.measured == result.tables[0].rows[0][3]


def test_one_variant_has_nothing_to_switch_to(bundle: Bundle) -> None:
    manifest = bundle.manifest.model_copy(update={"variants": bundle.manifest.variants[:1]})
    with pytest.raises(BenchError, match="has one variant"):
        bench_switch(Bundle(bundle.root, manifest, None, "d"))
