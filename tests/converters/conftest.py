"""A small network, converted once for all tests that look at files."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from converters.families import segformer
from converters.litert import LiteRtFile, to_litert

SIZE = (64, 96)


class Converted:
    """A SegFormer of B0's widths and fewer blocks along two paths as float files, with their networks."""

    def __init__(self) -> None:
        weights = segformer.random_weights(replace(segformer.SegformerConfig.b0(11), depths=(1, 2, 1, 1)), 7)
        paths = (weights.space.full(), weights.space.default_set()[-1])
        self.networks = {path.name: segformer.folded(segformer.network(weights, path)) for path in paths}
        self.pixels: npt.NDArray[np.uint8] = np.random.default_rng(5).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        self.float32, self.float16 = (self.convert(precision) for precision in ("float32", "float16"))

    def convert(self, precision: str, only: str | None = None) -> LiteRtFile:
        chosen = {name: network for name, network in self.networks.items() if only in (None, name)}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return to_litert(segformer.builders(chosen, SIZE), {segformer.INPUT: (1, *SIZE, 3)}, precision)


@pytest.fixture(scope="session")
def converted() -> Converted:
    pytest.importorskip("tensorflow", reason="converting needs the extra [convert]")
    return Converted()
