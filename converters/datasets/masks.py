"""Masks: one byte a pixel, turned from a set's own ids into class ids by a table."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.datasets.contract import IGNORE, Mask
from converters.datasets.error import DatasetError

_UNKNOWN = -1


def mask_reader(ids: Mapping[int, int], what: str) -> Callable[[Path], Mask]:
    """A reader of masks whose stored ids mean the classes `ids` gives them (`IGNORE` for void).

    It raises DatasetError for a file that is no mask, and for an id without a meaning; `what` says which are known.
    """
    table = np.full(256, _UNKNOWN, np.int16)
    for stored, meant in ids.items():
        table[stored] = meant

    def read(path: Path) -> Mask:
        stored = read_ids(path)
        meant = table[stored]
        if (meant == _UNKNOWN).any():
            unknown = int(stored[meant == _UNKNOWN][0])
            raise DatasetError(f"{path}: holds the id {unknown}, which has no class; {what}")
        return meant.astype(np.uint8)

    return read


def plain_masks(classes: int) -> Callable[[Path], Mask]:
    """A reader of masks that store class ids as they are, 255 void."""
    ids = {number: number for number in range(min(classes, IGNORE))}
    return mask_reader({**ids, IGNORE: IGNORE}, f"known are 0..{classes - 1} and 255 for void")


def read_ids(path: Path) -> npt.NDArray[np.uint8]:
    """The stored bytes of a palette or grey image, HxW uint8. Raises DatasetError."""
    # Pillow keeps palette indices; OpenCV would turn a palette PNG into colours.
    from PIL import Image as PillowImage

    try:
        with PillowImage.open(path) as opened:
            mode, stored = opened.mode, np.array(opened)
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        struct.error,
        zlib.error,
        PillowImage.DecompressionBombError,
    ) as e:
        raise DatasetError(f"{path}: cannot read the mask: {e or type(e).__name__}") from e
    if mode not in ("P", "L"):
        raise DatasetError(
            f"{path}: the mask has mode {mode}, expected one byte a pixel that is its class id (P or L); "
            "a picture of the classes' colours is no mask"
        )
    return stored.astype(np.uint8, copy=False)
