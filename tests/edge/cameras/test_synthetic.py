from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.cameras.synthetic import CLASSES, SyntheticStreet, draw_random


def test_any_order_gives_the_same_frames() -> None:
    times = [0.0, 12.3, 4.5, 400.0, -3.0]
    one, other = SyntheticStreet(90, 120, seed=3), SyntheticStreet(90, 120, seed=3)
    forward = {t: one.render(t) for t in times}
    backward = {t: other.render(t) for t in reversed(times)}
    for t in times:
        assert np.array_equal(forward[t][0], backward[t][0])
        assert np.array_equal(forward[t][1], backward[t][1])


def test_seed_and_time_change_the_picture() -> None:
    image, mask = SyntheticStreet(90, 120, seed=1).render(1.0)
    for other in (SyntheticStreet(90, 120, seed=2).render(1.0), SyntheticStreet(90, 120, seed=1).render(2.0)):
        assert (other[1] != mask).mean() > 0.02
        assert (other[0] != image).mean() > 0.5


def test_all_classes_occur_in_plausible_shares() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros(len(CLASSES))
    for _ in range(24):
        counts += np.bincount(draw_random(rng, 180, 240)[1].ravel(), minlength=len(CLASSES))
    share = dict(zip(CLASSES, counts / counts.sum(), strict=True))
    assert set(share) == set(CLASSES)
    assert all(value > 0.001 for value in share.values()), share
    assert 0.2 < share["road"] < 0.5
    assert share["building"] > 0.08
    assert share["sky"] > 0.05


def test_a_label_is_under_its_own_picture() -> None:
    # Lighting and colours differ by street; under one street, the bright sky must stop where the mask says.
    street = SyntheticStreet(180, 240, seed=11)
    image, mask = street.render(5.0)
    sky, road = image[mask == 0].mean(), image[mask == 3].mean()
    assert sky > road + 30
    inside = mask[:, 1:] == mask[:, :-1]
    step = np.abs(np.diff(image.astype(int), axis=1)).sum(2)
    assert step[~inside].mean() > 2 * step[inside].mean()


def test_training_draws_are_repeatable() -> None:
    first = draw_random(np.random.default_rng(5), 64, 96)
    second = draw_random(np.random.default_rng(5), 64, 96)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


@settings(max_examples=25, deadline=None)
@given(st.integers(16, 90), st.integers(16, 120), st.integers(0, 2**31 - 1), st.floats(-1e4, 1e4))
def test_any_size_seed_and_time(height: int, width: int, seed: int, time_s: float) -> None:
    image, mask = SyntheticStreet(height, width, seed).render(time_s)
    assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((height, width), np.uint8)
    assert mask.max() < len(CLASSES)


def test_a_street_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16x16"):
        SyntheticStreet(8, 100)
