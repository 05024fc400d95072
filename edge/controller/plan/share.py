"""Time-sharing: which of two neighbours runs now, so that on the mean the wanted share comes out and nobody runs for
less than the dwell time."""

from __future__ import annotations

from dataclasses import replace

from edge.controller.hull import Mix, Option
from edge.controller.plan.state import PlanState


def turn(
    state: PlanState, mix: Mix, present: Option | None, dwell_s: float, elapsed_s: float
) -> tuple[PlanState, Option]:
    """The option whose turn it is.

    `owed_s` counts the seconds of the dearer option that are still owed. One phase of it lasts dwell / (1 - share), one
    of the cheaper dwell / share, so that the shorter of the two is a little over a dwell and the count swings by one
    dwell between two turns.
    """
    if mix.alone:
        return replace(state, owed_s=0.0), mix.high
    on_high = present is not None and present.id == mix.high.id
    on_pair = on_high or (present is not None and present.id == mix.low.id)
    owed_s = state.owed_s + (mix.share - (1.0 if on_high else 0.0)) * min(elapsed_s, dwell_s)
    owed_s = max(-dwell_s, min(dwell_s, owed_s))
    if not on_pair:
        high_next = mix.share >= 0.5
    elif on_high:
        high_next = owed_s > -dwell_s / 2
    else:
        high_next = owed_s >= dwell_s / 2
    return replace(state, owed_s=owed_s), mix.high if high_next else mix.low
