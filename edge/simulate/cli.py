"""`joulepath simulate`: a controller on a simulated board, hours in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.simulate.kit import Kit

_HELP = """Run a controller through a scenario on a simulated board; everything is modelled, nothing measured.

Examples:

  joulepath simulate --list

  joulepath simulate hot-box --controller plan --controller tiers --seed 3 --oracle --plot hot-box.html
"""


def register(app: typer.Typer) -> None:
    """Add the command to the one command line."""
    app.command("simulate", help=_HELP)(simulate)


def simulate(
    scenario: Annotated[str | None, typer.Argument(help="One of --list.")] = None,
    controller: Annotated[
        list[str] | None, typer.Option("--controller", "-c", help="plan, ladder, tiers, alert or static:VARIANT.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the board's constants and all noise.")] = 0,
    oracle: Annotated[bool, typer.Option("--oracle", help="The best in hindsight beside them (needs scipy).")] = False,
    bundle: Annotated[Path | None, typer.Option(help="Accuracies and latencies of this bundle's variants.")] = None,
    board: Annotated[str | None, typer.Option(help="Power of a real board, from a public trace.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a page with plots (needs plotly).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="The scenarios and boards.")] = False,
) -> None:
    if listed:
        _list()
        return
    if scenario is None:
        raise UsageError("name a scenario; joulepath simulate --list shows them")
    from edge.simulate.draw import draw
    from edge.simulate.held_out import HELD_OUT
    from edge.simulate.oracle import solve
    from edge.simulate.players import player
    from edge.simulate.plot import write_plot
    from edge.simulate.run import run
    from edge.simulate.scenarios import SCENARIOS
    from edge.simulate.slower import SLOWER
    from edge.simulate.table import as_json as figures
    from edge.simulate.table import console, side_by_side

    if scenario not in {**SCENARIOS, **SLOWER, **HELD_OUT}:
        raise UsageError(f"no scenario is called {scenario!r}; joulepath simulate --list shows them")
    drawn = draw(scenario, seed, _kit(board, bundle))
    names = list(dict.fromkeys(controller or ["plan"]))
    outcomes = [run(drawn, player(name, drawn), seed, name, keep_trace=plot is not None) for name in names]
    plan = solve(drawn) if oracle else None
    if as_json:
        body = {"scenario": scenario, "seed": seed, "seconds": drawn.seconds, "oracle": plan and plan.accuracy}
        typer.echo(json.dumps(body | {"runs": [figures(outcome, plan) for outcome in outcomes]}, indent=2))
    else:
        title = f"{scenario}, seed {seed}: {drawn.about}; {drawn.seconds / 60:.0f} min at {drawn.fps:g} fps, modelled"
        console().print(side_by_side(title, drawn, outcomes, plan))
    if plot is not None:
        traces = {one.controller: one.trace for one in outcomes}
        size = write_plot(plot, f"{scenario}, seed {seed}", drawn, traces, plan)
        typer.echo(f"{plot}: {size / 1e6:.1f} MB", err=True)


def _kit(board: str | None, bundle: Path | None) -> Kit:
    from edge.bundle.load import load_bundle
    from edge.profile import load_profile
    from edge.simulate.kit import kit_of

    if bundle is None:
        return kit_of(board)
    loaded = load_bundle(bundle)
    profile = load_profile(loaded)
    return kit_of(board, loaded, None if profile is None else profile.latencies_ms)


def _list() -> None:
    from edge.simulate.boards import BOARDS
    from edge.simulate.draw import draw
    from edge.simulate.held_out import HELD_OUT
    from edge.simulate.scenarios import SCENARIOS
    from edge.simulate.slower import SLOWER

    for title, names in (("Scenarios", SCENARIOS), ("Fewer frames allowed", SLOWER), ("Held out", HELD_OUT)):
        typer.echo(f"{title}:")
        for name in names:
            typer.echo(f"  {name:<16} {draw(name, 0).about}")
    typer.echo("Boards:")
    for name, power in BOARDS.items():
        typer.echo(
            f"  {name:<16} idle {power.idle_w:.2f} W, busy {power.busy_w:.2f} W at the wall, "
            f"{power.energy_mj:,.0f} mJ an inference of its trace's ResNet-50"
        )
