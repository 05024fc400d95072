"""Running a network, or a part of one, on one image right away: TensorFlow's eager operations on numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.layers import Array
from converters.ops import Shape
from converters.ops.tensorflow import TensorFlowOps, WeightStore


class EagerOps(TensorFlowOps):
    """`Ops` whose tensors are values: float32 of shape (1, height, width, channels)."""

    def __init__(self, image: Array | None = None, name: str = "image") -> None:
        super().__init__({} if image is None else {name: image}, _Plain())

    def shape(self, x: Any) -> Shape:
        return tuple(int(length) for length in x.shape)  # arrays are as good as tensors

    def output(self, name: str, x: Any) -> None:
        self.outputs[name] = x


class _Plain(WeightStore):
    """Weights as they are: nothing is shared, nothing is saved."""

    def of(self, value: Array) -> Array:
        return value


def numpy_of(x: Any) -> Array:
    """The values of a tensor as (positions, channels) float32, without a copy where that is possible."""
    value = np.asarray(x)
    return value.reshape(-1, value.shape[-1])
