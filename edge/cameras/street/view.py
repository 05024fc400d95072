"""A pinhole camera over a gently bending street, and the canvas that paints image and mask with the same polygons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)

Colour = tuple[float, float, float]
Points = npt.NDArray[np.float64]

NEAR_M = 1.2
FAR_M = 150.0
_SHIFT = 4


@dataclass(frozen=True)
class View:
    """Where the camera is. x is metres to the right of the road's middle, y metres up, z metres ahead of the camera."""

    height: int
    width: int
    focal_px: float
    centre_px: float
    horizon_px: float
    camera_x_m: float
    camera_y_m: float
    bend_per_m: float
    travel_m: float

    def project(self, x: npt.ArrayLike, y: npt.ArrayLike, z: npt.ArrayLike) -> Points:
        """Pixels (..., 2) of points in metres (broadcast together); points nearer than `NEAR_M` are drawn at it."""
        depth = np.maximum(np.asarray(z, np.float64), NEAR_M)
        scale = self.focal_px / depth
        column = self.centre_px + (np.asarray(x) - self.camera_x_m + self.bend_per_m * depth * depth) * scale
        row = self.horizon_px + (self.camera_y_m - np.asarray(y)) * scale
        points = np.empty((*np.broadcast(column, row).shape, 2))
        points[..., 0] = column
        points[..., 1] = row
        return points

    def stand(self, x: float, z: float) -> tuple[float, float, float]:
        """Pixel column and row of the ground point (x, z), and pixels a metre there."""
        scale = self.focal_px / z
        column = self.centre_px + (x - self.camera_x_m + self.bend_per_m * z * z) * scale
        return column, self.horizon_px + self.camera_y_m * scale, scale


class Canvas:
    """An image (HxWx3 uint8 BGR) and its mask (HxW uint8): every labelled shape covers the same pixels of both."""

    def __init__(self, view: View, light: float, haze: Colour) -> None:
        self.view = view
        self.image: npt.NDArray[np.uint8] = np.zeros((view.height, view.width, 3), np.uint8)
        self.mask: npt.NDArray[np.uint8] = np.zeros((view.height, view.width), np.uint8)
        self._light = light
        self._haze = haze
        self._limit = 6 * max(view.height, view.width)

    def shade(self, colour: Colour, depth_m: float, gain: float = 1.0) -> Colour:
        """`colour` under the street's light, paler with distance."""
        keep = math.exp(-depth_m / 220.0)
        lit = gain * self._light * keep
        haze = self._haze
        return (
            colour[0] * lit + haze[0] * (1 - keep),
            colour[1] * lit + haze[1] * (1 - keep),
            colour[2] * lit + haze[2] * (1 - keep),
        )

    def fill(self, points: Points, colour: Colour, label: int | None = None) -> None:
        """Fill one polygon (N, 2) or many that do not overlap (M, N, 2); without a label only the image is painted."""
        fixed = (np.minimum(np.maximum(points, -self._limit), self._limit) * (1 << _SHIFT)).astype(np.int32)
        shapes = [fixed] if fixed.ndim == 2 else list(fixed)
        cv2.fillPoly(self.image, shapes, colour, cv2.LINE_8, _SHIFT)
        if label is not None:
            cv2.fillPoly(self.mask, shapes, (label,), cv2.LINE_8, _SHIFT)

    def lines(self, points: Points, colour: Colour, thickness_px: float, label: int | None = None) -> None:
        """Draw polylines (M, N, 2) at least one pixel thick."""
        thickness = max(1, round(thickness_px))
        fixed = np.rint(np.clip(points, -self._limit, self._limit)).astype(np.int32)
        cv2.polylines(self.image, list(fixed), False, colour, thickness)
        if label is not None:
            cv2.polylines(self.mask, list(fixed), False, (label,), thickness)


def disc(column: float, row: float, radius_x: float, radius_y: float, corners: int = 14) -> Points:
    """An ellipse as a polygon (corners, 2)."""
    return _unit_disc(corners) * (radius_x, radius_y) + (column, row)


@lru_cache(maxsize=32)
def _unit_disc(corners: int) -> Points:
    turn = np.linspace(0.0, 2 * math.pi, corners, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], axis=-1)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """An upright rectangle as a polygon (4, 2)."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
