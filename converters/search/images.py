"""The images of a search: those that the workshop learns from, and others that paths are compared on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from converters.datasets import IGNORE, DatasetError, SegmentationDataset
from converters.errors import ConvertError
from converters.evaluate import readable, spread
from edge.bundle import InputSpec
from edge.prepare import prepare

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]

UNLABELLED = "images"
LEAST_CALIBRATION = 8
LEAST_SEARCH = 4
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class ImageSource:
    """Frames by number (HxWx3 uint8 BGR), with masks of network labels (HxW uint8, 255 void) where there are any."""

    spec: str
    names: tuple[str, ...]
    read: Callable[[int], tuple[Frame, Mask | None]]

    def __len__(self) -> int:
        return len(self.names)


def open_images(spec: str, labels: Sequence[str] | None) -> ImageSource:
    """A labelled set KIND:DIR, or ``images:DIR``, a folder of images without labels.

    `labels` are the network's; None when masks are of no interest. Raises ConvertError.
    """
    kind, _, where = spec.partition(":")
    if kind == UNLABELLED:
        return _folder(spec, Path(where).expanduser())
    with readable(spec) as dataset:
        table = None if labels is None else label_table(dataset, labels)

        def read(index: int) -> tuple[Frame, Mask | None]:
            try:
                image, raw = dataset.read(index)
            except DatasetError as error:
                raise ConvertError(str(error)) from error
            return image, None if table is None else table[raw]

        return ImageSource(spec, tuple(str(pair.image) for pair in dataset.pairs), read)


def label_table(dataset: SegmentationDataset, labels: Sequence[str]) -> npt.NDArray[np.uint8]:
    """256 entries, dataset id to network label: by name, or by position when there are as many of other names.

    Raises ConvertError when the classes cannot be the network's.
    """
    ids = {label.lower(): number for number, label in enumerate(labels)}
    named = [ids.get(name.lower()) for name in dataset.classes]
    table = np.full(256, IGNORE, np.uint8)
    if None in named and len(dataset.classes) != len(labels):
        missing = [name for name, number in zip(dataset.classes, named, strict=True) if number is None]
        raise ConvertError(
            f"{dataset.spec}: its classes {', '.join(missing[:4])} are no labels of these weights, which have "
            f"{len(labels)} labels for {len(dataset.classes)} classes; give a set with the weights' own classes, or "
            f"{UNLABELLED}:DIR to compare paths with the full network instead"
        )
    for number, name in enumerate(named):
        table[number] = number if None in named or name is None else name
    return table


def chosen(calibration: str, calibration_images: int, search: str, search_images: int) -> tuple[list[int], list[int]]:
    """Which images of the two sets are used: evenly spread, and none for both when the sets are one.

    Raises ConvertError naming the set that is too small.
    """
    first = open_images(calibration, None)
    learnt = spread(len(first), calibration_images)
    if len(learnt) < LEAST_CALIBRATION:
        raise ConvertError(
            f"--calibration {calibration}: {len(learnt)} images are too few to tell which channels matter; "
            f"give {LEAST_CALIBRATION} or more (32 are usual)"
        )
    second = open_images(search, None)
    used = {first.names[index] for index in learnt}
    left = [index for index, name in enumerate(second.names) if name not in used]
    compared = [left[place] for place in spread(len(left), search_images)]
    if len(compared) < LEAST_SEARCH:
        raise ConvertError(
            f"--search-set {search}: {len(compared)} images are left that are not used for calibration; "
            f"give {LEAST_SEARCH} or more (64 are usual)"
        )
    return learnt, compared


def at_size(frame: Frame, size: tuple[int, int]) -> Frame:
    """The frame (HxWx3) brought to an input as the runtime does it, uint8."""
    out: Frame = np.empty((*size, 3), np.uint8)
    prepare(frame, InputSpec(height=size[0], width=size[1], dtype="uint8"), out)
    return out


def content_hash(source: ImageSource, indices: Sequence[int]) -> str:
    """Changes when a name, an image's pixels or a mask does."""
    whole = hashlib.sha256(source.spec.partition(":")[0].encode())
    for index in indices:
        frame, mask = source.read(index)
        whole.update(Path(source.names[index]).name.encode())
        whole.update(frame.tobytes())
        whole.update(b"" if mask is None else mask.tobytes())
    return whole.hexdigest()


def _folder(spec: str, root: Path) -> ImageSource:
    if not root.is_dir():
        raise ConvertError(f"dataset {spec!r}: no such directory {root}")
    files = sorted(file for file in root.iterdir() if file.suffix.lower() in _SUFFIXES)
    if not files:
        raise ConvertError(f"{root}: no images found ({', '.join(_SUFFIXES)})")

    def read(index: int) -> tuple[Frame, Mask | None]:
        image = cv2.imread(str(files[index]), cv2.IMREAD_COLOR)
        if image is None:
            raise ConvertError(f"{files[index]}: not an image that OpenCV can decode; remove or replace the file")
        return image.astype(np.uint8, copy=False), None

    return ImageSource(spec, tuple(map(str, files)), read)
