"""Cityscapes: `leftImg8bit/SPLIT/CITY` beside `gtFine/SPLIT/CITY`; label ids become the 19 train ids.

Where only masks of train ids were kept (`*_gtFine_labelTrainIds.png`), these are read as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from converters.datasets.contract import IGNORE, Mask, SegmentationDataset
from converters.datasets.error import DatasetError
from converters.datasets.files import pair_up
from converters.datasets.masks import mask_reader

# Name and label id of each class that is scored, in the order of the train ids.
_SCORED = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26,
    "truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
CITYSCAPES_CLASSES = tuple(_SCORED)
_LABELS = 34  # label ids 0..33; all that are not scored are void
_LABEL_IDS = {
    **dict.fromkeys(range(_LABELS), IGNORE),
    **{label: number for number, label in enumerate(_SCORED.values())},
    IGNORE: IGNORE,
}
_TRAIN_IDS = {**{number: number for number in range(len(_SCORED))}, IGNORE: IGNORE}


def open_cityscapes(spec: str, folder: Path) -> SegmentationDataset:
    """`folder` is one split's images, `.../leftImg8bit/val`, with a folder for each city."""
    if folder.parent.name != "leftImg8bit":
        raise DatasetError(
            f"dataset {spec!r}: name the folder of one split's images, as in cityscapes:cityscapes/leftImg8bit/val"
        )
    masks = folder.parent.parent / "gtFine" / folder.name
    suffix, read = _kind_of(masks)
    pairs = pair_up(folder, masks, "_leftImg8bit", suffix, nested=True)
    return SegmentationDataset(spec, CITYSCAPES_CLASSES, pairs, read)


def _kind_of(masks: Path) -> tuple[str, Callable[[Path], Mask]]:
    """The suffix of the masks, and how they are read: label ids, or train ids where there are no others."""
    if masks.is_dir() and not any(masks.glob("*/*_gtFine_labelIds.png")) and any(masks.glob("*/*_labelTrainIds.png")):
        return "_gtFine_labelTrainIds", mask_reader(_TRAIN_IDS, "train ids are 0..18 and 255 for void")
    return "_gtFine_labelIds", mask_reader(_LABEL_IDS, f"Cityscapes has label ids 0..{_LABELS - 1}")
