"""The memory benchmark on the demo bundle's float file: what is counted, and how it is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bench.memory import Memory, Pair, _goals, _only, _rollup, bench_memory
from edge.bench.record import BenchError, markdown
from edge.bundle import load_bundle
from edge.demo.run import BUNDLE
from tests.edge.tiny import write_bundle


def _memory(pss_mib: float, shared: bool = True) -> Memory:
    return Memory(pss_mib, 1.0, 1.0, 1.0, 1.0, shared)


def test_the_kernel_s_fields_are_read_in_mebibytes() -> None:
    lines = ["55d0-7ffe ---p 00000000 00:00 0 [rollup]", "Rss:      2048 kB", "Pss:      1536 kB", "Pss_Anon:  512 kB"]
    assert _rollup(lines) == {"Rss": 2.0, "Pss": 1.5, "Pss_Anon": 0.5}


@pytest.mark.parametrize(("pss_mib", "met"), [(139.0, True), (141.0, False)])
def test_the_goal_leaves_first_starts_out(pss_mib: float, met: bool) -> None:
    rows = {
        "shared, all paths": [_memory(999.0), _memory(pss_mib), _memory(pss_mib)],
        "shared, full alone": [_memory(1.0), _memory(100.0), _memory(100.0)],
    }
    (goal,) = _goals("b0", 4, rows)
    assert goal.measured == pytest.approx(pss_mib / 100)
    assert goal.met is met


def test_a_library_without_a_cache_is_not_judged() -> None:
    rows = {name: [_memory(100.0, shared=False)] for name in ("shared, all paths", "shared, full alone")}
    (goal,) = _goals("b0", 4, rows)
    assert goal.measured is None
    assert "no cache of packed weights" in goal.sentence()


def test_tiny_networks_are_measured_in_every_way(tmp_path: Path) -> None:
    many = load_bundle(write_bundle(tmp_path / "tiny"))
    file = many.manifest.variant("full").file
    paths = _only(many, [v.id for v in many.manifest.variants if v.file == file])
    result = bench_memory([Pair("tiny", paths, _only(many, ["full"]))], rounds=2, starts=1)
    memory, latency = result.tables
    assert [row[0] for row in memory.rows][:2] == ["plain, full alone", "plain, all paths"]
    assert all(isinstance(row[1], float) and row[1] > 10 for row in memory.rows)
    assert [row[0] for row in latency.rows] == ["full", "half"]
    assert "# Memory of several resident float paths" in markdown(result)


def test_integers_alone_cannot_be_compared() -> None:
    demo = load_bundle(BUNDLE)
    integers = _only(demo, [v.id for v in demo.manifest.variants if v.precision == "int8"])
    with pytest.raises(BenchError, match="has no float32 or float16 variant"):
        bench_memory([Pair("int8", integers, integers)])
