"""Rules that need no model: they hold when everything learnt is wrong, and they have the last word."""

from __future__ import annotations

from dataclasses import replace

from edge.controller.contract import Observation
from edge.controller.goals import Goals
from edge.controller.hull import Option
from edge.controller.plan.options import Choice
from edge.controller.plan.state import PlanState

_NS = 1e-9
_HOLD_S = 30.0  # the supply must have been steady for so long before a step up is tried
_OVER_C = 0.5  # sensors scatter: so much over the limit is over it
_STEP_S = 2.0  # between two steps down
_ALIKE = 0.01  # of the power: no reason to leave one that runs


def hold_back(state: PlanState, seen: Observation) -> PlanState:
    """Undervoltage bars the dearest option, and one more every two seconds while it lasts."""
    since_s = (seen.monotonic_ns - state.held_since_ns) * _NS
    if seen.undervoltage:
        if state.held_rung == 0 or since_s >= _STEP_S:
            return replace(state, held_rung=state.held_rung + 1, held_since_ns=seen.monotonic_ns)
        return state
    if state.held_rung and since_s >= _HOLD_S:
        return replace(state, held_rung=state.held_rung - 1, held_since_ns=seen.monotonic_ns)
    return state


def emergency(state: PlanState, options: Choice, seen: Observation, goals: Goals) -> tuple[Option, str, bool] | None:
    """What must run whatever was planned: the option, why, and whether it is an emergency; None in peace."""
    cheapest = _cheapest(options, state.variant)
    hot, charge = goals.emergency_temperature_c, seen.battery
    if hot is not None and seen.temperature_c is not None and seen.temperature_c >= hot:
        return cheapest, f"emergency: {seen.temperature_c:.1f} °C is over {hot:g} °C", True
    limit = goals.max_temperature_c
    if limit is not None and seen.temperature_c is not None and seen.temperature_c > limit + _OVER_C:
        # Whatever was foretold: it is too hot. The model catches up in its own time.
        return cheapest, f"temperature {seen.temperature_c:.1f} °C (limit {limit:g} °C)", False
    if charge is not None and charge <= goals.battery_critical and not seen.on_mains:
        return (
            cheapest,
            f"the battery is at {100 * charge:.0f} %, critical from {100 * goals.battery_critical:.0f} %",
            True,
        )
    if state.held_rung:
        ranked = sorted(options.fit, key=lambda o: -o.power_w)
        held = ranked[min(state.held_rung, len(ranked) - 1)]
        present = next((o for o in options.fit if o.id == state.variant), None)
        if present is None or present.power_w > held.power_w:
            return held, "the supply's voltage sags under the load", True
        return present, "the supply's voltage sagged a moment ago", False
    return None


def _cheapest(options: Choice, present_id: str | None) -> Option:
    """The option that draws least; the present one while it draws hardly more, for figures move with each frame."""
    least = min(options.all, key=lambda o: (o.power_w, o.latency_ms))
    near = [o for o in options.all if o.power_w <= (1 + _ALIKE) * least.power_w]
    # Among those that cannot be told apart by what they draw, the one with the least work is the safe guess.
    quickest = min(near, key=lambda o: o.latency_ms)
    present = next((o for o in near if o.id == present_id), None)
    return present if present is not None and present.latency_ms <= 1.5 * quickest.latency_ms else quickest
