"""What a labelled set is once it is open, whatever its layout on disk.

Images come as HxWx3 uint8 BGR as they are stored (an EXIF rotation is not applied: masks and boxes do not know of it),
masks as HxW uint8 class ids in which `IGNORE` (255) marks void pixels that no metric may count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.datasets.error import DatasetError
from converters.datasets.files import Image, Pair, read_image

IGNORE = 255
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SegmentationDataset:
    """A list of pairs with the class names their ids mean."""

    spec: str
    classes: tuple[str, ...]
    pairs: tuple[Pair, ...]
    read_mask: Callable[[Path], Mask]

    def __len__(self) -> int:
        return len(self.pairs)

    def image(self, index: int) -> Image:
        """One image without its mask; raises DatasetError."""
        return read_image(self.pairs[index].image)

    def read(self, index: int) -> tuple[Image, Mask]:
        """The image and mask of one pair.

        Raises DatasetError when a file cannot be decoded, the two differ in size, or an id has no class.
        """
        pair, image = self.pairs[index], self.image(index)
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
        return image, mask

    def __iter__(self) -> Iterator[tuple[Image, Mask]]:
        return (self.read(i) for i in range(len(self)))


@dataclass(frozen=True)
class Labelled:
    """One image file and the number of its class."""

    image: Path
    label: int


@dataclass(frozen=True)
class ClassificationDataset:
    """Images of one class each; `classes` may name more than occur."""

    spec: str
    classes: tuple[str, ...]
    items: tuple[Labelled, ...]

    def __len__(self) -> int:
        return len(self.items)

    def image(self, index: int) -> Image:
        """One image; raises DatasetError when it cannot be decoded."""
        return read_image(self.items[index].image)

    def read(self, index: int) -> tuple[Image, int]:
        """One image and its class."""
        return self.image(index), self.items[index].label


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of its image, x and y of its upper left corner; `crowd` marks a region that no one counts.

    `area` is that of the object, as published: the mask's and not the rectangle's where there is a mask.
    """

    image_id: int
    category_id: int
    x: float
    y: float
    width: float
    height: float
    area: float
    crowd: bool = False


@dataclass(frozen=True)
class DetectionImage:
    """An image that may hold boxes."""

    id: int
    file: Path
    width: int
    height: int


@dataclass(frozen=True)
class DetectionDataset:
    """Images and the boxes in them; `categories` are names by category id."""

    spec: str
    categories: dict[int, str]
    images: tuple[DetectionImage, ...]
    boxes: tuple[Box, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> tuple[str, ...]:
        """The categories' names in the order of their ids."""
        return tuple(self.categories[key] for key in sorted(self.categories))

    def image(self, index: int) -> Image:
        """One image; raises DatasetError when it cannot be decoded or has another size than the annotations say."""
        entry = self.images[index]
        image = read_image(entry.file)
        if image.shape[:2] != (entry.height, entry.width):
            raise DatasetError(
                f"{entry.file}: image is {image.shape[1]}x{image.shape[0]}, its annotations say "
                f"{entry.width}x{entry.height}; the two do not belong together"
            )
        return image

    def read(self, index: int) -> tuple[Image, tuple[Box, ...]]:
        """One image and the boxes in it."""
        wanted = self.images[index].id
        return self.image(index), tuple(box for box in self.boxes if box.image_id == wanted)


LabelledSet = SegmentationDataset | ClassificationDataset | DetectionDataset
