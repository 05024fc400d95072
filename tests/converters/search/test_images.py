"""Which images a search uses, and what it says of sets that will not do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.errors import ConvertError
from converters.search.images import chosen, content_hash, open_images
from tests.converters.search.streets import LABELS, write_set


def test_no_image_is_for_both_when_the_sets_are_one(tmp_path: Path) -> None:
    spec = write_set(tmp_path / "set", 20)
    learnt, compared = chosen(spec, 8, spec, 99)
    assert len(learnt) == 8
    assert sorted(learnt + compared) == list(range(20))


def test_two_sets_are_used_each_by_itself(tmp_path: Path) -> None:
    first, second = write_set(tmp_path / "a", 9), write_set(tmp_path / "b", 6)
    assert chosen(first, 8, second, 5) == ([0, 1, 2, 3, 5, 6, 7, 8], [0, 1, 3, 4, 5])


def test_too_few_images_are_named_with_what_to_do(tmp_path: Path) -> None:
    small, large = write_set(tmp_path / "small", 6), write_set(tmp_path / "large", 11)
    with pytest.raises(ConvertError, match=rf"--calibration {small}: 6 images are too few .* give 8 or more"):
        chosen(small, 32, large, 8)
    with pytest.raises(ConvertError, match=rf"--search-set {large}: 3 images are left .* give 4 or more"):
        chosen(large, 8, large, 64)


def test_masks_come_with_the_networks_labels(tmp_path: Path) -> None:
    source = open_images(write_set(tmp_path / "set", 1), ("car", "other", "Sky", "road"))
    raw = open_images(f"folder:{tmp_path}/set", LABELS)
    _, mask = source.read(0)
    _, own = raw.read(0)
    assert mask is not None
    assert own is not None
    assert np.array_equal(mask, np.array([2, 3, 0], np.uint8)[own])


def test_classes_that_cannot_be_the_networks(tmp_path: Path) -> None:
    with pytest.raises(
        ConvertError, match=r"its classes sky, road are no labels .* 4 labels for 3 classes; .*images:DIR"
    ):
        open_images(write_set(tmp_path / "set", 1), ("car", "tree", "sign", "pole"))


def test_a_mask_that_is_missing_is_named(tmp_path: Path) -> None:
    spec = write_set(tmp_path / "set", 3)
    (tmp_path / "set" / "masks" / "001.png").unlink()
    with pytest.raises(ConvertError, match=r"images/001.png: no mask named 001.png"):
        open_images(spec, LABELS)


def test_images_without_labels(tmp_path: Path) -> None:
    write_set(tmp_path / "set", 3)
    source = open_images(f"images:{tmp_path}/set/images", LABELS)
    frame, mask = source.read(2)
    assert (len(source), frame.shape, mask) == (3, (48, 64, 3), None)
    with pytest.raises(ConvertError, match="no such directory"):
        open_images("images:/nowhere/at/all", LABELS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConvertError, match=r"empty: no images found"):
        open_images(f"images:{tmp_path}/empty", LABELS)


def test_the_hash_sees_pixels_and_masks(tmp_path: Path) -> None:
    spec = write_set(tmp_path / "a", 3)
    before = content_hash(open_images(spec, LABELS), [0, 1])
    assert content_hash(open_images(spec, LABELS), [0, 1]) == before
    assert content_hash(open_images(spec, LABELS), [0, 2]) != before
    (tmp_path / "a" / "masks" / "002.png").replace(tmp_path / "a" / "masks" / "001.png")
    (tmp_path / "a" / "masks" / "002.png").write_bytes((tmp_path / "a" / "masks" / "000.png").read_bytes())
    assert content_hash(open_images(spec, LABELS), [0, 1]) != before
