"""Sentences for the people who read the journal."""

from __future__ import annotations

from edge.controller.contract import GoalStatus, Observation
from edge.controller.goals import Goals
from edge.controller.hull import Mix, Option
from edge.controller.plan.budget import Budget, battery_status
from edge.controller.plan.options import ON_TIME_SPREADS, Choice, power_margin_w, spread_w
from edge.controller.plan.rate import Pace
from edge.controller.plan.state import Learnt, PlanState


def reason_for(
    option: Option,
    mix: Mix,
    binding: Budget | None,
    options: Choice,
    ruled: str,
    waits: bool,
    heat: Budget,
    pace: Pace,
    barred: str,
) -> str:
    """Why `option` runs, and at which rate, in one sentence; `barred` says why the most accurate one does not."""
    reason = _why(option, mix, binding, options, ruled, waits, heat, barred, slower=pace.max_fps is not None)
    if pace.max_fps is None:
        return reason
    return f"{reason}; at most {pace.max_fps:.1f} of {pace.source_fps:.1f} frames a second"


def _why(
    option: Option,
    mix: Mix,
    binding: Budget | None,
    options: Choice,
    ruled: str,
    waits: bool,
    heat: Budget,
    barred: str,
    slower: bool,
) -> str:
    if waits:
        return "stays for the dwell time"
    if ruled:
        return ruled
    best = max(options.all, key=lambda o: o.accuracy)
    if slower and binding is not None and binding.text:
        return f"{binding.text}, so {option.id}{_sharing(mix)} ({option.power_w:.2f} W)"
    if slower and option.id == best.id:
        return "the most accurate variant: with every frame it would draw too much"
    if option.id == best.id:
        return "the most accurate variant: every goal is met with it"
    if "temperature" in options.gave_up:
        return f"{heat.text}: {option.id} comes nearest"
    if options.gave_up:
        return f"no variant surely meets the {options.gave_up[0]} goal: {option.id} comes nearest"
    if binding is not None and mix.high.id != _best(options.fit).id:
        return f"{binding.text}, so {option.id}{_sharing(mix)} ({option.power_w:.2f} W)"
    if binding is not None and not mix.alone:
        return f"{binding.text}, so {option.id}{_sharing(mix)}"
    if barred:
        return f"{barred}; {option.id} is the most accurate that surely keeps the limit"
    if best.id in options.hot:
        return f"{heat.text}; {best.id} would be too hot, {option.id} is the most accurate that is not"
    return f"{option.id} is the most accurate that meets the goals"


def barred_because(options: Choice, learnt: Learnt, seen: Observation, goals: Goals) -> str:
    """Why the most accurate variant of all does not surely meet deadline or power limit, in figures; empty where it
    does."""
    best = _best(options.all)
    if best.id in options.late:
        return (
            f"{best.id} may take {learnt.latency.expected_ms(best.id, ON_TIME_SPREADS):.0f} of {goals.longest_ms:g} ms"
        )
    if best.id in options.hungry:
        may_draw_w = best.power_w + power_margin_w(best, learnt, seen)
        return f"{best.id} may draw {may_draw_w:.2f} of {goals.max_power_w:g} W"
    return ""


def _best(options: tuple[Option, ...]) -> Option:
    return max(options, key=lambda o: o.accuracy)


def _sharing(mix: Mix) -> str:
    if mix.alone:
        return ""
    return f", sharing time: {mix.high.id} for {100 * mix.share:.0f} %, {mix.low.id} for the rest"


