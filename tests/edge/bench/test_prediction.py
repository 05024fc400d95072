"""Errors of predictions, by hand; and the whole bench on a tiny bundle for a few seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bench import prediction
from edge.bench.prediction import Moment, errors
from edge.controller.contract import FrameSeen
from tests.edge.tiny import write_bundle


def frame(variant: str, infer_ms: float, energy_mj: float | None) -> FrameSeen:
    return FrameSeen(variant, infer_ms, 100.0, energy_mj)


def test_a_prediction_is_held_against_the_second_after_it() -> None:
    moments = [
        Moment(0.0, "a", 99.0, 99.0, ()),
        Moment(60.0, "a", 11.0, 210.0, (frame("a", 1.0, 1.0),)),  # came before it was foretold
        Moment(60.5, "a", None, None, (frame("a", 9.0, 190.0), frame("b", 500.0, 5.0))),
        Moment(61.0, "a", 10.0, None, (frame("a", 11.0, None),)),
        Moment(62.5, "a", 10.0, 50.0, (frame("a", 70.0, 70.0),)),
    ]
    found = errors(moments)
    assert found.variant == "a"
    # 11 foretold, 9 and 11 came; the one at 61 s has nothing within its second, nor has the last.
    assert found.latency == pytest.approx((10.0,))
    assert found.energy == pytest.approx((100 * (210 / 190 - 1),))


def test_nothing_foretold_nothing_held_against_it() -> None:
    assert errors([]).latency == ()
    assert errors([Moment(0.0, "a", 1.0, 1.0, ())]).energy == ()


def test_the_bench_runs_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "SETTLED_S", 1.0)
    monkeypatch.setattr(prediction, "AFTER_S", 2.5)
    bundle = write_bundle(tmp_path / "tiny")
    result = prediction.bench_prediction(bundle, camera="synthetic:96x128@20")
    assert {row[:2] for row in result.tables[0].rows} >= {(name, "latency") for name in ("full", "half", "alone")}
    assert all(goal.measured is not None and goal.measured >= 0 for goal in result.goals)
