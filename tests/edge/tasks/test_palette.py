from __future__ import annotations

import numpy as np

from edge.tasks.palette import palette_for

CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
VOC = ("background", "aeroplane", *(f"class {i}" for i in range(19)))


def test_camvid_has_its_own_colours() -> None:
    palette = palette_for(CAMVID)
    assert palette.shape == (256, 3)
    assert palette[0].tolist() == [128, 128, 128]
    assert palette[3].tolist() == [128, 64, 128]
    assert not palette[11:].any()


def test_voc_has_its_own_colours() -> None:
    palette = palette_for(VOC)
    expected = {0: [0, 0, 0], 1: [128, 0, 0], 2: [0, 128, 0], 8: [64, 0, 0], 15: [192, 128, 128], 20: [0, 64, 128]}
    assert {i: palette[i].tolist() for i in expected} == expected


def test_any_other_labels_get_distinct_colours() -> None:
    palette = palette_for(tuple(f"class {i}" for i in range(150)))[:150].astype(int)
    assert len(np.unique(palette, axis=0)) == 150
    neighbours = np.abs(np.diff(palette, axis=0)).sum(axis=1)
    assert neighbours.min() > 60


def test_given_colours_win() -> None:
    assert palette_for(CAMVID, [(1, 2, 3)] * 11)[5].tolist() == [1, 2, 3]
