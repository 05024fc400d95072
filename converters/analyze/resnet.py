"""The Once-For-All ResNet-50's subnets as matrix products (Cai et al., ICLR 2020; code mit-han-lab/once-for-all).

A subnet is a depth (0, 1 or 2 blocks beyond 2/2/4/2), an expand ratio (0.2, 0.25, 0.35), a width factor (0.65, 0.8, 1)
and a resolution (128 to 224). Published are their multiply-accumulates and top-1 accuracies; which choice in each
stage made them is in files that are not here, so a published subnet is stood for by the uniform choice whose
multiply-accumulates are nearest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from converters.analyze.accelerator import Product

# Multiply-accumulates (G) and ImageNet top-1 (%) of the published subnets.
PUBLISHED = ((4.1, 79.8), (3.7, 79.7), (3.0, 79.3), (2.4, 79.0), (1.8, 78.3), (1.2, 77.1), (0.9, 76.3), (0.6, 75.0))
_WIDTHS, _BLOCKS, _STRIDES = (256, 512, 1024, 2048), (2, 2, 4, 2), (1, 2, 2, 2)
_CLASSES = 1000


@dataclass(frozen=True)
class Subnet:
    """One uniform choice."""

    depth: int
    expand: float
    width: float
    resolution: int

    def products(self) -> tuple[Product, ...]:
        """Every convolution and the classifier, in order."""
        return tuple(_products(self))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(one.macs for one in self.products())


def choices() -> Iterator[Subnet]:
    """Every uniform choice of the space; resolutions in steps of 16."""
    for depth, expand, width, resolution in product(
        (0, 1, 2), (0.2, 0.25, 0.35), (0.65, 0.8, 1.0), range(128, 225, 16)
    ):
        yield Subnet(depth, expand, width, resolution)


def nearest(giga_macs: float) -> Subnet:
    """The uniform choice with the nearest multiply-accumulates; the larger picture when two are as near."""
    return min(choices(), key=lambda one: (abs(one.macs - giga_macs * 1e9), -one.resolution))


def _products(net: Subnet) -> Iterator[Product]:
    stem = _divisible(64 * net.width)
    middle = _divisible(stem // 2)
    side = _halved(net.resolution)
    yield _conv(net.resolution, side, 3, 3, middle)
    if net.depth == 2:  # the stem's residual convolution is there at full depth only
        yield _conv(side, side, 3, middle, middle)
    yield _conv(side, side, 3, middle, stem)
    side, channels = _halved(side), stem  # max pooling
    for full, blocks, stride in zip(_WIDTHS, _BLOCKS, _STRIDES, strict=True):
        outputs = _divisible(full * net.width)
        hidden = _divisible(round(outputs * net.expand))
        for block in range(blocks + net.depth):
            smaller = side if block or stride == 1 else _halved(side)
            yield _conv(side, side, 1, channels, hidden)
            yield _conv(side, smaller, 3, hidden, hidden)
            yield _conv(smaller, smaller, 1, hidden, outputs)
            if block == 0:  # the shortcut pools, then maps
                yield _conv(smaller, smaller, 1, channels, outputs)
            side, channels = smaller, outputs
    yield Product(1, channels, _CLASSES, channels)


def _conv(side: int, result: int, kernel: int, inputs: int, outputs: int) -> Product:
    return Product(result * result, kernel * kernel * inputs, outputs, side * side * inputs)


def _halved(side: int) -> int:
    return (side + 1) // 2


def _divisible(channels: float, by: int = 8) -> int:
    """To a multiple of eight, at least nine tenths of what was asked: the rule of MobileNet's and OFA's code."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded
