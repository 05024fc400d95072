"""Files of labelled sets: images decoded or refused by name, images and masks paired, texts read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from converters.datasets.error import DatasetError

Image = npt.NDArray[np.uint8]
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


@dataclass(frozen=True)
class Pair:
    """One image file and its mask file."""

    image: Path
    mask: Path


def read_image(path: Path) -> Image:
    """HxWx3 uint8 BGR as stored, EXIF rotation not applied. Raises DatasetError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot read the image: {error.strerror}") from error
    if content.startswith(_JPEG_START) and content.rfind(_JPEG_END) < len(content) // 2:
        # OpenCV decodes such a file and fills what is missing with grey, without a word.
        raise DatasetError(f"{path}: the JPEG image is cut short; fetch it again or remove it")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None:
        raise DatasetError(f"{path}: not an image that OpenCV can decode; remove or replace the file")
    decoded: Image = image.astype(np.uint8, copy=False)
    return decoded


def read_text(path: Path) -> str:
    """A text in UTF-8. Raises DatasetError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not text in UTF-8 ({error.reason} at byte {error.start})") from error


def images_in(folder: Path) -> list[Path]:
    """Image files of a folder, by name. Raises DatasetError when the folder is missing or holds none."""
    need_folder(folder)
    found = _images(folder)
    if not found:
        raise DatasetError(f"{folder}: no images found ({', '.join(IMAGE_SUFFIXES)})")
    return found


def need_folder(folder: Path) -> Path:
    """The folder itself; raises DatasetError when there is none."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such directory")
    return folder


def pair_up(
    images: Path, masks: Path, image_suffix: str = "", mask_suffix: str = "", *, nested: bool = False
) -> tuple[Pair, ...]:
    """Pairs of images and masks whose stems are equal but for the two suffixes, in order of their names.

    `nested` looks into the folders of both, which have equal names. Raises DatasetError naming a folder that is missing
    or empty, a file without its partner, or two of one name.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such directory; images and masks are read as pairs of equal names")
    pairs: list[Pair] = []
    for name in _folders(images, masks) if nested else ["."]:
        pairs += _pairs_of(images / name, masks / name, image_suffix, mask_suffix)
    if not pairs:
        raise DatasetError(f"{images}: no images found ({', '.join(IMAGE_SUFFIXES)})")
    return tuple(pairs)


def _folders(*roots: Path) -> list[str]:
    return sorted({folder.name for root in roots for folder in root.iterdir() if folder.is_dir()})


def _pairs_of(images: Path, masks: Path, image_suffix: str, mask_suffix: str) -> list[Pair]:
    by_image, by_mask = _by_stem(_images(images), image_suffix), _by_stem(_images(masks), mask_suffix)
    for stem, image in by_image.items():
        if stem not in by_mask:
            raise DatasetError(f"{image}: no mask named {stem}{mask_suffix}.png in {masks}")
    for stem, mask in by_mask.items():
        if stem not in by_image:
            raise DatasetError(f"{mask}: no image named {stem}{image_suffix} in {images}; remove the mask or add it")
    return [Pair(image, by_mask[stem]) for stem, image in by_image.items()]


def _images(folder: Path) -> list[Path]:
    # Leading dots: what macOS archives leave behind (._name.png) is no image.
    names = (path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(path for path in names if not path.name.startswith("."))


def _by_stem(files: Iterable[Path], suffix: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        if not path.stem.endswith(suffix):
            continue
        stem = path.stem.removesuffix(suffix)
        if stem in found:
            raise DatasetError(f"{path}: {found[stem].name} has the same name; which of the two is meant?")
        found[stem] = path
    return found
