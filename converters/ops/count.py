"""The counting emitter: multiply-accumulates, parameters and activation bytes of a network, without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, field

from converters.layers import Array, Conv, Depthwise, Linear
from converters.ops import Shape


@dataclass(frozen=True)
class Cost:
    """What one inference of a graph takes.

    `macs` counts matrix products and convolutions only, as the SegFormer papers do; `activation_bytes` is the
    float32 size of every tensor written, a measure of memory traffic and not a peak.
    """

    macs: int
    parameters: int
    activation_bytes: int


@dataclass
class CountOps:
    """`Ops` over plain shapes. Weights shared by several layers count once."""

    macs: int = 0
    activation_bytes: int = 0
    outputs: dict[str, Shape] = field(default_factory=dict)
    _weights: dict[int, Array] = field(default_factory=dict)

    def cost(self) -> Cost:
        """The sum of everything built so far."""
        return Cost(self.macs, sum(weight.size for weight in self._weights.values()), self.activation_bytes)

    def input(self, name: str, shape: Shape) -> Shape:
        return shape

    def output(self, name: str, x: Shape) -> None:
        self.outputs[name] = x

    def shape(self, x: Shape) -> Shape:
        return x

    def conv(self, x: Shape, layer: Conv) -> Shape:
        kernel_h, kernel_w, inputs, outputs = layer.weight.shape
        height = (x[1] + 2 * layer.padding - kernel_h) // layer.stride + 1
        width = (x[2] + 2 * layer.padding - kernel_w) // layer.stride + 1
        self._use(layer.weight, layer.bias)
        return self._written((1, height, width, outputs), height * width * kernel_h * kernel_w * inputs * outputs)

    def depthwise(self, x: Shape, layer: Depthwise) -> Shape:
        kernel_h, kernel_w, channels = layer.weight.shape
        height, width = x[1] + 2 * layer.padding - kernel_h + 1, x[2] + 2 * layer.padding - kernel_w + 1
        self._use(layer.weight, layer.bias)
        return self._written((1, height, width, channels), height * width * kernel_h * kernel_w * channels)

    def linear(self, x: Shape, layer: Linear) -> Shape:
        inputs, outputs = layer.weight.shape
        self._use(layer.weight, layer.bias)
        return self._written((*x[:-1], outputs), _positions(x) * inputs * outputs)

    def centre(self, x: Shape) -> Shape:
        return self._written(x)

    def rms_norm(self, x: Shape, eps: float) -> Shape:
        return self._written(x)

    def attention(self, query: Shape, key: Shape, value: Shape, heads: int, scale: float | None) -> Shape:
        scores = (1, heads, _positions(query), _positions(key))
        self._written(scores)
        self._written(scores)
        macs = _positions(query) * _positions(key) * (query[-1] + value[-1])
        return self._written((*query[:-1], value[-1]), macs)

    def gelu(self, x: Shape) -> Shape:
        return self._written(x)

    def relu(self, x: Shape) -> Shape:
        return self._written(x)

    def add(self, x: Shape, y: Shape) -> Shape:
        return self._written(x)

    def scale(self, x: Shape, by: Array) -> Shape:
        self._use(by)
        return self._written(x)

    def shift(self, x: Shape, by: Array) -> Shape:
        self._use(by)
        return self._written(x)

    def concat(self, tensors: list[Shape]) -> Shape:
        return self._written((*tensors[0][:-1], sum(shape[-1] for shape in tensors)))

    def average_pool(self, x: Shape, factor: int) -> Shape:
        return self._written((1, -(-x[1] // factor), -(-x[2] // factor), x[-1]))

    def resize(self, x: Shape, height: int, width: int) -> Shape:
        return self._written((1, height, width, x[-1]))

    def _use(self, *weights: Array | None) -> None:
        self._weights.update({id(weight): weight for weight in weights if weight is not None})

    def _written(self, shape: Shape, macs: int = 0) -> Shape:
        self.macs += macs
        self.activation_bytes += 4 * _positions(shape) * shape[-1]
        return shape


def _positions(shape: Shape) -> int:
    total = 1
    for size in shape[:-1]:
        total *= size
    return total
