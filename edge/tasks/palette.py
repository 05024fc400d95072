"""Colours for classes: the published ones where a set of labels is known, otherwise colours far from each other."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Palette = npt.NDArray[np.uint8]

# CamVid's own colours for the 11 classes that segmentation papers use (RGB).
_CAMVID = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
_VOC_LABELS = 21


def palette_for(labels: Sequence[str], given: Sequence[tuple[int, int, int]] | None = None) -> Palette:
    """256x3 uint8 RGB, one colour an id; ids without a label are black.

    `given` colours win; CamVid's 11 and VOC's 21 classes get the colours of their data sets.
    """
    names = tuple(label.lower() for label in labels)
    if given is not None:
        colours = list(given)
    elif names == tuple(_CAMVID):
        colours = list(_CAMVID.values())
    elif len(names) == _VOC_LABELS and names[:2] == ("background", "aeroplane"):
        colours = [_voc_colour(i) for i in range(_VOC_LABELS)]
    else:
        colours = [_spread_colour(i) for i in range(len(names))]
    palette: Palette = np.zeros((256, 3), np.uint8)
    used = min(len(colours), 256)
    palette[:used] = np.array(colours[:used], np.uint8).reshape(-1, 3)
    return palette


def _voc_colour(index: int) -> tuple[int, int, int]:
    """PASCAL VOC's colour map: the bits of the id, dealt out to R, G and B from the high end."""
    red = green = blue = 0
    for shift in range(7, -1, -1):
        red |= (index & 1) << shift
        green |= (index >> 1 & 1) << shift
        blue |= (index >> 2 & 1) << shift
        index >>= 3
    return red, green, blue


def _spread_colour(index: int) -> tuple[int, int, int]:
    """Hues one golden angle apart never come close for long; brightness alternates so that neighbours differ too."""
    hue = (index * 0.61803398875) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.85, 0.55)[index // 2 % 2], (0.95, 0.65)[index % 2])
    return round(red * 255), round(green * 255), round(blue * 255)
