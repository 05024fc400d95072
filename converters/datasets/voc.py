"""PASCAL VOC segmentation: the published VOCdevkit, or a folder of `images/` and `masks/`; palette PNGs, 255 void."""

from __future__ import annotations

from pathlib import Path

from converters.datasets.contract import SegmentationDataset
from converters.datasets.error import DatasetError
from converters.datasets.files import Pair, pair_up, read_text
from converters.datasets.masks import plain_masks

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


def open_voc(spec: str, where: Path) -> SegmentationDataset:
    """`where` is a list of names as `VOC2012/ImageSets/Segmentation/val.txt`, or a folder of `images/` and `masks/`."""
    if where.is_file():
        pairs = _listed(where)
    elif (where / "JPEGImages").is_dir():
        raise DatasetError(
            f"dataset {spec!r}: all splits share JPEGImages; name a list, as in "
            f"voc:{where / 'ImageSets' / 'Segmentation' / 'val.txt'}"
        )
    else:
        pairs = pair_up(where / "images", where / "masks")
    return SegmentationDataset(spec, VOC_CLASSES, pairs, plain_masks(len(VOC_CLASSES)))


def _listed(file: Path) -> tuple[Pair, ...]:
    root = file.resolve().parent.parent.parent
    names = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    pairs = []
    for name in names:
        if "/" in name or "\\" in name or name.split() != [name]:
            raise DatasetError(f"{file}: {name!r} is no name of an image; expected one name a line, as 2007_000033")
        pair = Pair(root / "JPEGImages" / f"{name}.jpg", root / "SegmentationClass" / f"{name}.png")
        for path in (pair.image, pair.mask):
            if not path.is_file():
                raise DatasetError(f"{path}: is missing, but {file} lists {name}")
        pairs.append(pair)
    if not pairs:
        raise DatasetError(f"{file}: lists no images")
    return tuple(pairs)
