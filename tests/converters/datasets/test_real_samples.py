"""CamVid and VOC against the real samples: what is read is what the files hold, all of them are pairs."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from converters.datasets import CAMVID_CLASSES, IGNORE, VOC_CLASSES, open_dataset

DATA = Path(os.environ.get("JOULEPATH_DATA", Path(__file__).parents[4] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not (DATA / "camvid").is_dir(), reason="needs the data of $JOULEPATH_DATA")


@pytest.mark.parametrize(
    ("spec", "count", "classes", "size"),
    [
        (f"camvid:{DATA}/camvid/train", 367, CAMVID_CLASSES, (360, 480)),
        (f"camvid:{DATA}/camvid/val", 101, CAMVID_CLASSES, (360, 480)),
        (f"voc:{DATA}/voc-val", 120, VOC_CLASSES, None),
        (f"voc:{DATA}/voc-train", 1500, VOC_CLASSES, None),
    ],
)
def test_real_pairs_are_read_as_they_are_stored(
    spec: str, count: int, classes: tuple[str, ...], size: tuple[int, int] | None
) -> None:
    dataset = open_dataset(spec)
    assert (len(dataset), dataset.classes) == (count, classes)
    for index in np.linspace(0, count - 1, 6).astype(int):
        pair = dataset.pairs[index]
        assert pair.image.stem == pair.mask.stem
        image, mask = dataset.read(int(index))
        stored = np.array(PillowImage.open(pair.mask))
        void = 11 if "camvid" in spec else IGNORE
        assert np.array_equal(mask == IGNORE, stored == void)
        assert np.array_equal(mask[mask != IGNORE], stored[stored != void])
        assert np.array_equal(image, cv2.imread(str(pair.image)))
        assert size is None or image.shape[:2] == size


def test_every_class_of_camvid_occurs_with_its_name() -> None:
    """The classes are where such a drive has them: sky above the road, cars between."""
    dataset = open_dataset(f"camvid:{DATA}/camvid/val")
    rows = {name: [] for name in CAMVID_CLASSES}
    for index in range(0, len(dataset), 10):
        mask = dataset.read_mask(dataset.pairs[index].mask)
        for number, name in enumerate(CAMVID_CLASSES):
            rows[name].extend(np.nonzero(mask == number)[0][::50])
    mean = {name: float(np.mean(found)) for name, found in rows.items()}
    assert mean["sky"] < mean["building"] < mean["car"] < mean["road"]
    assert mean["tree"] < mean["pavement"]
