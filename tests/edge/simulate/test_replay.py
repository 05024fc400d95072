"""A journal's run as a world: what was recorded comes out again, and others can be tried in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boards.board import Quantity
from boards.sensor import Method
from edge.config import ControllerConfig
from edge.controller.goals import Goals
from edge.errors import JoulepathError, UsageError
from edge.journal import FrameRow, Journal
from edge.journal.cli import journal_app
from edge.simulate.recorded import recorded
from edge.simulate.replay_command import recorded_goals, replay, with_goals

SECOND = 1_000_000_000
IDLE_W, DYNAMIC_W = 3.2, {"full": 2.6, "small": 1.9}
LATENCY_MS = {"full": 150.0, "small": 50.0}
SECONDS = 240


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.now_ns = 5_000 * SECOND

    def __call__(self) -> int:
        return self.now_ns


def variant_at(second: int) -> str:
    return "small" if (second // 40) % 2 else "full"


def slow_at(second: int) -> float:
    return 1.2 if 100 <= second < 120 else 1.0


def record(path: Path, *, scored: bool = True, heat: bool = True) -> float:
    """Four minutes at 5 frames a second, two variants in turn, a burst of contention; returns its joules."""
    clock, joules, case_c, left_j = Clock(), 0.0, 40.0, 3000.0
    journal = Journal.open(path, monotonic_ns=clock, utc_ns=lambda: 1_800_000_000 * SECOND + clock.now_ns)
    for name, quantity in (
        ("board", Quantity.POWER),
        ("battery", Quantity.RATIO),
        ("battery_energy_j", Quantity.ENERGY),
    ):
        journal.register_channel(name, quantity, Method.MODELLED)
    if heat:
        journal.register_channel("cpu-thermal", Quantity.TEMPERATURE, Method.MODELLED)
    numbers = {name: journal.register_variant(name, name, "int8", "litert") for name in LATENCY_MS}
    config = {"controller": ControllerConfig(kind="plan", deadline_ms=400.0, max_temperature_c=70.0).model_dump()}
    journal.start_run("simulated", "made@1", json.dumps(config, default=str), ("board",))
    for second in range(SECONDS):
        name = variant_at(second)
        infer_ms = LATENCY_MS[name] * slow_at(second)
        watts = IDLE_W + DYNAMIC_W[name] * 5 * infer_ms / 1000
        joules += watts
        left_j -= watts
        case_c += (watts - (case_c - 25.0) / 8.0) / 60.0
        for frame in range(5):
            start_ns = clock.now_ns + frame * SECOND // 5
            energy_uj = round(1e6 * (IDLE_W * 0.2 + DYNAMIC_W[name] * infer_ms / 1000))
            journal.append_frame(
                FrameRow(
                    second * 5 + frame, start_ns, start_ns + SECOND // 5, numbers[name], 0, 1000, 1000,
                    round(infer_ms * 1000), 1000, energy_uj, energy_uj // 2, 1000, 10, Method.MODELLED,
                    {"full": 600_000, "small": 450_000}[name] if scored else None,
                )
            )  # fmt: skip
        journal.sample("board", clock.now_ns, watts)
        journal.sample("battery", clock.now_ns, left_j / 4000.0)
        journal.sample("battery_energy_j", clock.now_ns, left_j)
        if heat:
            journal.sample("cpu-thermal", clock.now_ns, case_c + 1.2 * watts)
        clock.now_ns += SECOND
    journal.end_run()
    journal.close()
    return joules


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("journal") / "run.db"
    record(path)
    return path


def test_the_recorded_run_comes_out_of_its_own_model(journal: Path, tmp_path: Path) -> None:
    joules = record(tmp_path / "again.db")
    world, outcomes, _ = replay(tmp_path / "again.db", [], [], None, None)
    again = outcomes[0]
    assert world.energy_j == pytest.approx(joules, rel=0.01)
    assert again.energy_j == pytest.approx(joules, rel=0.02)
    assert again.accuracy == pytest.approx((0.6 + 0.45) / 2, abs=0.01)
    assert again.switches == 5
    hottest_c = max(float(row["chip_c"]) for row in again.trace)
    assert hottest_c == pytest.approx(world.hottest_c or 0.0, abs=1.5)


def test_latencies_slow_down_and_pace_are_read_off(journal: Path) -> None:
    world = recorded(journal, Goals(), {})
    physics = world.scenario.physics
    assert {v.id: v.latency_ms for v in physics.variants} == pytest.approx(LATENCY_MS, rel=0.01)
    assert physics.contention(110.0) == pytest.approx(1.2, rel=0.01)
    assert physics.contention(50.0) == pytest.approx(1.0, rel=0.01)
    assert world.scenario.fps == pytest.approx(5.0, rel=0.01)
    full = physics.variant("full")
    assert physics.power_w(full, 0.75, 0.0, False) == pytest.approx(IDLE_W + DYNAMIC_W["full"] * 0.75, rel=0.02)
    assert physics.full_j == pytest.approx(4000.0, rel=0.01)


def test_another_controller_may_do_better_or_worse(journal: Path) -> None:
    _, outcomes, plan = replay(journal, ["static:full", "static:small"], [], None, None)
    accuracies = {outcome.controller: outcome.accuracy for outcome in outcomes}
    assert accuracies["static:small"] == pytest.approx(0.45, abs=0.005)
    assert accuracies["static:full"] == pytest.approx(0.60, abs=0.005)
    if plan is not None:
        assert plan.accuracy >= accuracies["static:full"] - 0.005


def test_goals_come_from_the_run_and_can_be_overridden(journal: Path) -> None:
    goals = recorded_goals(journal, None)
    assert (goals.deadline_ms, goals.max_temperature_c) == (400.0, 70.0)
    changed = with_goals(goals, ["battery_hours=2", "deadline_ms=none"])
    assert (changed.battery_hours, changed.deadline_ms, changed.max_temperature_c) == (2.0, None, 70.0)
    for wrong in ("battery_hours", "colour=3", "battery_hours=soon"):
        with pytest.raises(UsageError, match="--goal"):
            with_goals(goals, [wrong])


def test_the_command_prints_a_table_and_what_is_a_model(journal: Path) -> None:
    result = CliRunner().invoke(journal_app, ["replay", str(journal), "-c", "plan"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "as recorded" in result.output
    assert "the model under the recorded decisions draws" in result.output
    as_json = CliRunner().invoke(journal_app, ["replay", str(journal), "--json"], catch_exceptions=False)
    assert [run["controller"] for run in json.loads(as_json.output)["runs"]] == ["as recorded", "plan"]


def test_without_temperature_no_heat_is_judged(tmp_path: Path) -> None:
    record(tmp_path / "cool.db", heat=False)
    world = recorded(tmp_path / "cool.db", Goals(max_temperature_c=10.0), {})
    assert world.scenario.goals.max_temperature_c is None
    assert any("no temperature was recorded" in note for note in world.notes)


def test_unknown_accuracies_are_asked_for(tmp_path: Path) -> None:
    record(tmp_path / "blind.db", scored=False)
    with pytest.raises(JoulepathError, match="--bundle"):
        recorded(tmp_path / "blind.db", Goals(), {})
    assert recorded(tmp_path / "blind.db", Goals(), {"full": 0.6, "small": 0.4}).scenario.fps == pytest.approx(
        5, rel=0.01
    )
