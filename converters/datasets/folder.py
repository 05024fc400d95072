"""A plain folder: `images/`, `masks/` with class ids as they are (255 void), and `labels.txt`, one class a line."""

from __future__ import annotations

from pathlib import Path

from converters.datasets.contract import IGNORE, SegmentationDataset
from converters.datasets.error import DatasetError
from converters.datasets.files import need_folder, pair_up, read_text
from converters.datasets.masks import plain_masks


def open_folder(spec: str, folder: Path) -> SegmentationDataset:
    """Raises DatasetError when the class names are missing or more than masks of bytes can tell apart."""
    labels = need_folder(folder) / "labels.txt"
    if not labels.is_file():
        raise DatasetError(f"dataset {spec!r}: {labels} is missing; write one class name a line")
    classes = tuple(line.strip() for line in read_text(labels).splitlines() if line.strip())
    if not 1 <= len(classes) <= IGNORE:
        raise DatasetError(f"{labels}: names {len(classes)} classes; masks of bytes hold 1 to {IGNORE}")
    return SegmentationDataset(spec, classes, pair_up(folder / "images", folder / "masks"), plain_masks(len(classes)))
