"""Controllers against each other and against the oracle, over scenarios and seeds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from edge.controller.baselines import AlertController, StaticController, TierController, Tiers
from edge.controller.contract import Controller
from edge.controller.ladder import LadderController, Limits
from edge.controller.plan import PlanningController
from edge.simulate.draw import draw
from edge.simulate.oracle import OraclePlan, solve
from edge.simulate.run import Outcome, run
from edge.simulate.scenario import Scenario

TUNING_SEEDS = range(1000, 1002)  # the baselines' thresholds are tuned on these and judged on others
JUDGED = ("plan", "alert", "tiers")


@dataclass(frozen=True)
class Row:
    """One controller in one scenario of one seed, beside what the oracle reached."""

    scenario: str
    seed: int
    controller: str
    accuracy: float
    oracle: float
    cheapest: float
    feasible: bool
    late_share: float
    late_streak: int
    hot_s: float
    hungry_s: float
    avoidable_s: float
    died_early_share: float  # of the horizon
    energy_j: float
    oracle_energy_j: float
    switches: int
    decision_p99_ms: float
    latency_error: float | None
    energy_error: float | None
    lasts: bool = True  # whether the cheapest variant alone outlasts the horizon
    told_s: float | None = None  # when the battery goal was first called not feasible
    seconds: float = 0.0

    @property
    def of_oracle(self) -> float:
        return self.accuracy / self.oracle if self.oracle > 0 else 1.0

    @property
    def of_span(self) -> float | None:
        """How far up from the cheapest variant towards the oracle; None where the two are close."""
        span = self.oracle - self.cheapest
        return (self.accuracy - self.cheapest) / span if span > 0.005 else None

    @property
    def broken(self) -> bool:
        """Whether a hard limit was broken although a cheaper variant existed, or the battery ended early."""
        return self.avoidable_s > 0 or self.died_early_share > 0.02 or self.late_share > 0.01


def controllers(tiers: Tiers | None = None) -> dict[str, Callable[[Scenario], Controller]]:
    """Every controller by name, made for a scenario's goals."""
    return {
        "plan": lambda scenario: PlanningController(scenario.goals),
        "ladder": lambda scenario: LadderController(limits_of(scenario)),
        "tiers": lambda scenario: TierController(scenario.goals, tiers),
        "alert": lambda scenario: AlertController(scenario.goals),
    }


def limits_of(scenario: Scenario) -> Limits:
    """The ladder's limits for the same goals; of a battery's horizon it knows nothing."""
    goals = scenario.goals
    return Limits(
        deadline_ms=goals.longest_ms,
        max_temperature_c=None if goals.max_temperature_c is None else goals.max_temperature_c - 2.0,
        emergency_temperature_c=goals.emergency_temperature_c,
        max_power_w=goals.max_power_w,
        battery_critical=0.05,
        dwell_s=goals.dwell_s,
    )


def compare_one(job: tuple[str, int], tiers: Tiers | None = None) -> list[Row]:
    """All controllers, best static and oracle in one scenario of one seed."""
    name, seed = job
    scenario = draw(name, seed)
    plan = solve(scenario)
    statics = [run(scenario, StaticController(v.id), seed, v.id) for v in scenario.physics.variants]
    judged = partial(_row, scenario=scenario, plan=plan, cheapest=statics[-1])
    rows = [judged(run(scenario, controllers(tiers)[name](scenario), seed, name)) for name in JUDGED]
    kept = [judged(outcome) for outcome in statics]
    best = max(kept, key=lambda row: (not row.broken, row.accuracy if not row.broken else -_harm(row)))
    return [*rows, replace(best, controller="best-static")]


def _harm(row: Row) -> float:
    return row.hot_s + row.hungry_s + 1e4 * row.died_early_share + 1e4 * row.late_share


def _row(outcome: Outcome, scenario: Scenario, plan: OraclePlan, cheapest: Outcome) -> Row:
    died = outcome.died_s
    return Row(
        outcome.scenario,
        outcome.seed,
        outcome.controller,
        outcome.accuracy,
        plan.accuracy,
        cheapest.accuracy,
        plan.feasible,
        outcome.late_share,
        outcome.longest_late_streak,
        outcome.hot_s,
        outcome.hungry_s,
        outcome.avoidable_s,
        0.0 if died is None else 1 - died / scenario.seconds,
        outcome.energy_j,
        plan.energy_j,
        outcome.switches,
        _quantile(outcome.decision_ms, 0.99) or 0.0,
        _quantile(outcome.latency_errors, 0.5),
        _quantile(outcome.energy_errors, 0.5),
        cheapest.died_s is None,
        outcome.told_s,
        scenario.seconds,
    )


def _quantile(values: Sequence[float], share: float) -> float | None:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else None


def compare(
    jobs: Sequence[tuple[str, int]], *, tiers: Tiers | None = None, workers: int | None = None
) -> Iterator[list[Row]]:
    """Rows of each job (scenario, seed) as they are done, in order of the jobs; the planning controller's first."""
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        yield from pool.map(partial(compare_one, tiers=tiers), jobs)


def tune_tiers(names: Sequence[str], seeds: Iterable[int] = TUNING_SEEDS, *, workers: int | None = None) -> Tiers:
    """The tiers' thresholds that serve best on seeds of their own: accuracy, less a price for broken limits."""
    grid = [
        Tiers(charge=charge, heat_below_limit_c=heat)
        for charge in ((0.9, 0.6), (0.7, 0.4), (0.5, 0.2), (0.3, 0.1))
        for heat in ((16.0, 8.0), (10.0, 5.0), (8.0, 3.0), (5.0, 1.5), (4.0, 2.5))
    ]
    jobs = [(name, seed) for name in names for seed in seeds]
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        scores = list(pool.map(partial(_tier_score, jobs=jobs), grid))
    return grid[max(range(len(grid)), key=scores.__getitem__)]


def _tier_score(tiers: Tiers, jobs: Sequence[tuple[str, int]]) -> float:
    score = 0.0
    for name, seed in jobs:
        scenario = draw(name, seed)
        outcome = run(scenario, TierController(scenario.goals, tiers), seed, "tiers")
        died = 0.0 if outcome.died_s is None else 1 - outcome.died_s / scenario.seconds
        score += outcome.accuracy - 0.5 * outcome.avoidable_s / scenario.seconds - died
    return score / len(jobs)
