"""Painting a mask over its frame."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.tasks.palette import Palette
from edge.tasks.upsample import Mask

Frame = npt.NDArray[np.uint8]


def draw(frame: Frame, mask: Mask, palette: Palette, alpha: float = 0.5) -> Frame:
    """A new picture, HxWx3 uint8 BGR: `frame` with the classes' colours over it.

    `mask` is HxW uint8 of any size (stretched by nearest), `palette` 256x3 RGB, `alpha` the colours' share, 0..1.
    """
    if mask.shape != frame.shape[:2]:
        mask = resize_mask(mask, (frame.shape[0], frame.shape[1]))
    colours = cv2.applyColorMap(mask, np.ascontiguousarray(palette[:, None, ::-1]))
    painted: Frame = cv2.addWeighted(frame, 1 - alpha, colours, alpha, 0, dst=colours)
    return painted


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """The mask (HxW uint8) at another size (H, W), each pixel taking the nearest id."""
    if mask.shape == size:
        return mask
    resized: Mask = cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized
