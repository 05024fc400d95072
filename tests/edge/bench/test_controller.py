"""The controller's benchmark on one short scenario; figures themselves are judged when it is recorded."""

from __future__ import annotations

import pytest

from edge.bench import controller
from edge.bench.record import BenchError, markdown
from edge.controller.baselines import Tiers


def test_a_step_is_recognised_within_ten_frames() -> None:
    assert max(controller.recognition(seed) for seed in range(50)) <= 10


def test_one_scenario_makes_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy", reason="the oracle needs scipy: pip install 'joulepath[simulate]'")
    monkeypatch.setattr(controller, "tune_tiers", lambda *_, **__: Tiers())
    monkeypatch.setattr(controller, "decision_cost", lambda: (0.4, 0.5))
    result = controller.measure(1, 1, 1, ["deadline", "hopeless"], 1, "joulepath bench controller")
    assert [table.title for table in result.tables] == ["Scenarios", "Held-out scenarios"]
    row = dict(zip(result.tables[0].columns, result.tables[0].rows[0], strict=True))
    assert row["scenario"] == "deadline"
    assert isinstance(row["ours % of oracle"], float)
    assert 95 < row["ours % of oracle"] <= 101
    met = {goal.what: goal.met for goal in result.goals}
    assert met["over a hard limit while a cheaper variant existed"]
    assert met["a battery that cannot last: said after, of the horizon, worst of 1 runs"]
    assert "Held-out scenarios" in markdown(result)


def test_an_unknown_scenario_is_named() -> None:
    with pytest.raises(BenchError, match="no scenario is called nowhere"):
        controller.measure(1, 0, 0, ["nowhere"], 1, "x")
