"""Multi-objective search with Optuna over the same space, begun with what slimming found.

Asks for a batch, evaluates it, tells it in order: the batch has a fixed size, so the same seed gives the same paths
whatever the number of workers.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

from converters.search.contract import Evaluate, Measured, Say
from converters.search.errors import SearchError
from converters.search.space import SearchSpace

Sampler = Literal["nsga2", "tpe"]
BATCH = 8
_MOST_ASKED = 5  # times the trials: an optimiser that proposes what is known already is let go at some time
_LEAST_POPULATION = 12


def explore(
    space: SearchSpace,
    evaluate: Evaluate,
    seeds: Sequence[Measured],
    *,
    trials: int,
    seed: int,
    sampler: Sampler = "nsga2",
    batch: int = BATCH,
    say: Say = lambda _: None,
) -> list[Measured]:
    """Evaluate up to `trials` further paths, minimising loss and latency; returns the new ones in order of asking.

    Raises SearchError when Optuna is not installed.
    """
    optuna = _optuna()
    genes = space.genes()
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=_sampler(optuna, sampler, seed, len(seeds))
    )
    for known in seeds:
        study.enqueue_trial(space.rungs_of(known.path))
    distributions = {gene.name: optuna.distributions.IntDistribution(0, gene.count - 1) for gene in genes}
    found = {known.path: known for known in seeds}
    new: list[Measured] = []
    asked = 0
    most = len(seeds) + _MOST_ASKED * trials
    refused: set[Any] = set()
    while len(new) + len(refused) < trials and asked < most:
        size = min(batch, len(seeds) - asked if asked < len(seeds) else trials - len(new) - len(refused))
        asking = [study.ask(distributions) for _ in range(size)]
        asked += size
        paths = [space.path_of(trial.params) for trial in asking]
        for trial, path, outcome in zip(asking, paths, evaluate(paths), strict=True):
            if not isinstance(outcome, Measured):
                refused.add(path)
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            study.tell(trial, [1 - outcome.accuracy, outcome.latency_ms])
            if path not in found:
                found[path] = outcome
                new.append(outcome)
        if asked > len(seeds):
            say(f"optuna: {len(new) + len(refused)} of {trials} new paths")
    return new


def _sampler(optuna: Any, name: Sampler, seed: int, seeds: int) -> Any:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    # The first generation is what slimming found, so that all of it may be a parent.
    return optuna.samplers.NSGAIISampler(population_size=max(_LEAST_POPULATION, seeds), seed=seed)


def _optuna() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import optuna
    except ImportError as error:
        raise SearchError("--trials needs Optuna: pip install 'joulepath[search]', or give --trials 0") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
