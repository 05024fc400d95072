"""What came of runs, side by side, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from edge.simulate.oracle import OraclePlan
from edge.simulate.run import Outcome
from edge.simulate.scenario import Scenario


def as_json(outcome: Outcome, plan: OraclePlan | None) -> dict[str, Any]:
    """The figures of one run; the trace and single errors are left out."""
    return {
        "controller": outcome.controller,
        "accuracy": outcome.accuracy,
        "of_oracle": None if plan is None or plan.accuracy <= 0 else outcome.accuracy / plan.accuracy,
        "energy_j": outcome.energy_j,
        "energy_method": "modelled",
        "frames": outcome.frames,
        "late": outcome.late,
        "dropped": outcome.dropped,
        "accuracy_of_served": outcome.accuracy_of_served,
        "longest_late_streak": outcome.longest_late_streak,
        "over_temperature_s": outcome.hot_s,
        "over_power_s": outcome.hungry_s,
        "avoidable_s": outcome.avoidable_s,
        "battery_empty_s": outcome.died_s,
        "throttled_s": outcome.throttled_s,
        "switches": outcome.switches,
    }


def side_by_side(title: str, scenario: Scenario, outcomes: Sequence[Outcome], plan: OraclePlan | None) -> Table:
    """One row for each run, and the oracle's last."""
    table = Table(title=title, title_justify="left")
    table.add_column("controller")
    for heading in ("accuracy %", "of oracle %", "J modelled", "late %", "hot s", "over W s"):
        table.add_column(heading, justify="right")
    table.add_column("battery", justify="right")
    table.add_column("switches", justify="right")
    slower = any(outcome.dropped for outcome in outcomes)
    if slower:
        table.add_column("dropped %", justify="right")
        table.add_column("accuracy % of served", justify="right")
    for outcome in outcomes:
        share = "-" if plan is None or plan.accuracy <= 0 else f"{100 * outcome.accuracy / plan.accuracy:.2f}"
        table.add_row(
            outcome.controller, f"{100 * outcome.accuracy:.2f}", share, f"{outcome.energy_j:,.0f}",
            f"{100 * outcome.late_share:.2f}", f"{outcome.hot_s:g}", f"{outcome.hungry_s:g}",
            _battery(scenario, outcome), str(outcome.switches), *(_dropped(outcome) if slower else ()),
        )  # fmt: skip
    if plan is not None:
        table.add_row(
            "oracle", f"{100 * plan.accuracy:.2f}", "100", f"{plan.energy_j:,.0f}", "-", "-", "-", "-", "-",
            style="dim",
        )  # fmt: skip
    return table


def _dropped(outcome: Outcome) -> tuple[str, str]:
    share = outcome.dropped / outcome.frames if outcome.frames else 0.0
    return f"{100 * share:.1f}", f"{100 * outcome.accuracy_of_served:.2f}"


def _battery(scenario: Scenario, outcome: Outcome) -> str:
    if scenario.physics.battery_j == float("inf"):
        return "-"
    return "lasts" if outcome.died_s is None else f"empty at {outcome.died_s / 60:.0f} min"


def console() -> Console:
    """Where tables go; a file or a pipe has no width, so cells are not broken for it."""
    found = Console()
    return found if found.is_terminal else Console(width=120)
