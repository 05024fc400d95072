"""ADE20K as its scene parsing benchmark ships it (ADEChallengeData2016): 150 classes, stored as 1..150, 0 is void."""

from __future__ import annotations

from pathlib import Path

from converters.datasets.contract import IGNORE, SegmentationDataset
from converters.datasets.error import DatasetError
from converters.datasets.files import pair_up
from converters.datasets.masks import mask_reader

# The short names that published checkpoints carry, in the order of objectInfo150.txt.
ADE20K_CLASSES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet",
    "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water",
    "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk",
    "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box", "column", "signboard",
    "chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path",
    "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase",
    "blind", "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus", "towel", "light",
    "truck", "tower", "chandelier", "awning", "streetlight", "booth", "television receiver", "airplane", "dirt track",
    "apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van",
    "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool", "barrel",
    "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank", "trade name",
    "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket", "sculpture", "hood", "sconce",
    "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor", "bulletin board",
    "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip
_IDS = {0: IGNORE, IGNORE: IGNORE, **{number + 1: number for number in range(len(ADE20K_CLASSES))}}


def open_ade20k(spec: str, folder: Path) -> SegmentationDataset:
    """`folder` is one split's images, `.../images/validation`; its masks lie in `.../annotations/validation`."""
    if folder.parent.name != "images":
        raise DatasetError(
            f"dataset {spec!r}: name the folder of one split's images, as in "
            "ade20k:ADEChallengeData2016/images/validation"
        )
    pairs = pair_up(folder, folder.parent.parent / "annotations" / folder.name)
    return SegmentationDataset(spec, ADE20K_CLASSES, pairs, mask_reader(_IDS, "ADE20K has 0 (void) and 1..150"))
