"""The synthetic street: a test stream with exact ground truth.

It is drawn, not filmed: a driving car's view of an endless street with the eleven CamVid classes (0 sky, 1 building,
2 pole, 3 road, 4 pavement, 5 tree, 6 sign, 7 fence, 8 car, 9 pedestrian, 10 bicyclist), so that a demonstration can
show true accuracy live with nothing downloaded, and a test can ask for any frame of any street. A figure measured on
it says how a network does on this drawing and nothing about real streets.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from edge.cameras.street.manner import Manner, manner_of
from edge.cameras.street.movers import leaders, movers
from edge.cameras.street.plan import BLOCK_M, Thing, block
from edge.cameras.street.surface import apply_grain, paint_ground, paint_sky, sensor_noise
from edge.cameras.street.things import LONG, MOVING, STILL
from edge.cameras.street.view import FAR_M, Canvas, View

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]

CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
_SMALL_M = 75.0


class SyntheticStreet:
    """One street, fixed by `seed`, filmed at `height` x `width` pixels. Not thread-safe."""

    def __init__(self, height: int, width: int, seed: int = 0) -> None:
        if height < 16 or width < 16:
            raise ValueError(f"a synthetic street is at least 16x16 pixels, not {height}x{width}")
        self.height, self.width, self.seed = height, width, seed
        self._manner = manner_of(seed)

    def render(self, time_s: float) -> tuple[Image, Mask]:
        """The frame at `time_s` (any number of seconds, in any order): HxWx3 uint8 BGR and HxW uint8 ids 0..10.

        A pure function of seed, size and time.
        """
        manner, view = self._manner, self._view(time_s)
        glow = 1 + 0.12 * math.sin(time_s / 23 + manner.phase)
        canvas = Canvas(view, manner.light * glow, manner.sky_low)
        paint_sky(canvas, manner, time_s)
        paint_ground(canvas, manner)
        self._paint_things(canvas, time_s)
        return self._expose(apply_grain(canvas, self._noise(time_s)), time_s), canvas.mask

    def _view(self, time_s: float) -> View:
        manner = self._manner
        travel = manner.speed_m_s * time_s + 3 * math.sin(time_s / 5 + manner.phase) + 1000 * manner.phase
        bend = 0.0011 * math.sin(travel / 130 + manner.phase) + 0.0005 * math.sin(travel / 47)
        focal = manner.focal * (4 / 3) * self.height * 0.8
        lane = manner.lane_side * manner.road_half_m * (0.28 if manner.road_half_m > 3.9 else 0.5)
        shake = 0.004 * math.sin(time_s * 6.1) + 0.003 * math.sin(time_s * 9.7 + 1)
        return View(
            height=self.height,
            width=self.width,
            focal_px=focal,
            centre_px=self.width * (0.5 + 0.02 * math.sin(time_s / 3.1 + manner.phase)) - bend * 18 * focal,
            horizon_px=self.height * (manner.horizon + shake),
            camera_x_m=lane + 0.25 * math.sin(time_s / 4.3),
            camera_y_m=manner.camera_y_m,
            bend_per_m=bend,
            travel_m=travel,
        )

    def _paint_things(self, canvas: Canvas, time_s: float) -> None:
        manner, travel = self._manner, canvas.view.travel_m
        first, last = int((travel - 12) // BLOCK_M), int((travel + FAR_M) // BLOCK_M)
        things = [thing for number in range(first, last + 1) for thing in block(self.seed, number)]
        order: list[tuple[float, int, Thing]] = []
        for index, thing in enumerate(things):
            depth = thing.at_m - travel
            far = depth + thing.length_m
            if thing.kind in ("building", "shrubs"):
                # Fronts stand outside of everything else, the outer ones first: painted before all other things.
                rank = 1e6 + abs(thing.x_m) * 1e4 * (thing.kind == "shrubs" or abs(thing.x_m) > manner.wall_m + 1) + far
                if far > 2.5 and depth < FAR_M:
                    order.append((rank, index, thing))
            elif thing.kind == "fence":
                if far > 1.5 and depth < FAR_M:
                    order.append((far, index, thing))
            elif depth > 2.2 and depth < (FAR_M if thing.kind == "tree" else _SMALL_M * 1.3):
                order.append((depth + (12 if thing.behind else 0), index, thing))
        leaders = self._leaders(time_s, travel)
        for thing in (*movers(self.seed, time_s, travel + 2.2, travel + _SMALL_M), *leaders):
            if thing.at_m - travel > 2.2:
                order.append((thing.at_m - travel, -len(order) - 1, thing))
        for _, _, thing in sorted(order, key=lambda entry: (-entry[0], entry[1])):
            _paint(canvas, manner, thing, travel, time_s)

    def _leaders(self, time_s: float, travel_m: float) -> list[Thing]:
        places = []
        for thing, period, nearest, reach in zip(leaders(self.seed), (7.3, 9.1), (9.0, 6.0), (70.0, 45.0), strict=True):
            wave = 0.5 + 0.5 * math.sin(time_s / period + thing.phase)
            places.append(replace(thing, at_m=travel_m + nearest + reach * wave * wave))
        return places

    def _noise(self, time_s: float) -> npt.NDArray[np.float32]:
        field = sensor_noise(self.height, self.width)
        tick = int(time_s * 997) & 0xFFFF
        top, left = tick % 61, tick // 61 % 61
        window = field[top : top + self.height, left : left + self.width]
        return np.asarray(window * np.float32(self._manner.noise / 65) + np.float32(1), np.float32)

    def _expose(self, image: Image, time_s: float) -> Image:
        """Lens and sensor: a touch of blur, a drifting white balance."""
        warm = self._manner.warmth + 0.03 * math.sin(time_s / 17)
        ramp = np.arange(256, dtype=np.float32)
        table = np.stack([ramp * (1 - warm), ramp, ramp * (1 + warm)], -1)
        soft = cv2.GaussianBlur(image, (3, 3), 0.55)
        return np.asarray(cv2.LUT(soft, np.clip(table, 0, 255).astype(np.uint8)[None]), np.uint8)


def _paint(canvas: Canvas, manner: Manner, thing: Thing, travel_m: float, time_s: float) -> None:
    depth = thing.at_m - travel_m
    # The houses on the side that the sun is behind lie in shade, with all that stands before them.
    gain = 1.0 if thing.x_m * manner.sunny_side > 0 else 0.35 + 0.65 * manner.shadow
    if thing.kind in LONG:
        LONG[thing.kind](canvas, thing, depth, depth + thing.length_m, gain)
    elif thing.kind in MOVING:
        MOVING[thing.kind](canvas, thing, depth, gain, time_s)
    else:
        STILL[thing.kind](canvas, thing, depth, gain)


def draw_random(rng: np.random.Generator, height: int, width: int) -> tuple[Image, Mask]:
    """An (image, mask) of a random street at a random time, for training; shapes as in `SyntheticStreet.render`."""
    street = SyntheticStreet(height, width, int(rng.integers(1 << 31)))
    return street.render(float(rng.uniform(0, 600)))
