"""Calibration images as networks see them, and what the full network computes on each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from converters.errors import ConvertError
from converters.families.segformer.structure import Network
from converters.keep import digest
from converters.layers import Array
from edge.bundle.manifest import InputSpec
from edge.prepare import prepare

if TYPE_CHECKING:
    from converters.families.segformer.trace import Trace

Image = npt.NDArray[np.uint8]
Size = tuple[int, int]
# Fewer images than this say more about themselves than about the network.
FEWEST_IMAGES = 8


class Calibration:
    """Images (HxWx3 uint8 BGR, any size) for a folded `network` whose input is `size` (height, width).

    What the network computes on all of them stays in memory: 12 MB an image for B0 at 288x384.
    """

    def __init__(self, network: Network, images: Sequence[Image], size: Size, say: Callable[[str], None]) -> None:
        self.network, self.size, self.say = network, size, say
        self._images = list(images)
        self._traces: dict[Size, list[Trace]] = {}

    def refuse_few(self, what: str) -> None:
        """Raises ConvertError, saying what needs them, when there are too few images."""
        if len(self._images) < FEWEST_IMAGES:
            raise ConvertError(
                f"{what} needs at least {FEWEST_IMAGES} calibration images, {len(self._images)} given; "
                "take them from a training set (labels are not needed)"
            )

    def inputs(self, size: Size) -> list[Array]:
        """The images as inputs of a network, (1, height, width, 3) float32, brought to `size` as the runtime does."""
        wanted, found = InputSpec(height=size[0], width=size[1], dtype="uint8"), []
        for image in self._images:
            out: Image = np.empty((*size, 3), np.uint8)
            prepare(image, wanted, out)
            found.append(out[None].astype(np.float32))
        return found

    @property
    def traces(self) -> list[Trace]:
        """The full network on every image, at its own size."""
        return self.traces_at(self.size)

    def traces_at(self, size: Size) -> list[Trace]:
        """The full network on every image brought to `size`; kept for its own size and the last other one."""
        from converters.families.segformer.trace import trace

        if size not in self._traces:
            for other in [one for one in self._traces if one != self.size and size != self.size]:
                del self._traces[other]
            self.say(f"running the full network on {len(self._images)} calibration images at {size[0]}x{size[1]}")
            self._traces[size] = [trace(self.network, image) for image in self.inputs(size)]
        return self._traces[size]

    @cached_property
    def source(self) -> str:
        """A hash of the network, the images and the size: what every result here depends on."""
        return digest(self.network, self.size, tuple(self._images))
