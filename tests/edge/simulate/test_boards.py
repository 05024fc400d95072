"""Power constants against the traces they were read off, and what is made of a bundle."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.bundle.load import load_bundle
from edge.demo.run import BUNDLE
from edge.errors import JoulepathError
from edge.simulate.boards import BOARDS, fit
from edge.simulate.kit import Kit, kit_of

TRACES = Path(os.environ.get("JOULEPATH_DATA", "../shared/data")) / "traces"


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_constants_are_those_of_the_trace(name: str) -> None:
    folder = TRACES / BOARDS[name].trace
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: set JOULEPATH_DATA")
    assert fit(folder) == BOARDS[name]


def test_a_summary_without_throughput_says_so(tmp_path: Path) -> None:
    (tmp_path / "spl.txt").write_text("Time,03-03-2021 00:53:31.184,Watts,3.0,Volts,1\n" * 1)
    (tmp_path / "mlperf_log_summary.txt").write_text("Result is : VALID\n")
    with pytest.raises(JoulepathError, match="QPS w/o loadgen overhead"):
        fit(tmp_path)


def test_a_board_changes_power_and_its_heat_sink_with_it() -> None:
    usual, hungry = kit_of(), kit_of("xavier-nx")
    assert usual == Kit()
    assert hungry.idle_w == 4.83
    assert hungry.dynamic_w == pytest.approx(7.22)
    settled = [kit.resistance_k_per_w * (kit.idle_w + kit.dynamic_w) for kit in (usual, hungry)]
    assert settled[0] == pytest.approx(settled[1])
    with pytest.raises(JoulepathError, match="known are rpi4-fan-off"):
        kit_of("abacus")


def test_a_bundle_gives_accuracies_and_how_its_variants_compare() -> None:
    bundle = load_bundle(BUNDLE)
    kit = kit_of(bundle=bundle, latencies_ms={v.id: 10.0 + n for n, v in enumerate(bundle.manifest.variants)})
    stated = {v.id: v.accuracy[0].value for v in bundle.manifest.variants}
    assert max(ms for _, _, ms in kit.profile) == 170.0
    assert all(stated[name] == accuracy for name, accuracy, _ in kit.profile)
    accuracies = [accuracy for _, accuracy, _ in kit.profile]
    assert accuracies == sorted(accuracies, reverse=True)
    by_macs = kit_of(bundle=bundle)
    assert len(by_macs.profile) >= 2
    with pytest.raises(JoulepathError, match="fewer than two variants"):
        kit_of(bundle=bundle, latencies_ms={bundle.manifest.variants[0].id: 5.0})
