"""Sky, ground and the grain of everything: noise that is fixed to the world, so that it moves as we drive."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from edge.cameras.street.manner import Manner
from edge.cameras.street.view import BUILDING, FENCE, NEAR_M, PAVEMENT, ROAD, SKY, TREE, Canvas, Colour

_TILE = 512
_GRAIN: dict[int, float] = {BUILDING: 0.85, ROAD: 0.75, PAVEMENT: 0.9, TREE: 1.0, FENCE: 0.9, SKY: 0.06}


@lru_cache(maxsize=1)
def _tiles() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Repeating noise in gain units around 0, float32: ground (512x512), and wall and leaves (2x512x512)."""
    rng = np.random.default_rng(7)

    def octave(cells: int) -> npt.NDArray[np.float32]:
        small = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        wrapped = np.pad(small, 2, mode="wrap")
        step = _TILE // cells
        big = cv2.resize(wrapped, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        return np.asarray(big[2 * step : 2 * step + _TILE, 2 * step : 2 * step + _TILE], np.float32)

    ground = 0.08 * octave(512) + 0.05 * octave(128) + 0.07 * octave(16) + 0.05 * octave(8)
    wall = 0.07 * octave(256) + 0.05 * octave(64) + 0.08 * octave(16)
    wall[::4] -= 0.09
    wall[:, ::64] -= 0.05
    leaves = 0.10 * octave(256) + 0.16 * octave(128) + 0.14 * octave(32)
    return ground, np.stack([wall, leaves])


def paint_sky(canvas: Canvas, manner: Manner, time_s: float) -> None:
    """A gradient from zenith to horizon with drifting clouds."""
    view = canvas.view
    rows = max(1, min(view.height, math.ceil(view.horizon_px) + 2))
    # Sky is smooth: a quarter of the size is enough.
    coarse = (max(4, view.width // 4), max(4, rows // 4))
    ramp = np.linspace(0, 1, coarse[1], dtype=np.float32)[:, None, None]
    sky = (1 - ramp) * np.array(manner.sky_top, np.float32) + ramp * np.array(manner.sky_low, np.float32)
    ground, _ = _tiles()
    drift = int(time_s * 0.7 + manner.phase * 60) % 256
    patch = cv2.blur(np.ascontiguousarray(ground[drift : drift + 96, 40:200]), (9, 9))
    cloud = np.clip(cv2.resize(patch, coarse, interpolation=cv2.INTER_LINEAR) * 4 * manner.cloud, 0, 0.8)
    small = sky * (1 - cloud[..., None]) + 246 * cloud[..., None]
    canvas.image[:rows] = cv2.resize(small.astype(np.uint8), (view.width, rows), interpolation=cv2.INTER_LINEAR)


def strip(
    canvas: Canvas, left_m: float, right_m: float, near: float, far: float, colour: Colour, label: int | None
) -> None:
    """A band of ground between two distances across the street."""
    view = canvas.view
    along = np.geomspace(max(near, NEAR_M), far, 2 if far - near < 6 else 9)
    canvas.fill(
        np.concatenate([view.project(left_m, 0.0, along), view.project(right_m, 0.0, along)[::-1]]), colour, label
    )


def paint_ground(canvas: Canvas, manner: Manner) -> None:
    """Pavement, road, kerbs, lane marks and the shadow of the houses."""
    view, half = canvas.view, manner.road_half_m
    first = max(0, math.floor(view.horizon_px))
    canvas.image[first:] = canvas.shade(manner.pavement, 15)
    canvas.mask[first:] = PAVEMENT
    strip(canvas, -half - 0.18, half + 0.18, NEAR_M, 400, canvas.shade(manner.pavement, 15, 1.2), None)
    strip(canvas, -half, half, NEAR_M, 400, canvas.shade(manner.road, 15), ROAD)
    dark = -manner.sunny_side
    edge = dark * half * (0.6 * math.sin(manner.phase) + 0.2)
    if manner.shadow < 1:
        ends = sorted((edge, dark * half))
        strip(canvas, ends[0], ends[1], NEAR_M, 400, canvas.shade(manner.road, 15, manner.shadow), None)
        walk = sorted((dark * half, dark * (manner.wall_m + 4)))
        strip(canvas, walk[0], walk[1], NEAR_M, 400, canvas.shade(manner.pavement, 15, manner.shadow), None)
    _paint_marks(canvas, manner)


def _paint_marks(canvas: Canvas, manner: Manner) -> None:
    view, half, phase = canvas.view, manner.road_half_m, view_offset(canvas, 9.0)
    white = canvas.shade((205, 210, 212), 12)
    for start in np.arange(-phase, 80, 9.0):
        if start + 4 > NEAR_M:
            strip(canvas, -0.07, 0.07, start, start + 4, white, None)
    if manner.phase < 4:
        yellow = canvas.shade((90, 180, 205), 12, 0.9)
        for side in (-1, 1):
            for inset in (0.25, 0.45):
                middle = side * (half - inset)
                strip(canvas, middle - 0.05, middle + 0.05, NEAR_M, 70, yellow, None)
    # A pedestrian crossing every 160 m, a worn patch of asphalt every 28 m.
    crossing = 160 - view_offset(canvas, 160)
    if NEAR_M < crossing < 90:
        for left in np.arange(-half + 0.4, half - 0.6, 1.1):
            strip(canvas, left, left + 0.55, crossing, crossing + 2.6, white, None)
    patch = 28 - view_offset(canvas, 28)
    lane = manner.lane_side * half * 0.5
    strip(canvas, lane - 0.8, lane + 0.7, patch, patch + 5, canvas.shade(manner.road, 12, 0.72), None)
    if patch > 4:
        lid = view.project(lane + 0.2, 0.0, patch - 2)
        reach = 0.35 * view.focal_px / (patch - 2)
        turn = np.linspace(0, 6.28, 12, endpoint=False)
        flat = view.camera_y_m / (patch - 2)
        shape = np.stack([lid[0] + reach * np.cos(turn), lid[1] + reach * flat * np.sin(turn)], -1)
        canvas.fill(shape, canvas.shade((50, 52, 55), 12))


def view_offset(canvas: Canvas, period_m: float) -> float:
    """How far the camera is past the last multiple of `period_m`, metres."""
    return canvas.view.travel_m % period_m


def apply_grain(canvas: Canvas, noise: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The image under `noise` (HxW float32, the sensor's, around 1) and world-fixed grain that depends on the class."""
    view, mask = canvas.view, canvas.mask
    first = min(view.height - 1, max(0, math.floor(view.horizon_px) + 1))
    grain = _upright_grain(canvas)
    lower = mask[first:]
    np.copyto(grain[first:], _ground_grain(canvas, first), where=(lower == ROAD) | (lower == PAVEMENT))
    cv2.multiply(grain, cv2.LUT(mask, _strengths()), dst=grain)
    cv2.add(grain, noise, dst=grain)
    gain = cv2.convertScaleAbs(cv2.max(grain, 0.0), alpha=128)
    return np.asarray(cv2.multiply(canvas.image, cv2.merge([gain] * 3), scale=1 / 128), np.uint8)


@lru_cache(maxsize=1)
def _strengths() -> npt.NDArray[np.float32]:
    strength = np.full(256, 0.35, np.float32)
    for label, value in _GRAIN.items():
        strength[label] = value
    return strength


def _upright_grain(canvas: Canvas) -> npt.NDArray[np.float32]:
    """Houses, fences and trees as a plane along the street at its edge: depth follows from the column."""
    view, (_, upright) = canvas.view, _tiles()
    columns = np.arange(view.width, dtype=np.float32) - np.float32(view.centre_px)
    rows = np.arange(view.height, dtype=np.float32) - np.float32(view.horizon_px)
    depth = np.clip(view.focal_px * 7.0 / np.maximum(np.abs(columns), 2), 2, 160).astype(np.float32)
    along = ((depth + view.travel_m % 1024) * 12).astype(np.int32) % _TILE
    index = (rows[:, None] * (depth * np.float32(-12 / view.focal_px))).astype(np.int32)
    index &= _TILE - 1
    index *= _TILE
    index += along
    np.add(index, _TILE * _TILE, out=index, where=canvas.mask == TREE)
    grain: npt.NDArray[np.float32] = upright.ravel()[index]
    grain *= np.clip(26 / depth, 0.3, 1)
    return grain


def _ground_grain(canvas: Canvas, first: int) -> npt.NDArray[np.float32]:
    """The ground from row `first` down: depth follows from the row."""
    view, (ground, _) = canvas.view, _tiles()
    columns = np.arange(view.width, dtype=np.float32) - np.float32(view.centre_px)
    rows = np.arange(first, view.height, dtype=np.float32) - np.float32(view.horizon_px)
    ahead = np.clip(view.focal_px * view.camera_y_m / np.maximum(rows, 0.5), NEAR_M, 200).astype(np.float32)
    across = columns * (ahead * np.float32(24 / view.focal_px))[:, None]
    across += ((view.camera_x_m - view.bend_per_m * ahead * ahead) * 24).astype(np.float32)[:, None]
    index = across.astype(np.int32)
    index &= _TILE - 1
    index += (((ahead + view.travel_m % 1024) * 24).astype(np.int32) % _TILE * _TILE)[:, None]
    flat: npt.NDArray[np.float32] = ground.ravel()[index]
    flat *= np.clip(14 / ahead, 0.15, 1)[:, None]
    return flat


@lru_cache(maxsize=4)
def sensor_noise(height: int, width: int) -> npt.NDArray[np.float32]:
    """A fixed field of unit noise, larger than a frame so that its window moves from frame to frame."""
    rng = np.random.default_rng(11)
    return rng.standard_normal((height + 64, width + 64), np.float32)
