"""The small set of operations that network families are written in.

Tensors are static: every shape is known while building, the batch is one, channels come last. An emitter implements
`Ops` for its own kind of tensor: TensorFlow's (`converters.ops.tensorflow`), plain shapes that are counted
(`converters.ops.count`). Weights are numpy float32 arrays in the layouts of `converters.layers`. An emitter of a
format that keeps channels first transposes weights and infers its own layout; nothing here forbids it.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from converters.layers import Array, Conv, Depthwise, Linear

Shape = tuple[int, ...]
T = TypeVar("T")


class Ops(Protocol[T]):
    """Operations on static tensors of shape (1, height, width, channels) float32."""

    def input(self, name: str, shape: Shape) -> T:
        """A float32 input of the graph."""

    def output(self, name: str, x: T) -> None:
        """Make `x` an output of the graph."""

    def shape(self, x: T) -> Shape:
        """The static shape of `x`."""

    def conv(self, x: T, layer: Conv) -> T:
        """Convolution with zero padding as PyTorch counts it: `layer.padding` on all four sides, result floored."""

    def depthwise(self, x: T, layer: Depthwise) -> T:
        """Convolution of each channel by itself, stride one."""

    def linear(self, x: T, layer: Linear) -> T:
        """The same linear map at every position."""

    def centre(self, x: T) -> T:
        """``x`` minus its mean over channels."""

    def rms_norm(self, x: T, eps: float) -> T:
        """``x / sqrt(mean(x * x) + eps)`` over channels: a layer norm when the mean of `x` is zero."""

    def attention(self, query: T, key: T, value: T, heads: int, scale: float | None) -> T:
        """Softmax attention of every position of `query` over all positions of `key` and `value`.

        Channels split evenly into `heads`; scores are multiplied by `scale` unless it is None. The result has the
        height and width of `query` and the channels of `value`.
        """

    def gelu(self, x: T) -> T:
        """``x * Phi(x)`` with the exact normal distribution function."""

    def relu(self, x: T) -> T:
        """``max(x, 0)``."""

    def add(self, x: T, y: T) -> T:
        """Sum of two tensors of one shape."""

    def scale(self, x: T, by: Array) -> T:
        """Each channel times a constant."""

    def shift(self, x: T, by: Array) -> T:
        """Each channel plus a constant."""

    def concat(self, tensors: list[T]) -> T:
        """Channels side by side."""

    def average_pool(self, x: T, factor: int) -> T:
        """The mean of every `factor` x `factor` positions, sizes rounded up.

        Where the grid does not divide, what is missing is split between both borders (the greater half at the end),
        and the cells there are means of fewer positions.
        """

    def resize(self, x: T, height: int, width: int) -> T:
        """Bilinear interpolation with half-pixel centres (align_corners false), borders clamped."""
