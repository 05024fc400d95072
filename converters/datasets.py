"""Readers of labelled image sets: one iterator of ``(image, mask)`` pairs, whatever the layout on disk.

A dataset is named by a spec ``KIND:DIR``. Images come as HxWx3 uint8 BGR, masks as HxW uint8 class ids in which
`IGNORE` (255) marks void pixels that no metric may count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

IGNORE = 255
CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]


class DatasetError(Exception):
    """A dataset that cannot be read; the message names the path and what to do."""


@dataclass(frozen=True)
class Pair:
    """One image file and its mask file."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class SegmentationDataset:
    """A list of pairs with the class names their ids mean."""

    spec: str
    classes: tuple[str, ...]
    pairs: tuple[Pair, ...]
    read_mask: Callable[[Path], Mask]

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> tuple[Image, Mask]:
        """The image (HxWx3 uint8 BGR) and mask (HxW uint8, 255 void) of one pair.

        Raises DatasetError when a file cannot be decoded, the two differ in size, or an id has no class.
        """
        pair = self.pairs[index]
        image = cv2.imread(str(pair.image), cv2.IMREAD_COLOR)
        if image is None:
            raise DatasetError(f"{pair.image}: not an image that OpenCV can decode; remove or replace the file")
        mask = self.read_mask(pair.mask)
        if mask.shape != image.shape[:2]:
            raise DatasetError(
                f"{pair.mask}: mask is {mask.shape[1]}x{mask.shape[0]} but its image is "
                f"{image.shape[1]}x{image.shape[0]}; they must be the same size"
            )
        known = mask[mask != IGNORE]
        if known.size and int(known.max()) >= len(self.classes):
            raise DatasetError(
                f"{pair.mask}: class id {int(known.max())} is outside 0..{len(self.classes) - 1} of {self.spec!r}"
            )
        return image.astype(np.uint8, copy=False), mask

    def __iter__(self) -> Iterator[tuple[Image, Mask]]:
        return (self.read(i) for i in range(len(self)))


def open_dataset(spec: str) -> SegmentationDataset:
    """Open ``camvid:DIR``, ``voc:DIR`` or ``folder:DIR``.

    ``camvid:DIR`` is one split (``DIR`` holds images, ``DIR`` + ``annot`` their masks, ids 0..10, 11 void);
    ``voc:DIR`` and ``folder:DIR`` hold ``images/`` and ``masks/`` (VOC palette PNGs; 255 void).
    A ``folder:`` set takes its class names from ``DIR/labels.txt``, one a line. Raises DatasetError.
    """
    kind, separator, where = spec.partition(":")
    if not separator or kind not in _READERS:
        raise DatasetError(f"dataset {spec!r}: expected KIND:DIR with KIND one of {', '.join(sorted(_READERS))}")
    root = Path(where).expanduser()
    if not root.is_dir():
        raise DatasetError(f"dataset {spec!r}: no such directory {root}")
    return _READERS[kind](spec, root)


def _open_camvid(spec: str, root: Path) -> SegmentationDataset:
    return SegmentationDataset(
        spec, CAMVID_CLASSES, _pair_up(root, root.with_name(root.name + "annot")), _read_camvid_mask
    )


def _open_voc(spec: str, root: Path) -> SegmentationDataset:
    return SegmentationDataset(spec, VOC_CLASSES, _pair_up(root / "images", root / "masks"), _read_palette_mask)


def _open_folder(spec: str, root: Path) -> SegmentationDataset:
    labels = root / "labels.txt"
    if not labels.is_file():
        raise DatasetError(f"dataset {spec!r}: {labels} is missing; write one class name a line")
    classes = tuple(line.strip() for line in labels.read_text(encoding="utf-8").splitlines() if line.strip())
    return SegmentationDataset(spec, classes, _pair_up(root / "images", root / "masks"), _read_palette_mask)


_READERS = {"camvid": _open_camvid, "voc": _open_voc, "folder": _open_folder}


def _pair_up(images: Path, masks: Path) -> tuple[Pair, ...]:
    for folder in (images, masks):
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such directory; images and masks are read as pairs of equal names")
    by_stem = {p.stem: p for p in sorted(masks.iterdir()) if p.suffix.lower() in _IMAGE_SUFFIXES}
    pairs = []
    for image in sorted(p for p in images.iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES):
        if image.stem not in by_stem:
            raise DatasetError(f"{image}: no mask named {image.stem}.png in {masks}")
        pairs.append(Pair(image, by_stem[image.stem]))
    if not pairs:
        raise DatasetError(f"{images}: no images found")
    return tuple(pairs)


def _read_camvid_mask(path: Path) -> Mask:
    mask = _read_palette_mask(path)
    mask[mask == len(CAMVID_CLASSES)] = IGNORE
    return mask


def _read_palette_mask(path: Path) -> Mask:
    # Pillow keeps palette indices; OpenCV would turn a palette PNG into colours.
    from PIL import Image as PillowImage

    try:
        with PillowImage.open(path) as opened:
            if opened.mode not in ("P", "L"):
                raise DatasetError(f"{path}: mask has mode {opened.mode}; expected one byte a pixel (P or L)")
            return np.array(opened, dtype=np.uint8)
    except OSError as error:
        raise DatasetError(f"{path}: cannot read mask: {error}") from error
