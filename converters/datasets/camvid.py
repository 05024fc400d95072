"""CamVid as the SegNet tutorial ships it: `train/` beside `trainannot/`; ids 0..10, 11 void."""

from __future__ import annotations

from pathlib import Path

from converters.datasets.contract import IGNORE, SegmentationDataset
from converters.datasets.files import pair_up
from converters.datasets.masks import mask_reader

CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
_VOID = len(CAMVID_CLASSES)
_IDS = {**{number: number for number in range(_VOID)}, _VOID: IGNORE, IGNORE: IGNORE}


def open_camvid(spec: str, folder: Path) -> SegmentationDataset:
    """`folder` holds the images of one split; their masks lie in the folder of its name + `annot`."""
    pairs = pair_up(folder, folder.with_name(folder.name + "annot"))
    return SegmentationDataset(spec, CAMVID_CLASSES, pairs, mask_reader(_IDS, f"CamVid has 0..{_VOID}"))
