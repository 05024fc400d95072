"""The graphs of `edge.study.findings`, in TensorFlow because they ask about forms that our operations avoid.

All pairs map the same input to a result of the same shape. Sizes are those of a small vision transformer on a 288x384
picture; weights are random, latency does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.latency.graphs import small_graph
from converters.ops import Ops, Shape

PICTURE: Shape = (1, 288, 384, 3)
STREAM: Shape = (1, 36, 48, 64)  # positions and channels of SegFormer-B0's second stage
LATE: Shape = (1, 9, 12, 256)  # of its last stage, where hybrid networks keep attention
BLOCKS, RATIO, HEADS = 4, 4, 8
Graph = Callable[[Any, Any], Any]  # TensorFlow and a tensor: a tensor


def comparison_graphs(progress: Callable[[str, int, int], None] = lambda what, done, total: None) -> dict[str, bytes]:
    """Every graph by its name in `edge.study.findings`."""
    made = {}
    plan = _plan()
    for number, (name, (shape, graph)) in enumerate(plan.items(), start=1):
        made[name] = small_graph(_builder(shape, graph), {"x0": shape})
        progress("building comparisons", number, len(plan))
    return made


def _builder(shape: Shape, graph: Graph) -> Callable[[Ops[Any]], None]:
    def build(ops: Ops[Any]) -> None:
        import tensorflow as tf

        ops.output("y", graph(tf, ops.input("x0", shape)))

    return build


def _plan() -> dict[str, tuple[Shape, Graph]]:
    split = (1, HEADS, LATE[1] * LATE[2], LATE[3] // HEADS)
    convolutions = _blocks(_convolutional(_relu))
    activations: dict[str, Graph] = {
        "none": lambda tf, x: x,
        "ReLU": _relu,
        "GELU": lambda tf, x: tf.nn.gelu(x),
        "tanh GELU": lambda tf, x: tf.nn.gelu(x, approximate=True),
        "HardSwish": lambda tf, x: x * tf.nn.relu6(x + 3.0) * (1 / 6),
    }
    return {
        "patch: 16x16 stride 16": (PICTURE, _patches((16, 16, 128))),
        "patch: four 3x3 stride 2, to the same grid": (
            PICTURE,
            _patches((3, 2, 16), (3, 2, 32), (3, 2, 64), (3, 2, 128)),
        ),
        "patch: 7x7 stride 4 (SegFormer's)": (PICTURE, _patches((7, 4, 32))),
        "patch: two 3x3 stride 2, to the same grid": (PICTURE, _patches((3, 2, 16), (3, 2, 32))),
        "dims: convolutions, 4-D throughout": (STREAM, convolutions),
        "dims: linear maps, 3-D and back in each block": (STREAM, _blocks(_three_dimensional)),
        "dims: linear maps, channels first and back in each block": (STREAM, _blocks(_channels_first)),
        "dims: attention with its reshapes and transposes": (LATE, _whole_attention),
        "dims: attention on split heads": (split, _attention),
        "dims: attention on split heads, twice": (split, lambda tf, x: _attention(tf, _attention(tf, x))),
        "norm: CONV-BN folded, 4-D": (STREAM, convolutions),
        "norm: LN-Linear, 3-D": (STREAM, _flattened(_blocks(_normed(_layer_norm)))),
        "norm: LN-Linear as RMS (centred stream), 3-D": (STREAM, _flattened(_blocks(_normed(_rms_norm)))),
        **{f"act: {name}": (STREAM, _blocks(_convolutional(activation))) for name, activation in activations.items()},
    }


def _weight(*shape: int) -> npt.NDArray[np.float32]:
    fan_in = int(np.prod(shape[:-1]))
    drawn = np.random.default_rng(fan_in).standard_normal(shape)
    return np.asarray(drawn / np.sqrt(fan_in), np.float32)


def _relu(tf: Any, x: Any) -> Any:
    return tf.nn.relu(x)


def _patches(*steps: tuple[int, int, int]) -> Graph:
    """Convolutions (kernel, stride, outputs) with bias, ReLU between them."""

    def graph(tf: Any, x: Any) -> Any:
        for number, (kernel, stride, outputs) in enumerate(steps):
            x = tf.nn.relu(x) if number else x
            x = tf.nn.conv2d(x, _weight(kernel, kernel, int(x.shape[-1]), outputs), stride, "SAME") + _weight(outputs)
        return x

    return graph


def _blocks(branch: Graph) -> Graph:
    """Residual blocks of one branch."""

    def graph(tf: Any, x: Any) -> Any:
        for _ in range(BLOCKS):
            x = x + branch(tf, x)
        return x

    return graph


def _convolutional(activation: Graph) -> Graph:
    """Two 1x1 convolutions with biases, as batch norms fold into them."""

    def branch(tf: Any, x: Any) -> Any:
        channels = int(x.shape[-1])
        y = tf.nn.conv2d(x, _weight(1, 1, channels, RATIO * channels), 1, "SAME") + _weight(RATIO * channels)
        return tf.nn.conv2d(activation(tf, y), _weight(1, 1, RATIO * channels, channels), 1, "SAME") + _weight(channels)

    return branch


def _linear(tf: Any, x: Any) -> Any:
    """The same maps as matrix products over the last dimension."""
    channels = int(x.shape[-1])
    y = tf.nn.relu(tf.linalg.matmul(x, _weight(channels, RATIO * channels)) + _weight(RATIO * channels))
    return tf.linalg.matmul(y, _weight(RATIO * channels, channels)) + _weight(channels)


def _three_dimensional(tf: Any, x: Any) -> Any:
    return tf.reshape(_linear(tf, tf.reshape(x, (1, -1, x.shape[-1]))), x.shape)


def _channels_first(tf: Any, x: Any) -> Any:
    """Convolutions want channels first, linear maps want them last: what networks of PyTorch do in each block."""
    _, height, width, channels = x.shape
    first = tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (1, channels, height * width))
    y = tf.transpose(_linear(tf, tf.transpose(first, (0, 2, 1))), (0, 2, 1))
    return tf.transpose(tf.reshape(y, (1, channels, height, width)), (0, 2, 3, 1))


def _attention(tf: Any, x: Any) -> Any:
    """Softmax attention of (1, heads, positions, depth) over itself."""
    return _mixed(tf, x * 0.5, x * 0.25, x * 0.75)


def _mixed(tf: Any, query: Any, key: Any, value: Any) -> Any:
    return tf.linalg.matmul(tf.nn.softmax(tf.linalg.matmul(query, key, transpose_b=True)), value)


def _whole_attention(tf: Any, x: Any) -> Any:
    """The same from a 4-D stream and back: three splits into heads, as query, key and value need, and one merge."""
    _, height, width, channels = x.shape

    def heads(times: float) -> Any:  # three distinct tensors, or the converter would split once
        return tf.transpose(tf.reshape(x * times, (1, height * width, HEADS, channels // HEADS)), (0, 2, 1, 3))

    mixed = _mixed(tf, heads(0.5), heads(0.25), heads(0.75))
    return tf.reshape(tf.transpose(mixed, (0, 2, 1, 3)), (1, height, width, channels))


def _flattened(graph: Graph) -> Graph:
    """3-D throughout, one reshape at each end."""
    return lambda tf, x: tf.reshape(graph(tf, tf.reshape(x, (1, -1, x.shape[-1]))), x.shape)


def _normed(norm: Graph) -> Graph:
    return lambda tf, x: _linear(tf, norm(tf, x))


def _layer_norm(tf: Any, x: Any) -> Any:
    centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    channels = int(x.shape[-1])
    return _rms_norm(tf, centred) * (1.0 + _weight(channels)) + _weight(channels)


def _rms_norm(tf: Any, x: Any) -> Any:
    return x * tf.math.rsqrt(tf.reduce_mean(x * x, axis=-1, keepdims=True) + 1e-5)
