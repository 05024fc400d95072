"""Units as .tflite files, made by the emitter that whole networks are made with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from converters.errors import ConvertError
from converters.latency.keys import Unit
from converters.layers import Array
from converters.ops import Ops, Shape
from converters.quiet import quiet

_PERIOD = 4093  # of four bytes each: within the 32 KiB that deflate looks back


def unit_graph(unit: Unit) -> bytes:
    """The unit as a .tflite file of one graph."""
    return small_graph(unit.build, {f"x{number}": node.shape for number, node in enumerate(unit.inputs)})


def empty_graph() -> bytes:
    """The least that the engine can run, a ReLU of one number: what calling it costs by itself."""

    def build(ops: Ops[Any]) -> None:
        ops.output("y", ops.relu(ops.input("x0", (1, 1, 1, 1))))

    return small_graph(build, {"x0": (1, 1, 1, 1)})


def small_graph(build: Callable[[Ops[Any]], None], inputs: Mapping[str, Shape]) -> bytes:
    """What `build` writes as a .tflite file; raises ConvertError when it cannot be converted.

    The same operations as `converters.litert.to_litert` gives, in a fifth of the time: weights are constants of the
    graph, so no SavedModel is written and read. Hundreds of units are made for a table. The weights are a repeating
    pattern (`patterned`): the file is for timing only.
    """
    with quiet():
        import tensorflow as tf

        from converters.ops.tensorflow import TensorFlowOps, WeightStore

        class Constants(WeightStore):
            def of(self, value: Array) -> Any:
                return tf.constant(patterned(value.shape))

        def run(**tensors: Any) -> dict[str, Any]:
            ops = TensorFlowOps(tensors, Constants())
            build(ops)
            return ops.outputs

        signature = {name: tf.TensorSpec(shape, tf.float32, name=name) for name, shape in inputs.items()}
        function = tf.function(run, autograph=False).get_concrete_function(**signature)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return bytes(converter.convert())
        except Exception as error:  # the converter raises its own and MLIR's errors, all meaning the same
            raise ConvertError(f"TFLiteConverter refused a unit: {str(error).splitlines()[0]}") from error


def patterned(shape: Shape) -> Array:
    """Numbers of a weight's size that repeat: dense kernels take as long for any values, and these pack into nothing.

    The period is a prime, so that no two rows of a matrix are alike, and short enough for a zip to find it again.
    """
    count, fan_in = math.prod(shape), max(1, math.prod(shape[:-1]))
    drawn = np.random.default_rng(0).standard_normal(_PERIOD) / math.sqrt(fan_in)
    return np.resize(drawn.astype(np.float32), count).reshape(shape)
