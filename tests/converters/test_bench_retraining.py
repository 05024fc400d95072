"""What is compared with what, and the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from converters.bench_retraining import _goals, gain_of

LABELS = ("road", "sky")


def counts(right: float, seed: int) -> np.ndarray:
    """Thirty images of which about `right` of each class's pixels are right; harder and easier ones alike for all."""
    hard = np.random.default_rng(7).normal(0, 0.05, 30)
    hits = np.clip(np.round(1000 * (right + hard + np.random.default_rng(seed).normal(0, 0.002, 30))), 0, 1000).astype(
        int
    )
    return np.stack([[[hit, 1000 - hit, 0], [1000 - hit, hit, 0]] for hit in hits])


def test_the_trained_path_is_held_against_the_best_untrained_one() -> None:
    found = {"cut": counts(0.6, 1), "repaired": counts(0.7, 2), "trained": counts(0.8, 3)}

    def miou(name: str) -> float:
        hit = found[name][:, 0, 0].sum()
        wrong = found[name][:, 0, 1].sum()
        return float(hit / (hit + 2 * wrong))

    value, low, high = gain_of(found, "trained", LABELS, "set")
    assert value == pytest.approx(100 * (miou("trained") - miou("repaired")))
    assert low < value < high
    assert high - low < 3  # pairs: the images' own differences fall out
    value, low, high = gain_of({**found, "repaired": counts(0.9, 4)}, "trained", LABELS, "set")
    assert value < 0
    assert low < value < high < 0


def test_goals_are_the_least_gain_and_the_full_path() -> None:
    gains = {"full": (-0.2, -0.4, 0.1), "p1": (4.0, 3.0, 5.0), "p2": (-0.1, -1.0, 0.5)}
    cheaper, full = _goals(gains)
    assert (cheaper.what, cheaper.met) == ("least gain of a cheaper path (p2)", False)
    assert (full.measured, full.bound, full.met) == (-0.2, -0.3, True)
    assert _goals({"full": (-0.4, -0.5, -0.3)})[0].met is False
