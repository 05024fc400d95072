"""`joulepath bench controller`: the planning controller against every baseline and the hindsight oracle.

Two lists of scenarios, many seeds; the second list is held out. The baselines' thresholds are tuned on seeds that judge
nothing. Simulated throughout, but for the time that a decision takes.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Annotated

import typer

from edge.bench.machine import describe_machine
from edge.bench.output import finish, note, own_command
from edge.bench.record import Goal, Result, Table, now_utc
from edge.controller.baselines import Tiers
from edge.simulate.compare import TUNING_SEEDS, Row, compare, tune_tiers
from edge.simulate.equal import Saving, saving
from edge.simulate.held_out import HELD_OUT
from edge.simulate.scenarios import SCENARIOS

BASELINES = ("best-static", "alert", "tiers")
_RECOGNISED = 0.1  # a foretold latency within a tenth of the new one


def controller_command(
    seeds: Annotated[int, typer.Option(min=1, help="seeds of each scenario")] = 20,
    scenario: Annotated[list[str] | None, typer.Option(help="this scenario only; may be given again")] = None,
    held_seeds: Annotated[int, typer.Option(min=0, help="seeds of each held-out scenario")] = 5,
    energy_seeds: Annotated[int, typer.Option(min=0, help="seeds for the energy at equal accuracy")] = 4,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; one for each core when absent")] = None,
    record: Annotated[Path | None, typer.Option(help="write NAME.json and NAME.md into this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """The planning controller against tiers, ALERT, the best single variant and the oracle, in simulated worlds.

    Example:

      joulepath bench controller --record docs/bench
    """
    result = measure(seeds, held_seeds, energy_seeds, scenario, workers or os.cpu_count() or 1, own_command())
    finish(result, record, as_json)


def measure(
    seeds: int, held_seeds: int, energy_seeds: int, only: Sequence[str] | None, workers: int, command: str
) -> Result:
    """All rows, tables and goals. Raises BenchError for an unknown scenario, JoulepathError without scipy."""
    names = [name for name in SCENARIOS if not only or name in only]
    held = [name for name in HELD_OUT if held_seeds and (not only or name in only)]
    unknown = set(only or ()) - set(SCENARIOS) - set(HELD_OUT)
    if unknown:
        from edge.bench.record import BenchError

        raise BenchError(f"no scenario is called {', '.join(sorted(unknown))}: joulepath simulate --list shows them")
    machine, started = describe_machine(("numpy", "scipy")), now_utc()
    note("tuning the tiers' thresholds on seeds of their own")
    tiers = tune_tiers(list(SCENARIOS), workers=workers)
    jobs = [*itertools.product(names, range(seeds)), *itertools.product(held, range(held_seeds))]
    rows = _rows(jobs, tiers, workers)
    known = [row for row in rows if row.scenario in SCENARIOS]
    savings = _savings(names, range(min(seeds, energy_seeds)), tiers, workers)
    decision_ms, wall_ms = decision_cost()
    steps = [recognition(seed) for seed in range(100)]
    tables = [
        _table("Scenarios", known, names),
        _table("Held-out scenarios", rows, held),
        _energy_table(savings, names),
    ]
    return Result(
        name="controller",
        title="Controller: how near to the best that could have been done",
        command=command,
        machine=machine,
        started_utc=started,
        method=_method(seeds, held_seeds, energy_seeds, tiers),
        tables=tuple(table for table in tables if table.rows),
        goals=(*_goals(known or rows, savings), _told(rows), *_speed_goals(decision_ms, wall_ms, steps)),
        notes=_notes(known or rows, savings),
        details={"tiers": asdict(tiers), "rows": [asdict(r) for r in rows], "savings": [asdict(s) for s in savings]},
    )


def _rows(jobs: Sequence[tuple[str, int]], tiers: Tiers, workers: int) -> list[Row]:
    rows: list[Row] = []
    for number, found in enumerate(compare(jobs, tiers=tiers, workers=workers), 1):
        rows += found
        ours = found[0]
        told = f"{100 * ours.of_oracle:.2f} % of the oracle, {ours.avoidable_s:g} s over a limit"
        note(f"{number}/{len(jobs)} {ours.scenario} seed {ours.seed}: {told}")
    return rows


def _savings(names: Sequence[str], seeds: Iterable[int], tiers: Tiers, workers: int) -> list[Saving]:
    jobs = list(itertools.product(names, seeds))
    with ProcessPoolExecutor(workers) as pool:
        return [one for one in pool.map(partial(saving, tiers=tiers), jobs) if one is not None]


def _method(seeds: int, held_seeds: int, energy_seeds: int, tiers: Tiers) -> tuple[str, ...]:
    return (
        f"{seeds} seeds of each scenario (`edge/simulate/scenarios.py`), {held_seeds} of each held-out one, every "
        "power and thermal constant drawn from +-30 %; accuracy counts per frame that was due, a late frame and a dead "
        "board serve nothing.",
        "The oracle knows all that is to come and solves a linear programme over epochs of 10 s (HiGHS); it may share "
        "an epoch among variants at will, which no controller may. span: (ours - cheapest) / (oracle - cheapest).",
        "best-static is the best single variant of each run, chosen in hindsight among those that break no limit. "
        f"Tiers' thresholds were tuned on seeds {TUNING_SEEDS.start} to {TUNING_SEEDS.stop - 1}, which judge nothing: "
        f"charge {tiers.charge}, degrees below the limit {tiers.heat_below_limit_c}.",
        f"Energy at equal accuracy ({energy_seeds} seeds): ours runs with a purse of so many joules; between such runs "
        "the energy for the accuracy that tiers reached is interpolated. Energy over idle leaves out what the board "
        "draws with nothing to do. The oracle's figure is a linear programme for the fewest joules at that accuracy, "
        "within the same limits and with every frame computed.",
        "over limit: seconds in which the true temperature or power was above the stated limit while a cheaper variant "
        "existed, sum of all seeds. late: share of frames, worst seed. early: how much too early the battery was "
        "empty, where the cheapest variant would have lasted, worst seed.",
        "The held-out list (`edge/simulate/held_out.py`) has other shapes than the first and is judged by itself.",
    )


def _of(rows: Iterable[Row], scenario: str, controller: str) -> list[Row]:
    return [row for row in rows if row.scenario == scenario and row.controller == controller]


def _table(title: str, rows: Sequence[Row], names: Sequence[str]) -> Table:
    columns = (
        "scenario", "ours % of oracle", "worst seed", "span", *(f"{name} %" for name in BASELINES),
        "over limit s", "late %", "late in a row", "early %", "switches", "latency off %", "energy off %",
    )  # fmt: skip
    return Table(title, columns, tuple(_line(rows, name) for name in names))


def _line(rows: Sequence[Row], name: str) -> tuple[str | int | float | None, ...]:
    ours = _of(rows, name, "plan")
    spans = [row.of_span for row in ours if row.of_span is not None]
    latency = [row.latency_error for row in ours if row.latency_error is not None]
    energy = [row.energy_error for row in ours if row.energy_error is not None]
    return (
        name,
        100 * fmean(row.of_oracle for row in ours),
        100 * min(row.of_oracle for row in ours),
        fmean(spans) if spans else None,
        *(100 * fmean(row.of_oracle for row in _of(rows, name, baseline)) for baseline in BASELINES),
        sum(row.avoidable_s for row in ours),
        100 * max(row.late_share for row in ours),
        max(row.late_streak for row in ours),
        100 * max(row.died_early_share if row.lasts else 0.0 for row in ours),
        fmean(row.switches for row in ours),
        100 * median(latency) if latency else None,
        100 * median(energy) if energy else None,
    )


def _energy_table(savings: Sequence[Saving], names: Sequence[str]) -> Table:
    lines = []
    for name in names:
        found = [one for one in savings if one.scenario == name]
        if found:
            accuracy = 100 * fmean(one.accuracy for one in found)
            lines.append((name, len(found), accuracy, *_saved(found, _ours_j), *_saved(found, _oracle_j)))
    columns = (
        "scenario", "runs", "tiers' accuracy %", "less energy %", "less energy over idle %", "oracle less %",
        "oracle less over idle %",
    )  # fmt: skip
    return Table("Energy at the accuracy that tiers reached", columns, tuple(lines))


def _ours_j(one: Saving) -> float:
    return one.ours_j


def _oracle_j(one: Saving) -> float:
    return one.oracle_j


def _saved(savings: Sequence[Saving], needs_j: Callable[[Saving], float]) -> tuple[float, float]:
    """By how many percent less energy than tiers, in all and over idle."""
    tiers_j, others_j = sum(one.tiers_j for one in savings), sum(needs_j(one) for one in savings)
    idle_j = sum(one.idle_j for one in savings)
    return 100 * (1 - others_j / tiers_j), 100 * (1 - (others_j - idle_j) / (tiers_j - idle_j))


def _by_scenario(rows: Sequence[Row], controller: str, value: Callable[[Row], float]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.controller == controller:
            found.setdefault(row.scenario, []).append(value(row))
    return {name: fmean(values) for name, values in found.items()}


def _goals(rows: Sequence[Row], savings: Sequence[Saving]) -> list[Goal]:
    ours = [row for row in rows if row.controller == "plan"]
    of_oracle = {name: _by_scenario(rows, name, lambda row: row.of_oracle) for name in ("plan", *BASELINES)}
    mean = {name: 100 * fmean(values.values()) for name, values in of_oracle.items()}
    best = max(BASELINES, key=mean.__getitem__)
    worst = min(of_oracle["plan"], key=of_oracle["plan"].__getitem__)
    behind = {name: 100 * (of_oracle["plan"][name] / of_oracle["best-static"][name] - 1) for name in of_oracle["plan"]}
    furthest = min(behind, key=behind.__getitem__)
    late = _by_scenario(rows, "plan", lambda row: row.late_share)
    latest = max(late, key=late.__getitem__)
    spans = [row.of_span for row in ours if row.of_span is not None]
    latency = [row.latency_error for row in ours if row.latency_error is not None]
    energy = [row.energy_error for row in ours if row.energy_error is not None]
    return [
        Goal("mean accuracy of the oracle's", mean["plan"], 98.0, " %"),
        Goal(f"worst scenario ({worst})", 100 * of_oracle["plan"][worst], 95.0, " %"),
        Goal(f"ahead of the best baseline on the mean ({best})", mean["plan"] - mean[best], 0.0, " %"),
        Goal(f"against best-static, worst scenario ({furthest})", behind[furthest], -0.5, " %"),
        Goal("of the way from the cheapest to the oracle", fmean(spans), 0.9),
        Goal("over a hard limit while a cheaper variant existed", sum(r.avoidable_s for r in ours), 0.0, " s", True),
        Goal(f"late frames, worst scenario ({latest})", 100 * late[latest], 1.0, " %", True),
        Goal(
            "battery empty too early, worst run, of the horizon",
            100 * max((row.died_early_share for row in ours if row.lasts), default=0.0), 2.0, " %", True,
        ),
        Goal("latency foretold, median error", 100 * median(latency), 3.0, " %", True),
        Goal("energy foretold, median error", 100 * median(energy), 5.0, " %", True),
        Goal(
            "less energy than tiers at equal accuracy", _saved(savings, _ours_j)[0] if savings else None, 20.0, " %",
            why_unknown="no seeds for it",
        ),
    ]  # fmt: skip


def _told(rows: Sequence[Row]) -> Goal:
    """When a goal that nothing can reach is called so; of both lists."""
    hopeless = [row for row in rows if row.controller == "plan" and not row.lasts]
    told = [(row.seconds if row.told_s is None else row.told_s) / row.seconds for row in hopeless]
    return Goal(
        f"a battery that cannot last: said after, of the horizon, worst of {len(told)} runs",
        100 * max(told) if told else None, 10.0, " %", True, why_unknown="every run was feasible",
    )  # fmt: skip


def _speed_goals(decision_ms: float, wall_ms: float, steps: Sequence[int]) -> list[Goal]:
    return [
        Goal("a decision, processor time, 99th percentile", decision_ms, 1.0, " ms", True),
        Goal("a decision, wall time, 99th percentile", wall_ms, 1.0, " ms", True),
        Goal("frames to recognise a contention step of 2x, worst of 100", max(steps), 10, "", True),
    ]


def _notes(rows: Sequence[Row], savings: Sequence[Saving]) -> tuple[str, ...]:
    ours = [row for row in rows if row.controller == "plan"]
    alarms = sum(row.told_s is not None for row in ours if row.lasts)
    load = os.getloadavg()[0]
    notes = [
        f"Called not feasible although the cheapest variant lasts: {alarms} of {len(ours)} runs.",
        f"Longest row of late frames: {max(row.late_streak for row in ours)}.",
        f"The load average at the end was {load:.1f}: on a machine that does other things too, wall times of decisions "
        "hold what others took.",
    ]
    if savings:
        total, over = _saved(savings, _ours_j)
        most, most_over = _saved(savings, _oracle_j)
        notes.append(
            f"At equal accuracy ours spends {total:.1f} % less than tiers, {over:.1f} % less over idle. Who knew all "
            f"that was to come would have spent {most:.1f} % less, {most_over:.1f} % over idle: no choice of variant "
            "saves more. A frame source does not wait, so all boards idle for the same hour, and idle is most of the "
            "bill."
        )
    return tuple(notes)


def decision_cost(count: int = 3000) -> tuple[float, float]:
    """99th percentiles of processor and wall time of a decision, in a world with every goal; milliseconds."""
    from edge.controller.plan import PlanningController
    from edge.simulate.draw import draw
    from edge.simulate.run import Run

    class Timed(PlanningController):
        def decide(self, state, seen):  # type: ignore[no-untyped-def]
            before, before_cpu = time.perf_counter(), time.thread_time()
            answer = super().decide(state, seen)
            cpu.append(time.thread_time() - before_cpu)
            wall.append(time.perf_counter() - before)
            return answer

    cpu: list[float] = []
    wall: list[float] = []
    scenario = draw("everything", 0)
    run = Run(scenario, Timed(scenario.goals), 0, "plan")
    run.go()
    return tuple(1e3 * sorted(times[:count])[int(0.99 * len(times[:count]))] for times in (cpu, wall))  # type: ignore[return-value]


def recognition(seed: int, noise: float = 0.03) -> int:
    """Frames after a step to twice the latency until what is foretold is within a tenth of it, noise of 3 %."""
    import math
    import random

    from edge.controller.learn.latency import LatencyModel

    rng = random.Random(seed)
    model = LatencyModel({"v": 100.0})
    for _ in range(200):
        model = model.seen("v", 100.0 * math.exp(rng.gauss(0, noise)))
    for frame in range(1, 200):
        model = model.seen("v", 200.0 * math.exp(rng.gauss(0, noise)))
        expected = model.expected_ms("v")
        if expected is not None and abs(expected / 200.0 - 1) <= _RECOGNISED:
            return frame
    return 200
