"""What the change detector sees, and what it must not mind: noise, drifting light."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.change import GRID, ChangeDetector, compare, thumbnail

Image = npt.NDArray[np.uint8]
S = 1_000_000_000


def scene(seed: int = 0, height: int = 540, width: int = 960) -> Image:
    """Soft shapes of middling contrast."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    waves: npt.NDArray[np.float64] = np.zeros((height, width))
    for _ in range(4):
        waves += rng.uniform(10, 25) * np.sin(rows * rng.uniform(0.005, 0.03) + columns * rng.uniform(0.005, 0.03))
    image: Image = np.clip(np.stack([120 + waves, 110 + waves, 100 + waves], axis=2), 0, 255).astype(np.uint8)
    return image


def noisy(image: Image, sigma: float, seed: int, gain: float = 1.0) -> Image:
    rng = np.random.default_rng(seed)
    return np.clip(gain * image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)


def test_a_thumbnail_holds_the_means_of_the_cells() -> None:
    image = np.zeros((180, 320, 3), np.uint8)
    image[:10, :10] = (10, 20, 30)
    cells = thumbnail(image)
    assert cells.shape == (*GRID, 3)
    assert cells[0, 0].tolist() == [10, 20, 30]
    assert cells[1:].sum() == 0


@settings(deadline=None)
@given(st.sampled_from([(48, 64), (90, 160), (360, 480), (540, 960), (1080, 1920), (37, 53)]))
def test_pictures_of_any_size_have_thumbnails_of_one_size(size: tuple[int, int]) -> None:
    assert thumbnail(np.full((*size, 3), 77, np.uint8)).tolist() == np.full((*GRID, 3), 77.0).tolist()


def test_the_first_frame_is_new_and_the_same_again_is_not() -> None:
    detector, image = ChangeDetector(), scene()
    assert [detector.unchanged(image, at * S // 30) for at in range(4)] == [False, True, True, True]
    detector.forget()
    assert not detector.unchanged(image, 5 * S // 30)


def test_an_answer_is_renewed_after_its_time_and_when_time_runs_back() -> None:
    detector, image = ChangeDetector(longest_s=1.0), scene()
    at_s = [0.0, 0.5, 0.999, 1.0, 1.5, 2.0, 1.9]
    assert [detector.unchanged(image, round(at * S)) for at in at_s] == [False, True, True, False, True, False, False]


@pytest.mark.parametrize("sigma", [0.0, 2.0, 5.0, 10.0])
def test_a_sensors_noise_is_no_change(sigma: float) -> None:
    detector, image = ChangeDetector(), scene()
    found = [detector.unchanged(noisy(image, sigma, seed), seed * S // 100) for seed in range(30)]
    assert found == [False] + [True] * 29


def test_drifting_light_is_no_change_and_a_lamp_that_goes_out_is() -> None:
    detector, image = ChangeDetector(), scene()
    found = [detector.unchanged(noisy(image, 2.0, at, 1 + 0.002 * at), at * S // 50) for at in range(40)]
    assert found == [False] + [True] * 39
    assert not detector.unchanged(noisy(image, 2.0, 99, 0.6), 41 * S // 50)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 510), st.integers(0, 900), st.integers(15, 60), st.sampled_from([-60, -45, 45, 60]), st.booleans()
)
def test_a_thing_as_large_as_a_quarter_of_a_cell_is_seen_wherever_it_is(
    top: int, left: int, size: int, contrast: int, grainy: bool
) -> None:
    before = scene()
    after = before.astype(np.int16)
    after[top : top + size, left : left + size] += contrast
    after_image = np.clip(after, 0, 255).astype(np.uint8)
    detector = ChangeDetector(threshold=2.0)
    sigma = 2.0 if grainy else 0.0
    assert not detector.unchanged(noisy(before, sigma, 1), 0)
    # Over the corner of four cells it changes each of them by a quarter of what it is.
    assert compare(thumbnail(after_image), thumbnail(before)).largest > 2.0
    assert not detector.unchanged(noisy(after_image, sigma, 2), S // 10)


def test_what_was_reused_is_compared_with_what_was_computed_not_with_the_frame_before() -> None:
    """A thing that grows so slowly that no two neighbours differ is seen in the end."""
    detector = ChangeDetector(threshold=6.0, longest_s=1e6)
    found = []
    for at in range(20):
        image = scene()
        image[200:300, 400:500] = np.minimum(image[200:300, 400:500], 255 - at) + at  # a level each frame
        found.append(detector.unchanged(image, at * S))
    assert found.count(False) == 3  # at 0, 7 and 14 levels


def test_movement_of_everything_is_not_taken_for_noise() -> None:
    detector = ChangeDetector()
    for at in range(60):
        assert not detector.unchanged(np.roll(scene(), 12 * at, axis=1), at * S // 30)
