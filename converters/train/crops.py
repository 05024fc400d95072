"""Training crops: scaled, flipped, recoloured windows of labelled images, drawn from one seeded generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread

import cv2
import numpy as np
import numpy.typing as npt

from converters.datasets import IGNORE, Image, Mask

Sampler = Callable[[np.random.Generator], tuple[Image, Mask]]
Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class CropSettings:
    """How crops are drawn: size in pixels, range of scales, chance of aiming at a rare class, of class mixing."""

    height: int
    width: int
    scale: tuple[float, float] = (0.5, 1.4)
    aim_chance: float = 0.5
    mix_chance: float = 0.4


def sampler_of(pairs: Sequence[tuple[Image, Mask]]) -> Sampler:
    """A sampler that draws one of `pairs` evenly."""
    return lambda rng: pairs[int(rng.integers(len(pairs)))]


def draw_crop(pair: tuple[Image, Mask], settings: CropSettings, rng: np.random.Generator) -> tuple[Image, Mask]:
    """One augmented crop: image HxWx3 uint8 BGR and mask HxW uint8 (255 where there is nothing to learn)."""
    image, mask = pair
    scale = float(np.exp(rng.uniform(*np.log(settings.scale))))
    stretch = float(np.exp(rng.uniform(-0.12, 0.12)))
    # The window in source pixels: cut first, scale after, so that the cost is that of the crop, not of the image.
    source_h = min(image.shape[0], round(settings.height / scale))
    source_w = min(image.shape[1], round(settings.width / scale * stretch))
    top, left = _window(mask, source_h, source_w, settings.aim_chance, rng)
    window = (slice(top, top + source_h), slice(left, left + source_w))
    out_h = min(settings.height, round(source_h * scale))
    out_w = min(settings.width, round(source_w * scale / stretch))
    image_out = np.zeros((settings.height, settings.width, 3), np.uint8)
    mask_out = np.full((settings.height, settings.width), IGNORE, np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image_out[:out_h, :out_w] = cv2.resize(image[window], (out_w, out_h), interpolation=interpolation)
    mask_out[:out_h, :out_w] = cv2.resize(mask[window], (out_w, out_h), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        image_out, mask_out = image_out[:, ::-1], mask_out[:, ::-1]
    return recolour(image_out, rng), mask_out


def _window(mask: Mask, height: int, width: int, aim_chance: float, rng: np.random.Generator) -> tuple[int, int]:
    limit_y, limit_x = mask.shape[0] - height, mask.shape[1] - width
    if rng.random() < aim_chance:
        present = np.unique(mask[::8, ::8])
        present = present[present != IGNORE]
        if present.size:
            # An even draw over the classes present favours the small and rare ones.
            ys, xs = np.nonzero(mask[::8, ::8] == rng.choice(present))
            pick = int(rng.integers(len(ys)))
            y, x = int(ys[pick]) * 8 - int(rng.integers(height)), int(xs[pick]) * 8 - int(rng.integers(width))
            return min(max(y, 0), limit_y), min(max(x, 0), limit_x)
    return int(rng.integers(limit_y + 1)), int(rng.integers(limit_x + 1))


def recolour(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> Image:
    """Brightness, contrast, gamma, white balance, saturation, and now and then blur or noise."""
    table = np.linspace(0, 1, 256, dtype=np.float32) ** np.exp(rng.uniform(-0.4, 0.4))
    table = (table - 0.5) * rng.uniform(0.7, 1.35) + 0.5 + rng.uniform(-0.12, 0.12)
    tables = np.clip(table[:, None] * rng.uniform(0.9, 1.1, 3).astype(np.float32) * 255, 0, 255).astype(np.uint8)
    out = cv2.LUT(np.ascontiguousarray(image), tables.reshape(1, 256, 3))
    if rng.random() < 0.5:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        amount = float(rng.uniform(0.4, 1.5))
        out = cv2.addWeighted(out, amount, grey, 1 - amount, 0)
    if rng.random() < 0.15:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.5)))
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 12), out.shape[:2]).astype(np.float32)
        out = np.clip(out.astype(np.float32) + noise[..., None], 0, 255).astype(np.uint8)
    recoloured: Image = out.astype(np.uint8, copy=False)
    return recoloured


def resize(image: Image, size: tuple[int, int]) -> Image:
    """The image stretched to (height, width)."""
    resized: Image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return resized


def mix_classes(crops: list[tuple[Image, Mask]], chance: float, rng: np.random.Generator) -> list[tuple[Image, Mask]]:
    """ClassMix (Olsson et al., 2020): paste half of the classes of a neighbour crop over a crop."""
    mixed = []
    for index, (image, mask) in enumerate(crops):
        donor_image, donor_mask = crops[(index + 1) % len(crops)]
        present = np.unique(donor_mask[::4, ::4])
        present = present[present != IGNORE]
        if rng.random() < chance and present.size > 1:
            chosen = rng.choice(present, size=max(1, present.size // 2), replace=False)
            paste = np.isin(donor_mask, chosen)
            image = np.where(paste[..., None], donor_image, image)
            mask = np.where(paste, donor_mask, mask)
        mixed.append((image, mask))
    return mixed


@dataclass(frozen=True)
class Source:
    """Where a share of every batch comes from; `head` names the classifier that its labels belong to."""

    sampler: Sampler
    count: int
    head: int = 0


def draw_batch(sources: Sequence[Source], settings: CropSettings, rng: np.random.Generator) -> Batch:
    """Images NxHxWx3 uint8 BGR, masks NxHxW uint8, in the order of `sources`."""
    images, masks = [], []
    for source in sources:
        crops = [draw_crop(source.sampler(rng), settings, rng) for _ in range(source.count)]
        if source.count > 1:
            crops = mix_classes(crops, settings.mix_chance, rng)
        images += [image for image, _ in crops]
        masks += [mask for _, mask in crops]
    return np.stack(images), np.stack(masks)


class BatchLoader:
    """Draws batches on a thread of its own (OpenCV releases the GIL) and keeps `depth` of them ready.

    Batch number `first` comes first; each is drawn from the seed and its number alone, so that a run which goes on
    sees what it would have seen.
    """

    def __init__(
        self, sources: Sequence[Source], settings: CropSettings, seed: int, first: int = 0, depth: int = 3
    ) -> None:
        self._queue: Queue[Batch | Exception] = Queue(depth)
        self._sources, self._settings = sources, settings
        self._seed, self._number = seed, first
        self._closed = Event()
        self._thread = Thread(target=self._fill, daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        while not self._closed.is_set():
            rng = np.random.default_rng([self._seed, self._number])
            try:
                self._queue.put(draw_batch(self._sources, self._settings, rng))
            except Exception as error:  # it belongs to whoever waits for the batch
                self._queue.put(error)
                return
            self._number += 1

    def next(self) -> Batch:
        """The next batch; waits for it. Raises what drawing it raised."""
        drawn = self._queue.get()
        if isinstance(drawn, Exception):
            raise drawn
        return drawn

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        while self._thread.is_alive():
            with suppress(Empty):
                self._queue.get(timeout=0.05)
