"""The planning controller. See `decide`; each step of it lives in a room of its own.

1. Readings that cannot be true are refused (`edge.controller.sanity`).
2. The models learn from what came since the last decision (`plan.learn`).
3. Variants that cannot meet deadline, power limit or lowest accuracy are barred (`plan.options`).
4. What the battery's end and the temperature limit leave becomes a mean power to spend (`plan.budget`).
5. Of all ways to spend it the most accurate is a variant, or two neighbours on the accuracy-power hull that share
   time (`edge.controller.hull`, `plan.share`).
6. Where fewer frames a second are allowed, the rate is chosen before (`plan.rate`).
7. Rules that need no model have the last word: over-temperature, undervoltage, an empty battery (`plan.emergency`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge.controller.contract import Decision, Observation
from edge.controller.goals import Goals
from edge.controller.hull import Mix, Option, mix_for
from edge.controller.plan.budget import Budget, battery_budget, heat_budget, next_instant, patient, saving_budget
from edge.controller.plan.emergency import emergency, hold_back
from edge.controller.plan.learn import first_beliefs, updated
from edge.controller.plan.options import Choice, choice
from edge.controller.plan.rate import Pace, Rate, ladder, paced, source_fps, turned, wanted_rate
from edge.controller.plan.share import turn
from edge.controller.plan.state import Learnt, PlanState, busy_share
from edge.controller.plan.words import barred_because, goal_statuses, reason_for, refusals
from edge.controller.sanity import believable

_NS = 1e-9
_HEAT_HORIZON_DWELLS = 6.0
_LEAST_HEAT_HORIZON_S = 20.0


class PlanningController:
    """Spends what the goals leave. Pure: `decide` depends on nothing but its arguments."""

    def __init__(self, goals: Goals) -> None:
        self.goals = goals

    def initial(self) -> PlanState:
        return PlanState()

    def decide(self, state: PlanState, seen: Observation) -> tuple[PlanState, Decision]:
        """The next state and decision. Raises ValueError when no candidate is usable."""
        seen, refused = believable(seen)
        state, learnt, elapsed_s = self._learn(state, seen)
        rates = ladder(source_fps(seen, learnt), self.goals)
        at = self._offers(state, learnt, seen)
        budgets = [
            *self._budgets(state, learnt, seen),
            saving_budget((*at(rates[0]).all, *at(rates[-1]).all), seen, self.goals),
        ]
        binding = min((b for b in budgets if b.power_w is not None), key=_watts, default=None)
        permitted_w = float("inf") if binding is None else _watts(binding)
        state = self._turn_rate(hold_back(state, seen), seen, rates, at, permitted_w)
        pace = Pace(state.max_fps, source_fps(seen, learnt))
        options, seen = at(state.max_fps), paced(seen, state.max_fps)
        mix = mix_for(options.fit, permitted_w)
        ruled = emergency(state, options, seen, self.goals)
        state, option, waits = self._pick(state, seen, options, mix, ruled, elapsed_s)
        notes = refusals(state, refused, learnt)
        state = replace(state, late=options.late, refused=frozenset(refused) | _frozen(learnt))
        statuses = goal_statuses(state, learnt, seen, self.goals, option, options, mix, at(rates[-1]), pace)
        barred = barred_because(options, learnt, seen, self.goals)
        decision = Decision(
            option.id,
            reason_for(option, mix, binding, options, ruled[1] if ruled else "", waits, budgets[0], pace, barred),
            _numbers(seen, learnt, option, binding, mix) | _rate_numbers(pace),
            emergency=ruled is not None and ruled[2],
            expected=self._expected(learnt, seen, option),
            goals=patient(learnt, statuses),
            notes=notes,
            max_fps=state.max_fps,
        )
        return state, decision

    def _learn(self, state: PlanState, seen: Observation) -> tuple[PlanState, Learnt, float]:
        first = state.learnt is None
        known = first_beliefs(seen.candidates, self.goals) if state.learnt is None else state.learnt
        # A clock that stands or runs back lets no time pass.
        elapsed_s = 0.0 if first else max(0.0, (seen.monotonic_ns - state.last_ns) * _NS)
        learnt = updated(known, paced(seen, state.max_fps), elapsed_s)
        start_ns = seen.monotonic_ns if first else state.start_ns
        last_ns = seen.monotonic_ns if first else max(state.last_ns, seen.monotonic_ns)
        until_utc_s = next_instant(seen, self.goals) if state.until_utc_s is None else state.until_utc_s
        state = replace(state, learnt=learnt, start_ns=start_ns, last_ns=last_ns, until_utc_s=until_utc_s)
        return state, learnt, elapsed_s

    def _offers(self, state: PlanState, learnt: Learnt, seen: Observation) -> Callable[[Rate], Choice]:
        """What the variants come to at a rate, each rate reckoned once."""
        reckoned: dict[Rate, Choice] = {}

        def at(rate: Rate) -> Choice:
            if rate not in reckoned:
                reckoned[rate] = choice(state, learnt, paced(seen, rate), self.goals)
            return reckoned[rate]

        return at

    def _turn_rate(
        self,
        state: PlanState,
        seen: Observation,
        rates: tuple[Rate, ...],
        at: Callable[[Rate], Choice],
        permitted_w: float,
    ) -> PlanState:
        """The rate that is in force from now on; while a rule is in force it is the lowest, in an emergency at once."""
        ruled = emergency(state, at(state.max_fps), seen, self.goals)
        if ruled is not None:
            return turned(state, rates[-1], seen, self.goals.dwell_s, at_once=ruled[2])
        wanted = wanted_rate(rates, at, permitted_w, self.goals, state.max_fps)
        return turned(state, wanted, seen, self.goals.dwell_s, at_once=False)

    def _budgets(self, state: PlanState, learnt: Learnt, seen: Observation) -> list[Budget]:
        horizon_s = max(_LEAST_HEAT_HORIZON_S, _HEAT_HORIZON_DWELLS * self.goals.dwell_s)
        return [heat_budget(learnt, self.goals, horizon_s), battery_budget(state, learnt, seen, self.goals)]

    def _pick(
        self,
        state: PlanState,
        seen: Observation,
        options: Choice,
        mix: Mix,
        ruled: tuple[Option, str, bool] | None,
        elapsed_s: float,
    ) -> tuple[PlanState, Option, bool]:
        """The option to run now, and whether a wish had to wait for the dwell time."""
        present = next((o for o in options.all if o.id == state.variant), None)
        state, wanted = turn(state, mix, present, self.goals.dwell_s, elapsed_s)
        if ruled is not None:
            wanted = ruled[0]
        dwelt_s = (seen.monotonic_ns - state.since_ns) * _NS
        if present is not None and wanted.id != present.id and dwelt_s < self.goals.dwell_s:
            # Downwards the limits themselves may hurry; upwards nothing does, so that no cycle is shorter than a dwell.
            barred = present.id not in {o.id for o in options.fit}
            cheaper = wanted.power_w <= present.power_w or wanted.latency_ms < present.latency_ms
            if not (cheaper and (barred or ruled is not None)):
                return state, present, True
        if wanted.id != state.variant:
            state = replace(state, variant=wanted.id, since_ns=seen.monotonic_ns)
        return state, wanted, False

    def _expected(self, learnt: Learnt, seen: Observation, option: Option) -> dict[str, float]:
        expected = {"latency_ms": option.latency_ms, "power_w": option.power_w}
        busy = busy_share(option.latency_ms, learnt, seen)
        if busy > 0:
            window_s = option.latency_ms / busy / 1000
            energy_j = learnt.power.energy_j(option.id, window_s, option.latency_ms / 1000)
            if energy_j is not None:
                expected["energy_mj"] = 1000 * (energy_j + learnt.draw.rest_w * window_s)
        if learnt.thermal.known:
            expected["temperature_c"] = learnt.thermal.expected_c(option.power_w, 60.0)[0]
        return {name: round(value, 4) for name, value in expected.items()}


def _watts(budget: Budget) -> float:
    return float("inf") if budget.power_w is None else budget.power_w


def _frozen(learnt: Learnt) -> frozenset[str]:
    return frozenset({"frozen"}) if learnt.standstill.frozen else frozenset()


def _rate_numbers(pace: Pace) -> dict[str, float | str]:
    if pace.max_fps is None:
        return {}
    return {"max_fps": round(pace.max_fps, 3), "source_fps": round(pace.source_fps, 3)}


def _numbers(
    seen: Observation, learnt: Learnt, option: Option, binding: Budget | None, mix: Mix
) -> dict[str, float | str]:
    numbers: dict[str, float | str] = {
        "accuracy": round(option.accuracy, 4),
        "expected_latency_ms": round(option.latency_ms, 3),
        "expected_power_w": round(option.power_w, 3),
        "slowdown": round(learnt.latency.slowdown, 3),
    }
    for name in ("temperature_c", "battery", "power_w", "fps"):
        value = getattr(seen, name)
        if value is not None:
            numbers[name] = round(float(value), 4)
    if binding is not None and binding.power_w is not None:
        numbers["budget_w"], numbers["budget_of"] = round(binding.power_w, 3), binding.goal
    if not mix.alone:
        numbers["shared_with"] = mix.high.id if option.id == mix.low.id else mix.low.id
        numbers["share_of_dearer"] = round(mix.share, 3)
    return numbers
