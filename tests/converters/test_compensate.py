"""Ridge repair against maps that are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.compensate import Moments
from converters.layers import Linear

Wide = npt.NDArray[np.float64]


def moments_of(images: list[tuple[Wide, Wide]]) -> Moments:
    moments = Moments(images[0][0].shape[1], images[0][1].shape[1])
    for features, wanted in images:
        moments.add(features, wanted)
    return moments


def zero(inputs: int, outputs: int) -> Linear:
    return Linear(np.zeros((inputs, outputs), np.float32), np.zeros(outputs, np.float32))


def apply(layer: Linear, x: Wide) -> Wide:
    y = x @ layer.weight.astype(np.float64)
    return y if layer.bias is None else y + layer.bias


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), inputs=st.integers(1, 12), outputs=st.integers(1, 5))
def test_a_linear_relation_is_recovered(seed: int, inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(inputs, outputs)), rng.normal(size=outputs)
    images = [(x, x @ weight + bias) for x in rng.normal(1.0, 2.0, (8, 60, inputs))]
    fitted = moments_of(images).fit(zero(inputs, outputs))
    assert fitted.bias is not None
    # The weakest ridge leaves a millionth of the way, more where features resemble each other.
    np.testing.assert_allclose(fitted.weight, weight, atol=2e-4)
    np.testing.assert_allclose(fitted.bias, bias, atol=2e-4)


def test_a_map_that_meets_what_is_wanted_is_left_alone() -> None:
    rng = np.random.default_rng(1)
    present = Linear(rng.normal(size=(6, 3)).astype(np.float32), None)
    images = [(x, apply(present, x)) for x in rng.normal(size=(8, 30, 6))]
    assert moments_of(images).fit(present) is present


def test_a_fit_that_does_worse_on_held_out_images_is_not_taken() -> None:
    # Every fourth image is held out; there the relation is the opposite one.
    rng = np.random.default_rng(2)
    x = rng.normal(size=(8, 50, 4))
    images = [(one, -one if number % 4 == 3 else one) for number, one in enumerate(x)]
    present = zero(4, 4)
    assert moments_of(images).fit(present) is present


def test_few_images_are_fitted_without_a_held_out_one() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, 4))
    np.testing.assert_allclose(moments_of([(x, 2 * x)]).fit(zero(4, 4)).weight, 2 * np.eye(4), atol=5e-3)


def test_a_feature_that_is_always_zero_keeps_its_weight() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(8, 50, 3)) * [1.0, 0.0, 1.0]
    present = Linear(np.full((3, 1), 7.0, np.float32), np.zeros(1, np.float32))
    fitted = moments_of([(one, one @ [[1.0], [2.0], [3.0]]) for one in x]).fit(present)
    np.testing.assert_allclose(fitted.weight[:, 0], [1.0, 7.0, 3.0], atol=1e-4)


@pytest.mark.parametrize("copies", [2, 5])
def test_copies_of_a_feature_share_its_weight_and_stay_finite(copies: int) -> None:
    rng = np.random.default_rng(5)
    x = np.repeat(rng.normal(size=(8, 50, 2)), copies, axis=2)
    wanted = [one[:, :1] - 3 * one[:, -1:] for one in x]
    fitted = moments_of(list(zip(x, wanted, strict=True))).fit(zero(2 * copies, 1))
    np.testing.assert_allclose(fitted.weight.reshape(2, copies).sum(axis=1), [1.0, -3.0], atol=1e-4)


def test_the_sums_do_not_depend_on_how_positions_are_grouped_into_images() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    whole, parts = moments_of([(x, y)]).total, moments_of([(x[:15], y[:15]), (x[15:], y[15:])]).total
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert whole[0][-1, -1] == 40
