"""What other controllers would have done on a recorded run, beside what was done and the best in hindsight."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from edge.controller.goals import Goals
from edge.errors import JoulepathError, UsageError
from edge.journal.reader import JournalReader
from edge.simulate.oracle import OraclePlan, solve
from edge.simulate.players import player
from edge.simulate.plot import write_plot
from edge.simulate.recorded import AsRecorded, Recorded, recorded
from edge.simulate.run import Outcome, run
from edge.simulate.table import as_json, console, side_by_side


def replay(
    journal: Path, controllers: Sequence[str], stated: Sequence[str], run_id: int | None, bundle: Path | None
) -> tuple[Recorded, list[Outcome], OraclePlan | None]:
    """The recorded world, the run as recorded first and each controller's after it, and the oracle where scipy is.

    Raises JoulepathError, JournalError and UsageError with what to do about them.
    """
    goals = with_goals(recorded_goals(journal, run_id), stated)
    world = recorded(journal, goals, _accuracies(bundle), run_id)
    scenario = world.scenario
    played = {"as recorded": AsRecorded(world.decisions), **{name: player(name, scenario) for name in controllers}}
    outcomes = [run(scenario, made, 0, name, keep_trace=True) for name, made in played.items()]
    try:
        return world, outcomes, solve(scenario)
    except JoulepathError:
        return world, outcomes, None


def show(
    world: Recorded, outcomes: Sequence[Outcome], plan: OraclePlan | None, plot: Path | None, in_json: bool
) -> None:
    """Print the table and what is a model in it."""
    scenario = world.scenario
    if in_json:
        body: dict[str, Any] = {"run": scenario.name, "oracle": plan and plan.accuracy, "notes": world.notes}
        print(json.dumps(body | {"runs": [as_json(outcome, plan) for outcome in outcomes]}, indent=2))
    else:
        out = console()
        title = (
            f"{scenario.name} on {scenario.about}, {scenario.seconds / 60:.1f} min at {scenario.fps:.2g} fps: modelled"
        )
        out.print(side_by_side(title, scenario, outcomes, plan))
        for line in (*_faith(world, outcomes[0]), *world.notes):
            out.print(line, style="dim", highlight=False)
        if plan is None:
            out.print("no oracle: it needs scipy (pip install 'joulepath[simulate]')", style="dim")
    if plot is not None:
        traces = {outcome.controller: outcome.trace for outcome in outcomes}
        write_plot(plot, scenario.name, scenario, traces, plan)


def _faith(world: Recorded, again: Outcome) -> list[str]:
    """How far the model of this run is from the run."""
    lines = []
    if world.energy_j:
        off = 100 * (again.energy_j / world.energy_j - 1)
        lines.append(
            f"the model under the recorded decisions draws {off:+.1f} % of the {world.energy_j:,.0f} J recorded"
        )
    if world.hottest_c is not None:
        hottest_c = max(float(row["chip_c"]) for row in again.trace)
        lines.append(f"and is {hottest_c:.1f} °C at the hottest, {world.hottest_c:.1f} °C recorded")
    return lines


def recorded_goals(journal: Path, run_id: int | None) -> Goals:
    """What was asked for when the run was recorded; the defaults where its configuration does not say."""
    from pydantic import ValidationError

    from edge.config import ControllerConfig

    with JournalReader(journal) as reader:
        written = json.loads(reader.run(run_id).config or "{}")
    known = {
        name: value for name, value in written.get("controller", {}).items() if name in ControllerConfig.model_fields
    }
    try:
        return ControllerConfig(**known).goals()
    except ValidationError:
        return Goals()


def with_goals(goals: Goals, stated: Sequence[str]) -> Goals:
    """`goals` with ``name=value`` over them; the value ``none`` takes a goal away. Raises UsageError."""
    names = {field.name for field in fields(Goals)} - {"priorities", "last_until_s"}
    for one in stated:
        name, equals, value = one.partition("=")
        if not equals or name not in names:
            raise UsageError(f"--goal takes name=value, where name is one of {', '.join(sorted(names))}; not {one!r}")
        try:
            goals = replace(goals, **{name: None if value == "none" else float(value)})  # type: ignore[arg-type]
        except ValueError:
            raise UsageError(f"--goal {name}: {value!r} is no number") from None
    return goals


def _accuracies(bundle: Path | None) -> dict[str, float]:
    if bundle is None:
        return {}
    from edge.bundle.load import load_bundle

    variants = load_bundle(bundle).manifest.variants
    return {variant.id: variant.accuracy[0].value for variant in variants if variant.accuracy}
