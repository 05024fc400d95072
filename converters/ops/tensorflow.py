"""The TensorFlow emitter: builds a graph that TFLiteConverter turns into few, fast operations."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

from converters.layers import Array, Conv, Depthwise, Linear
from converters.ops import Shape


class WeightStore:
    """One variable for each distinct array, so that graphs over the same weights share them."""

    def __init__(self) -> None:
        self._by_digest: dict[str, Any] = {}

    def of(self, value: Array) -> Any:
        """The variable that holds `value`, made when it is new (outside of any graph being traced)."""
        digest = hashlib.sha256(f"{value.shape}".encode() + np.ascontiguousarray(value).tobytes()).hexdigest()
        if digest not in self._by_digest:
            with tf.init_scope():
                variable = tf.Variable(value, trainable=False, dtype=tf.float32, name=f"w{digest[:12]}")
            self._by_digest[digest] = variable
        return self._by_digest[digest]

    def root(self) -> Any:
        """An object that owns every variable so far: what a SavedModel is saved from."""
        module = tf.Module()
        module.owned = list(self._by_digest.values())
        return module


class TensorFlowOps:
    """`Ops` over TensorFlow tensors, used while a `tf.function` is traced."""

    def __init__(self, inputs: dict[str, Any], weights: WeightStore) -> None:
        self._inputs = inputs
        self._weights = weights
        self.outputs: dict[str, Any] = {}

    def input(self, name: str, shape: Shape) -> Any:
        tensor = self._inputs[name]
        if tuple(tensor.shape) != shape:
            raise ValueError(f"input {name!r} is {tuple(tensor.shape)}, the network expects {shape}")
        return tensor

    def output(self, name: str, x: Any) -> None:
        self.outputs[name] = tf.identity(x, name=name)

    def shape(self, x: Any) -> Shape:
        return tuple(x.shape.as_list())

    def conv(self, x: Any, layer: Conv) -> Any:
        # TensorFlow's SAME pads a stride of two on one side only; explicit padding is PyTorch's. XNNPACK fuses it.
        same = layer.stride == 1 and 2 * layer.padding == layer.weight.shape[0] - 1
        if layer.padding and not same:
            x = self._padded(x, layer.padding)
        padding = "SAME" if same else "VALID"
        y = tf.nn.conv2d(x, self._weights.of(layer.weight), strides=layer.stride, padding=padding)
        return self._biased(y, layer.bias)

    def depthwise(self, x: Any, layer: Depthwise) -> Any:
        same = 2 * layer.padding == layer.weight.shape[0] - 1
        if layer.padding and not same:
            x = self._padded(x, layer.padding)
        kernel = self._weights.of(layer.weight[..., None])
        y = tf.nn.depthwise_conv2d(x, kernel, strides=(1, 1, 1, 1), padding="SAME" if same else "VALID")
        return self._biased(y, layer.bias)

    def linear(self, x: Any, layer: Linear) -> Any:
        return self._biased(tf.linalg.matmul(x, self._weights.of(layer.weight)), layer.bias)

    def centre(self, x: Any) -> Any:
        return x - tf.reduce_mean(x, axis=-1, keepdims=True)

    def rms_norm(self, x: Any, eps: float) -> Any:
        return x * tf.math.rsqrt(tf.reduce_mean(x * x, axis=-1, keepdims=True) + eps)

    def attention(self, query: Any, key: Any, value: Any, heads: int, scale: float | None) -> Any:
        q, k, v = (self._heads(x, heads) for x in (query, key, value))
        scores = tf.linalg.matmul(q, k, transpose_b=True)
        if scale is not None:
            scores = scores * scale
        mixed = tf.linalg.matmul(tf.nn.softmax(scores), v)
        if heads > 1:
            mixed = tf.transpose(mixed, (0, 2, 1, 3))
        return tf.reshape(mixed, (*self.shape(query)[:-1], self.shape(value)[-1]))

    def gelu(self, x: Any) -> Any:
        return tf.nn.gelu(x, approximate=False)

    def relu(self, x: Any) -> Any:
        return tf.nn.relu(x)

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def scale(self, x: Any, by: Array) -> Any:
        return x * self._weights.of(by)

    def shift(self, x: Any, by: Array) -> Any:
        return x + self._weights.of(by)

    def concat(self, tensors: list[Any]) -> Any:
        return tf.concat(tensors, axis=-1)

    def average_pool(self, x: Any, factor: int) -> Any:
        # SAME leaves what it pads out of the mean.
        whole = x.shape[1] % factor == 0 and x.shape[2] % factor == 0
        return tf.nn.avg_pool2d(x, factor, factor, "VALID" if whole else "SAME")

    def resize(self, x: Any, height: int, width: int) -> Any:
        return tf.raw_ops.ResizeBilinear(images=x, size=(height, width), half_pixel_centers=True)

    def _heads(self, x: Any, heads: int) -> Any:
        # (1, height, width, heads * depth) -> (1, heads, height * width, depth); one head needs no transpose.
        _, height, width, channels = self.shape(x)
        if heads == 1:
            return tf.reshape(x, (1, height * width, channels))
        split = tf.reshape(x, (1, height * width, heads, channels // heads))
        return tf.transpose(split, (0, 2, 1, 3))

    def _padded(self, x: Any, by: int) -> Any:
        return tf.pad(x, ((0, 0), (by, by), (by, by), (0, 0)))

    def _biased(self, x: Any, bias: Array | None) -> Any:
        return x if bias is None else tf.nn.bias_add(x, self._weights.of(bias))
