"""Running networks in tests: eagerly through TensorFlow's operations, or as .tflite files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from converters.families import segformer

Logits = npt.NDArray[np.float32]


def run_eagerly(network: segformer.Network, pixels: npt.NDArray[np.uint8]) -> Logits:
    """Logits (height, width, classes) of a raw BGR image, without converting anything."""
    import tensorflow as tf

    from converters.ops.tensorflow import TensorFlowOps, WeightStore

    ops = TensorFlowOps({"image": tf.constant(pixels[None], tf.float32)}, WeightStore())
    segformer.build(ops, network, (pixels.shape[0], pixels.shape[1]))
    return np.asarray(ops.outputs["logits"])[0]


def run_litert(content: bytes, signature: str, pixels: npt.NDArray[np.uint8]) -> Logits:
    """Logits of one signature of a file."""
    from ai_edge_litert.interpreter import Interpreter

    runner: Any = Interpreter(model_content=content, num_threads=1).get_signature_runner(signature)
    return np.asarray(runner(image=pixels[None].astype(np.float32))["logits"])[0]


def assert_same_logits(actual: Logits, expected: Logits) -> None:
    """The promise for float32: 1e-4 of the largest logit, and the same winner at 99.99 % of positions."""
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max()
    assert (actual.argmax(-1) == expected.argmax(-1)).mean() >= 0.9999
