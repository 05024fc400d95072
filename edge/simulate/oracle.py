"""The hindsight oracle: the best that could have been done, knowing everything that was to come.

Time is cut into epochs; in each, every variant may run for a share of it (so that no dwell time binds the oracle, and
no controller can beat it by sharing time more finely). A linear programme maximises served accuracy less switch costs:

    maximise   sum_k n_k sum_v a_kv x_kv - cost sum_k |x_k - x_(k-1)|/2
    subject to sum_v x_kv <= 1;  case temperature linear in power;  chip under the limit at each epoch's begin and end;
               joules left from 0 to full, what a full battery cannot take being lost; an empty one ends the run;
               power limit and lowest accuracy by leaving variants out

a_kv is the accuracy times the true chance of being on time in that epoch. Solved by HiGHS (Huangfu and Hall, 2018)
through scipy. Limits that no plan can keep are softened by a price far above any accuracy.

`least_energy` turns it round: the fewest joules with which a given accuracy can be served, every frame computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge.errors import JoulepathError
from edge.simulate.scenario import Scenario
from edge.simulate.world import TrueVariant

_PRICE = 50.0  # of a degree over the limit, as a share of an epoch's frames
_SWITCH_COST = 0.02  # frames lost by one switch


class NoPlanError(JoulepathError):
    """Not even who knows all that is to come can do what was asked."""


@dataclass(frozen=True)
class OraclePlan:
    """What the oracle reached: mean accuracy over all frames due, the shares by epoch (rows) and variant, and the mean
    power of each epoch."""

    accuracy: float
    energy_j: float
    shares: list[list[float]]
    epoch_s: float
    feasible: bool  # whether every limit could be kept
    watts: list[float]


def solve(scenario: Scenario, epoch_s: float = 10.0) -> OraclePlan:
    """The optimum for `scenario`. Raises JoulepathError without scipy."""
    problem, (rows, bounds, equal, values) = _built(scenario, epoch_s)
    return problem.plan(
        _solved(scenario, [-gain for gain in problem.gain], rows.tocsr(), bounds, equal, values, problem)
    )


def least_energy(scenario: Scenario, accuracy: float, epoch_s: float = 10.0) -> float:
    """Joules that serve `accuracy` on the mean of all frames due within the limits of `scenario`, dropping none; a
    switch costs nothing here. Raises JoulepathError without scipy, NoPlanError where no plan serves as accurately."""
    problem, (rows, bounds, equal, values) = _built(scenario, epoch_s)
    from scipy.sparse import lil_matrix, vstack

    more = lil_matrix((problem.epochs + 1, problem.columns))
    for column in range(problem.heat):
        more[0, column] = -max(0.0, problem.gain[column])
    for k in range(problem.epochs):  # a frame that is not computed saves energy: no share of an epoch may idle
        more[k + 1, problem.on + k] = 1.0
        for v in range(problem.count):
            more[k + 1, k * problem.count + v] = -1.0
    bounds = [*bounds, -accuracy * sum(problem.frames), *[0.0] * problem.epochs]
    solution = _solved(scenario, problem.joules(), vstack([rows, more]).tocsr(), bounds, equal, values, problem)
    return problem.plan(solution).energy_j


def _built(scenario: Scenario, epoch_s: float) -> tuple[_Problem, Any]:
    try:
        from scipy.sparse import lil_matrix
    except ImportError as error:
        raise JoulepathError("the oracle needs scipy: pip install 'joulepath[simulate]'") from error
    problem = _Problem(scenario, epoch_s)
    return problem, problem.build(lil_matrix)


def _solved(
    scenario: Scenario,
    cost: Sequence[float],
    rows: Any,
    bounds: list[float],
    equal: Any,
    values: list[float],
    problem: _Problem,
) -> Any:
    """The columns that cost least."""
    import numpy as np
    from scipy.optimize import linprog

    answer: Any = linprog(
        np.array(cost),
        A_ub=rows,
        b_ub=np.array(bounds),
        A_eq=equal.tocsr(),
        b_eq=np.array(values),
        bounds=problem.limits,
        method="highs",
    )
    if answer.status != 0:
        raise NoPlanError(f"the oracle of {scenario.name} was not solved: {answer.message}")
    return answer.x


class _Problem:
    """Columns: shares x (epochs x variants), case temperature and watt-hours left (epochs + 1 each), slack of heat, the
    board being on (epochs each), moves."""

    def __init__(self, scenario: Scenario, epoch_s: float) -> None:
        self.scenario, self.epoch_s = scenario, epoch_s
        self.epochs = max(1, round(scenario.seconds / epoch_s))
        self.variants = scenario.physics.variants
        self.count = len(self.variants)
        self.heat = self.epochs * self.count
        self.left = self.heat + self.epochs + 1
        self.slack = self.left + self.epochs + 1
        self.on = self.slack + self.epochs
        self.moves = self.on + self.epochs
        self.columns = self.moves + self.epochs * self.count
        self.frames = [scenario.fps_at((k + 0.5) * epoch_s) * epoch_s for k in range(self.epochs)]
        self.gain = [0.0] * self.columns
        self.limits: list[tuple[float, float | None]] = [(0.0, 1.0)] * self.heat
        self.limits += [(-1e3, 1e3)] * (self.epochs + 1)
        full_wh = scenario.physics.full_j / 3600
        self.has_battery = math.isfinite(scenario.physics.battery_j)
        start_wh = scenario.physics.battery_j / 3600 if self.has_battery else 0.0
        self.limits += [(start_wh, start_wh)] + [(0.0, full_wh if self.has_battery else 0.0)] * self.epochs
        self._figures()
        # To last comes first; where not even the cheapest variant lasts, serving as long as it goes does.
        self.lasts = self._lasts()
        self.limits += [(0.0, None)] * self.epochs + [(1.0 if self.lasts else 0.0, 1.0)] * self.epochs
        self.limits += [(0.0, None)] * (self.columns - self.moves)

    def _figures(self) -> None:
        self.watts: list[list[float]] = []
        self.base_w: list[float] = []
        for k in range(self.epochs):
            at_s = (k + 0.5) * self.epoch_s
            physics = self.scenario.physics
            self.base_w.append(physics.idle_w + physics.background_w(at_s))
            row = []
            for v, variant in enumerate(self.variants):
                busy = min(1.0, variant.latency_ms * physics.slowdown(at_s, False) * self.scenario.fps_at(at_s) / 1000)
                watts = physics.power_w(variant, busy, at_s, False)
                row.append(watts - self.base_w[k])
                self.gain[k * self.count + v] = self.frames[k] * self._worth(variant, at_s, watts)
            self.watts.append(row)
        for column in range(self.slack, self.on):
            self.gain[column] = -_PRICE * max(self.frames)
        for column in range(self.moves, self.columns):
            self.gain[column] = -_SWITCH_COST / 2

    def joules(self) -> list[float]:
        """What each column costs in energy; a degree over the limit costs more than an epoch can save."""
        cost = [0.0] * self.columns
        for k in range(self.epochs):
            cost[self.on + k] = self.epoch_s * self.base_w[k]
            cost[self.slack + k] = _PRICE * self.epoch_s * (self.base_w[k] + max(self.watts[k]))
            for v in range(self.count):
                cost[k * self.count + v] = self.epoch_s * self.watts[k][v]
        return cost

    def _lasts(self) -> bool:
        """Whether the battery outlasts the horizon with the cheapest variant."""
        left_j = self.scenario.physics.battery_j
        for k in range(self.epochs):
            gained_w = self.scenario.physics.solar_w((k + 0.5) * self.epoch_s) - self.base_w[k] - min(self.watts[k])
            left_j = min(self.scenario.physics.full_j, left_j + gained_w * self.epoch_s)
            if left_j < 0:
                return False
        return True

    def _worth(self, variant: TrueVariant, at_s: float, watts: float) -> float:
        goals = self.scenario.goals
        if goals.max_power_w is not None and watts > goals.max_power_w:
            cheapest = min(self.variants, key=lambda v: v.latency_ms * v.dynamic_w)
            if variant.id != cheapest.id:
                return -1.0
        if goals.min_accuracy is not None and variant.accuracy < goals.min_accuracy:
            return 0.0
        return variant.accuracy * on_time(self.scenario, variant, at_s)

    def build(self, matrix: Any) -> tuple[Any, list[float], Any, list[float]]:
        goals, physics, n = self.scenario.goals, self.scenario.physics, self.count
        limit_c = goals.max_temperature_c
        rows = matrix((5 * self.epochs + 2 * self.heat, self.columns))
        bounds: list[float] = []
        equal = matrix((self.epochs + 1, self.columns))
        values = [physics.start_c]
        equal[0, self.heat] = 1.0
        for k in range(self.epochs):
            at_s = (k + 0.5) * self.epoch_s
            resistance = physics.resistance(at_s)
            decay = math.exp(-self.epoch_s / (resistance * physics.capacity_j_per_k))
            equal[k + 1, self.heat + k + 1] = 1.0
            equal[k + 1, self.heat + k] = -decay
            equal[k + 1, self.on + k] = -(1 - decay) * resistance * self.base_w[k]
            values.append((1 - decay) * physics.ambient_c(at_s))
            row = len(bounds)
            rows[row, self.on + k] = -1.0
            for v in range(n):
                rows[row, k * n + v] = 1.0
                equal[k + 1, k * n + v] = -(1 - decay) * resistance * self.watts[k][v]
            bounds.append(0.0)
            if k:  # an empty battery ends the run
                row = len(bounds)
                rows[row, self.on + k] = 1.0
                rows[row, self.on + k - 1] = -1.0
                bounds.append(0.0)
            if limit_c is not None:
                for end in (0, 1):
                    row = len(bounds)
                    rows[row, self.heat + k + end] = 1.0
                    rows[row, self.slack + k] = -1.0
                    for v in range(n):
                        rows[row, k * n + v] = physics.chip_k_per_w * self.watts[k][v]
                    rows[row, self.on + k] = physics.chip_k_per_w * self.base_w[k]
                    bounds.append(limit_c)
            if self.has_battery:
                row, hours = len(bounds), self.epoch_s / 3600
                rows[row, self.left + k + 1] = 1.0
                rows[row, self.left + k] = -1.0
                rows[row, self.on + k] = self.base_w[k] * hours
                for v in range(n):
                    rows[row, k * n + v] = self.watts[k][v] * hours
                bounds.append(physics.solar_w(at_s) * hours)
            for v in range(n):
                for sign in (1.0, -1.0):
                    row = len(bounds)
                    rows[row, k * n + v] = sign
                    if k:
                        rows[row, (k - 1) * n + v] = -sign
                    rows[row, self.moves + k * n + v] = -1.0
                    bounds.append(0.0 if k else 1.0)
        return rows[: len(bounds)], bounds, equal, values

    def plan(self, solution: Any) -> OraclePlan:
        n, served = self.count, 0.0
        shares, watts = [], []
        for k in range(self.epochs):
            row = [float(solution[k * n + v]) for v in range(n)]
            shares.append(row)
            served += sum(max(0.0, self.gain[k * n + v]) * row[v] for v in range(n))
            on = float(solution[self.on + k])
            watts.append(on * self.base_w[k] + sum(self.watts[k][v] * row[v] for v in range(n)))
        over = float(sum(solution[self.slack : self.on]))
        feasible = self.lasts and over < 1e-3
        return OraclePlan(served / sum(self.frames), self.epoch_s * sum(watts), shares, self.epoch_s, feasible, watts)


def on_time(scenario: Scenario, variant: TrueVariant, at_s: float) -> float:
    """The true chance that a frame of `variant` meets the deadline, and that the source's pace is kept."""
    physics, limit = scenario.physics, scenario.goals.longest_ms
    median = variant.latency_ms * physics.slowdown(at_s, False)
    pace = min(1.0, 1000.0 / (median * scenario.fps_at(at_s))) if median > 0 else 1.0
    if limit is None:
        return pace

    def before(scale: float) -> float:
        return 0.5 * math.erfc(-math.log(limit / (median * scale)) / physics.latency_noise / math.sqrt(2))

    tail = physics.tail_share
    return pace * ((1 - tail) * before(1.0) + tail * before(1.5))
