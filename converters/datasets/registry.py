"""From a spec ``KIND:DIR`` to an open set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from converters.datasets.ade20k import open_ade20k
from converters.datasets.camvid import open_camvid
from converters.datasets.cityscapes import open_cityscapes
from converters.datasets.coco import open_coco
from converters.datasets.contract import LabelledSet, SegmentationDataset
from converters.datasets.error import DatasetError
from converters.datasets.folder import open_folder
from converters.datasets.imagenet import open_imagenet
from converters.datasets.voc import open_voc

READERS: dict[str, Callable[[str, Path], LabelledSet]] = {
    "ade20k": open_ade20k,
    "camvid": open_camvid,
    "cityscapes": open_cityscapes,
    "coco": open_coco,
    "folder": open_folder,
    "imagenet": open_imagenet,
    "voc": open_voc,
}
_TAKE_FILES = ("coco", "voc")


def open_any(spec: str) -> LabelledSet:
    """Open a labelled set of any task; docs/datasets.md says what DIR is for each kind. Raises DatasetError."""
    kind, where = place_of(spec)
    return READERS[kind](spec, where)


def open_dataset(spec: str) -> SegmentationDataset:
    """Open a set of images with masks; raises DatasetError for any other."""
    opened = open_any(spec)
    if not isinstance(opened, SegmentationDataset):
        raise DatasetError(f"dataset {spec!r}: has no masks; a segmentation set is needed, such as camvid:DIR")
    return opened


def place_of(spec: str) -> tuple[str, Path]:
    """The kind and the existing place that a spec names. Raises DatasetError."""
    kind, separator, where = spec.partition(":")
    if not separator or kind not in READERS:
        raise DatasetError(f"dataset {spec!r}: expected KIND:DIR with KIND one of {', '.join(READERS)}")
    place = Path(where).expanduser()
    try:
        exists = place.is_dir() or (kind in _TAKE_FILES and place.is_file())
    except (OSError, ValueError):  # a name that no file system takes
        exists = False
    if not exists or not where:
        raise DatasetError(f"dataset {spec!r}: no such directory {place}")
    return kind, place
