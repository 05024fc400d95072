"""Which channels are called important, against least squares done by hand."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from converters.compensate import Moments
from converters.importance import _JITTER, divergence, ranking

Wide = npt.NDArray[np.float64]


def ranked(x: Wide, y: Wide) -> tuple[int, ...]:
    moments = Moments(x.shape[1], y.shape[1])
    moments.add(x, y)
    return ranking(*moments.total)


def jitter(x: Wide) -> float:
    """What the ranking adds to the variances of nearly equal channels, so that they can be told apart at all."""
    centred = x - x.mean(axis=0)
    return _JITTER * float(np.trace(centred.T @ centred)) / x.shape[1]


def loss(x: Wide, y: Wide, strength: float) -> float:
    """What is left of y when it is rebuilt from x and a constant as well as can be, weights costing `strength`."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    rows = np.concatenate([x, np.sqrt(strength) * np.eye(x.shape[1])])
    wanted = np.concatenate([y, np.zeros((x.shape[1], y.shape[1]))])
    return float(np.sum((rows @ np.linalg.lstsq(rows, wanted, rcond=None)[0] - wanted) ** 2))


@settings(max_examples=20, deadline=None)
@example(seed=514, channels=8)  # channels so much alike that what is added to their variances decides
@given(seed=st.integers(0, 1000), channels=st.integers(2, 9))
def test_the_channel_that_goes_first_is_the_one_least_missed(seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(80, channels)) @ rng.normal(size=(channels, channels))
    y = x @ rng.normal(size=(channels, 3)) + 0.1 * rng.normal(size=(80, 3))
    order = ranked(x, y)
    assert sorted(order) == list(range(channels))
    losses = [loss(np.delete(x, channel, axis=1), y, jitter(x)) for channel in range(channels)]
    assert losses[order[-1]] == pytest.approx(min(losses), rel=1e-4)


def test_a_copy_is_missed_least_and_one_of_each_pair_stays() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(200, 4))
    x = np.concatenate([base, base], axis=1)
    order = ranked(x, base @ rng.normal(size=(4, 6)))
    assert {channel % 4 for channel in order[:4]} == {0, 1, 2, 3}


def test_energy_alone_does_not_count() -> None:
    # The loudest channel says nothing of the output, a constant says nothing at all.
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 4)) * [100.0, 1.0, 0.1, 0.0] + [0.0, 0.0, 0.0, 50.0]
    assert ranked(x, x[:, 1:2] + 5 * x[:, 2:3])[:2] == (1, 2)


def test_divergence_of_known_distributions() -> None:
    half, certain = np.log([[0.5, 0.5]]).astype(np.float32), np.log([[0.75, 0.25]]).astype(np.float32)
    assert divergence(half, half) == 0.0
    assert divergence(half, half + 3) == pytest.approx(0.0, abs=1e-7)
    assert divergence(half, certain) == pytest.approx(0.5 * math.log(4 / 3), rel=1e-6)
