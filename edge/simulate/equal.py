"""Energy at equal accuracy: what the planning controller, and the oracle, need for what threshold tiers reached."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.controller.baselines import StaticController, TierController, Tiers
from edge.controller.plan import PlanningController
from edge.simulate.draw import draw
from edge.simulate.oracle import NoPlanError, least_energy
from edge.simulate.purse import Purse, energy_for
from edge.simulate.run import run

_SHARES = (0.15, 0.35, 0.6, 0.85)  # of the way from the cheapest run's energy to the unbounded one's


@dataclass(frozen=True)
class Saving:
    """Joules of one scenario and seed; `idle_j` is what the board draws anyway, `oracle_j` the fewest with which this
    accuracy can be had by who knows all that is to come."""

    scenario: str
    seed: int
    accuracy: float
    tiers_j: float
    ours_j: float
    idle_j: float
    oracle_j: float


def saving(job: tuple[str, int], tiers: Tiers | None = None) -> Saving | None:
    """The energies at the accuracy that tiers reached; None where tiers broke a limit, or ours or the oracle does not
    reach it.

    Raises JoulepathError without scipy.
    """
    name, seed = job
    scenario = draw(name, seed)
    theirs = run(scenario, TierController(scenario.goals, tiers), seed, "tiers")
    if theirs.avoidable_s > 0 or theirs.died_s is not None or theirs.late_share > 0.01:
        return None
    cheapest = run(scenario, StaticController(scenario.physics.variants[-1].id), seed, "cheapest")
    free = run(scenario, PlanningController(scenario.goals), seed, "plan")
    points = [(cheapest.accuracy, cheapest.energy_j), (free.accuracy, free.energy_j)]
    goals = replace(scenario.goals, battery_hours=scenario.seconds / 3600, battery_critical=0.0)
    for share in _SHARES:
        joules = cheapest.energy_j + share * (free.energy_j - cheapest.energy_j)
        outcome = run(scenario, Purse(PlanningController(goals), joules), seed, "purse")
        points.append((outcome.accuracy, outcome.energy_j))
    ours_j = energy_for(points, theirs.accuracy)
    if ours_j is None:
        return None
    steps = round(scenario.seconds / scenario.step_s)
    idle_w = (scenario.physics.idle_w + scenario.physics.background_w(k * scenario.step_s) for k in range(steps))
    try:
        oracle_j = least_energy(scenario, theirs.accuracy)
    except NoPlanError:  # tiers had luck with single frames, or epochs are too coarse for what they did
        return None
    return Saving(name, seed, theirs.accuracy, theirs.energy_j, ours_j, scenario.step_s * sum(idle_w), oracle_j)