def goal_statuses(
    state: PlanState,
    learnt: Learnt,
    seen: Observation,
    goals: Goals,
    option: Option,
    options: Choice,
    mix: Mix,
    least: Choice,
    pace: Pace,
) -> tuple[GoalStatus, ...]:
    """One line for each goal that was stated; `least` is what the variants come to at the lowest rate allowed."""
    power_w = mix.low.power_w + (mix.high.power_w - mix.low.power_w) * mix.share
    cheapest = min(least.all, key=lambda o: o.power_w)
    statuses = [
        battery_status(state, learnt, seen, goals, power_w, cheapest.power_w, spread_w(cheapest, learnt, seen)),
        _heat(learnt, seen, goals, power_w),
        _power(learnt, seen, goals, option, options),
        _deadline(goals, option, options),
        _rate(goals, pace),
        _accuracy(goals, option, options),
    ]
    return tuple(status for status in statuses if status is not None)


def _heat(learnt: Learnt, seen: Observation, goals: Goals, power_w: float) -> GoalStatus | None:
    limit = goals.max_temperature_c
    if limit is None:
        return None
    if seen.temperature_c is None:
        return GoalStatus("temperature", "unknown", "no temperature is known")
    now = f"{seen.temperature_c:.1f} °C of {limit:g} °C"
    if seen.temperature_c > limit:
        return GoalStatus("temperature", "at risk", f"{now}: over the limit")
    if not learnt.thermal.known:
        return GoalStatus("temperature", "met", now)
    later_c, _ = learnt.thermal.expected_c(power_w, 600.0)
    state = "met" if later_c <= limit else "at risk"
    return GoalStatus("temperature", state, f"{now}, {later_c:.0f} °C expected in 10 min at {power_w:.1f} W")  # type: ignore[arg-type]


def _power(learnt: Learnt, seen: Observation, goals: Goals, option: Option, options: Choice) -> GoalStatus | None:
    limit_w = goals.max_power_w
    if limit_w is None:
        return None
    text = f"{option.power_w:.2f} W expected of {limit_w:g} W"
    if "power" not in options.gave_up:
        return GoalStatus("power", "met", text)
    if option.power_w > limit_w:
        return GoalStatus("power", "not feasible", f"{text}, and no variant draws less")
    up_to_w = option.power_w + power_margin_w(option, learnt, seen)
    return GoalStatus("power", "at risk", f"{text}, up to {up_to_w:.2f} W by what is known so far")


def _deadline(goals: Goals, option: Option, options: Choice) -> GoalStatus | None:
    limit = goals.longest_ms
    if limit is None:
        return None
    text = f"{option.latency_ms:.1f} ms expected of {limit:g} ms"
    if "deadline" in options.gave_up:
        return GoalStatus("deadline", "not feasible", text)
    return GoalStatus("deadline", "at risk" if option.id in options.late else "met", text)


def _rate(goals: Goals, pace: Pace) -> GoalStatus | None:
    if not goals.allow_lower_fps or goals.min_fps is None:
        return None
    fps = pace.source_fps if pace.max_fps is None else min(pace.max_fps, pace.source_fps)
    text = f"{fps:.1f} of {pace.source_fps:.1f} frames a second, {goals.min_fps:g} at least"
    return GoalStatus("rate", "met" if fps >= 0.98 * goals.min_fps else "not feasible", text)


def _accuracy(goals: Goals, option: Option, options: Choice) -> GoalStatus | None:
    if goals.min_accuracy is None:
        return None
    text = f"{100 * option.accuracy:.1f} % of at least {100 * goals.min_accuracy:g} %"
    if option.accuracy >= goals.min_accuracy:
        return GoalStatus("accuracy", "met", text)
    return GoalStatus("accuracy", "not feasible" if "accuracy" in options.gave_up else "at risk", text)


def refusals(state: PlanState, refused: dict[str, str], learnt: Learnt) -> tuple[str, ...]:
    """What was refused now and was not refused at the last decision: each told once, not four times a second."""
    told = [text for name, text in refused.items() if name not in state.refused]
    if learnt.standstill.frozen and "frozen" not in state.refused:
        told.append(
            f"the temperature stands at {learnt.standstill.temperature_c} °C although it must have moved: refused"
        )
    return tuple(told)
