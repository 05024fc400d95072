"""Crops keep image and mask together; batches come from one seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.datasets import IGNORE
from converters.train.crops import CropSettings, Source, draw_batch, draw_crop, mix_classes, sampler_of


def pair(height: int = 60, width: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """An image whose left half is dark class 0 and right half bright class 1."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 1
    image = np.repeat((mask * 200 + 20)[..., None], 3, axis=2)
    return image, mask


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.floats(0.3, 1.0), st.floats(1.0, 3.0))
def test_a_crop_has_the_asked_size_and_image_and_mask_agree(seed: int, low: float, high: float) -> None:
    crop = CropSettings(32, 64, scale=(low, high))
    image, mask = draw_crop(pair(), crop, np.random.default_rng(seed))
    assert image.shape == (32, 64, 3)
    assert mask.shape == (32, 64)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 1, IGNORE}
    brightness = image.mean(2)
    if (mask == 0).sum() > 50 and (mask == 1).sum() > 50:
        assert brightness[mask == 1].mean() > brightness[mask == 0].mean()


def test_a_small_image_is_padded_with_void() -> None:
    _, mask = draw_crop(pair(16, 16), CropSettings(64, 64, scale=(1.0, 1.0)), np.random.default_rng(0))
    assert (mask == IGNORE).sum() >= 64 * 64 - 20 * 20


def test_mixing_pastes_pixels_with_their_labels() -> None:
    black = (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
    image, mask = pair(8, 8)
    (mixed_image, mixed_mask), _ = mix_classes([black, (image, mask + 2)], 1.0, np.random.default_rng(1))
    pasted = mixed_mask != 0
    assert 0 < pasted.sum() < 64
    assert np.array_equal(mixed_image[pasted], image[pasted])
    assert not mixed_image[~pasted].any()


def test_the_same_seed_draws_the_same_batch() -> None:
    sources = [Source(sampler_of([pair(), pair(70, 90)]), 3), Source(sampler_of([pair()]), 1, head=1)]
    crop = CropSettings(32, 32)
    first, second = (draw_batch(sources, crop, np.random.default_rng(5)) for _ in range(2))
    assert first[0].shape == (4, 32, 32, 3)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
