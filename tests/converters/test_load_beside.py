"""Loading SegFormer-B2 beside a running pipeline never starves the sampler: no gap over 40 ms at 50 Hz."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from pathlib import Path
from threading import Thread

import pytest

from edge.config import Config, SamplerConfig
from tests.edge.tiny import write_bundle

LIMIT_NS = 40_000_000
TRIES = 6


def add_b2(bundle: Path) -> None:
    """A folded SegFormer-B2, 512x512, 150 classes, random weights, as variant ``big`` of the tiny bundle."""
    from converters.bench_graphs import Network, make_tflite

    file = bundle / "b2.tflite"
    make_tflite(Network("b2", 512, 512, 150), file, fold=True)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    manifest["labels"] = [f"class {i}" for i in range(150)]
    manifest["variants"].append(
        {
            "id": "big",
            "path": "big",
            "precision": "float32",
            "file": file.name,
            "signature": "full",
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "bytes": file.stat().st_size,
            "input": {"height": 512, "width": 512},
            "output": {"kind": "logits", "shape": [1, 128, 128, 150], "dtype": "float32"},
        }
    )
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def gap_while_loading(bundle: Path, journal: Path) -> tuple[int, int]:
    """Longest gap between two samples before B2 is asked for, and from then until it is resident, in ns."""
    from edge.daemon import Daemon, RunOptions

    config = Config(sampler=SamplerConfig(power_rate_hz=50))
    options = RunOptions(bundle, "synthetic:48x64@15", "simulated", journal, config, pin="full", threads=1)
    times: list[int] = []
    with Daemon(options) as daemon:
        keep = daemon.sampler._on_sample

        def note(channel: str, at_ns: int, value: float) -> None:
            if channel == "board":
                times.append(at_ns)
            if keep is not None:
                keep(channel, at_ns, value)

        daemon.sampler._on_sample = note
        running = Thread(target=daemon.run)
        running.start()
        while daemon.pipeline.counters.frames < 30:
            time.sleep(0.05)
        asked_ns = time.monotonic_ns()
        daemon.pool.ensure("big")
        deadline = time.monotonic() + 120
        while not daemon.pool.is_resident("big") and time.monotonic() < deadline:
            time.sleep(0.02)
        resident_ns = time.monotonic_ns()
        assert daemon.pool.is_resident("big"), daemon.pool.failure("big")
        time.sleep(0.2)
        daemon.stop()
        running.join()
    gaps = list(itertools.pairwise(times))
    quiet = max(b - a for a, b in gaps if times[0] + 10**9 < a and b < asked_ns)
    loading = max(b - a for a, b in gaps if b >= asked_ns and a <= resident_ns)
    return quiet, loading


@pytest.mark.slow
@pytest.mark.host
@pytest.mark.timeout(900)
def test_loading_b2_leaves_the_sampler_alone(tmp_path: Path) -> None:
    """A machine that delays threads by itself proves nothing: a try counts when its own quiet second was quiet."""
    pytest.importorskip("tensorflow", reason="needs the host extra [convert]")
    bundle = write_bundle(tmp_path / "bundle")
    add_b2(bundle)
    fair: list[int] = []
    for attempt in range(TRIES):
        quiet, loading = gap_while_loading(bundle, tmp_path / f"{attempt}.db")
        print(f"longest gap: {quiet / 1e6:.1f} ms before, {loading / 1e6:.1f} ms while B2 loads")
        if loading <= LIMIT_NS:
            return
        if quiet <= LIMIT_NS:
            fair.append(loading)
    assert not fair, f"gaps while loading, in ns: {fair}"
    pytest.skip("this machine delays a thread by more than 40 ms without us")
