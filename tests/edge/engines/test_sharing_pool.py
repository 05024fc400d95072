"""Shared weights behind the pool: events, and what a file gets after its process died."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import load_bundle
from edge.engines.contract import EngineLost
from edge.engines.litert import open_litert
from edge.variants import FIRST_REST_S, Pool
from tests.edge.tiny import write_bundle

pytest.importorskip("ai_edge_litert.compiled_model", reason="needs ai-edge-litert 2.3 or later")
pytestmark = pytest.mark.skipif(open_litert().name != "ai-edge-litert", reason="another library is preferred here")

FRAME = np.random.default_rng(1).integers(0, 256, (16, 24, 3)).astype(np.uint8)


def _run_on(pool: Pool) -> None:
    """Many frames: the socket of a dying worker may still take one."""
    for _ in range(100):
        pool.infer("full", FRAME)


def test_a_file_whose_process_died_young_gets_the_plain_engine(tmp_path: Path) -> None:
    ahead_ns = 0
    bundle = load_bundle(write_bundle(tmp_path / "tiny"))
    with Pool(bundle, cache=tmp_path / "weights", clock=lambda: time.monotonic_ns() + ahead_ns) as pool:
        first = pool.wait("full")
        assert first.shares_weights
        shared = pool.infer("half", FRAME).output.copy()
        pid = next(process.pid for process in pool._files.values())
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EngineLost):
            _run_on(pool)
        ahead_ns = int((FIRST_REST_S + 1) * 1e9)
        second = pool.wait("full")
        assert not second.shares_weights
        np.testing.assert_array_equal(pool.infer("half", FRAME).output, shared)


def test_sharing_can_be_turned_off(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "tiny"))
    with Pool(bundle, cache=tmp_path / "weights", share_weights=False) as pool:
        assert not pool.wait("full").shares_weights
    assert not (tmp_path / "weights").exists()


def test_a_folder_that_cannot_be_used_is_an_event(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    events: list[tuple[str, str, str]] = []
    demo = load_bundle(Path(__file__).parents[3] / "edge" / "demo" / "bundle")
    name = next(v.id for v in demo.manifest.variants if v.precision == "float16")
    with Pool(demo, cache=tmp_path / "file", on_event=lambda *event: events.append(event)) as pool:
        assert pool.wait(name).shares_weights
    assert [(level, kind) for level, kind, _ in events] == [("info", "loaded"), ("warning", "weight_cache")]
    assert events[0][2].endswith(", weights shared)")
    assert events[1][2] == (
        f"float16.tflite: packed weights are not kept in {tmp_path}/file (File exists); they are made at each start"
    )
