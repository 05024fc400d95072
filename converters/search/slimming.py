"""Latency-driven slimming (EfficientFormer, arXiv 2206.01191): always the cut of least loss for the time it saves.

From the full path, every possible cut is evaluated, the one with the smallest loss of accuracy per millisecond saved
(or per millijoule) is taken, and so on from there. Cuts are not all evaluated again at each step: what one cost in an
earlier step is what it costs at least, as long as losses grow and savings shrink while the network gets smaller. So
only the best by that old estimate are evaluated again, until the best of all is one whose estimate is new (lazy
greedy, Minoux 1978). Where the assumption holds the choice is that of evaluating all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from converters.search.contract import Evaluate, Measured, Outcome, Say
from converters.search.space import Action, SearchSpace

Per = Literal["ms", "mj"]
BATCH = 4  # a fixed number, so that the result does not depend on how many workers there are
# A loss below this is no loss that a search set can show; among such cuts the one that saves most goes first.
NO_LOSS = 0.0005
_LEAST_SAVING = 0.003  # of the present cost: below it a cut saves nothing that could be measured


@dataclass(frozen=True)
class Step:
    """A cut that was taken: what it cost against the path before."""

    action: str
    measured: Measured
    loss: float
    saved: float


def slim(
    full: Measured,
    space: SearchSpace,
    evaluate: Evaluate,
    goal_ms: float,
    *,
    per: Per = "ms",
    batch: int = BATCH,
    say: Say = lambda _: None,
) -> list[Step]:
    """Cut from `full` on until an inference takes at most `goal_ms`, or no cut saves time any more."""
    return list(_steps(full, space, evaluate, goal_ms, per, batch, say))


def _steps(
    full: Measured, space: SearchSpace, evaluate: Evaluate, goal_ms: float, per: Per, batch: int, say: Say
) -> Iterator[Step]:
    present, estimates = full, dict[str, float]()
    while present.latency_ms > goal_ms:
        step = _best(present, space.actions(present.path), estimates, evaluate, per, batch)
        if step is None:
            say("no cut saves time any more")
            return
        present = step.measured
        say(
            f"{step.action}: {100 * present.accuracy:.1f} % at {present.latency_ms:.1f} ms "
            f"({full.latency_ms / present.latency_ms:.2f}x)"
        )
        yield step


def _best(
    present: Measured,
    actions: tuple[Action, ...],
    estimates: dict[str, float],
    evaluate: Evaluate,
    per: Per,
    batch: int,
) -> Step | None:
    """The cut of least cost; `estimates` are what cuts cost when last seen, and are brought up to date."""
    fresh: dict[str, Step | None] = {}
    order = {action.key: place for place, action in enumerate(actions)}
    while actions:
        ranked = sorted(actions, key=lambda each: (estimates.get(each.key, -math.inf), order[each.key]))
        if ranked[0].key in fresh:
            return fresh[ranked[0].key]
        asked = [action for action in ranked if action.key not in fresh]
        # What has never been seen is all evaluated at once; then a few at a time.
        unseen = [action for action in asked if action.key not in estimates]
        asked = unseen or asked[:batch]
        for action, outcome in zip(asked, evaluate([action.path for action in asked]), strict=True):
            step = _step(action, present, outcome, per)
            fresh[action.key] = step
            estimates[action.key] = math.inf if step is None else max(step.loss, NO_LOSS) / step.saved
    return None


def _step(action: Action, present: Measured, outcome: Outcome, per: Per) -> Step | None:
    """None for a cut that cannot be made, or saves nothing."""
    if not isinstance(outcome, Measured):
        return None
    before, after = _cost(present, per), _cost(outcome, per)
    saves_time = outcome.latency_ms < present.latency_ms
    if not saves_time or before - after < _LEAST_SAVING * before:
        return None
    return Step(action.key, outcome, present.accuracy - outcome.accuracy, before - after)


def _cost(measured: Measured, per: Per) -> float:
    if per == "mj" and measured.energy_mj is not None:
        return measured.energy_mj
    return measured.latency_ms
