"""Makes the tiny models beside this file. Needs TensorFlow; run once: ``python tests/edge/engines/make_tiny.py``.

``tiny_two.tflite``: signatures ``full`` and ``half`` on one shared convolution, 1x16x24x3 float32 to 1x4x6x5 logits.
``tiny_plain.tflite``: the ``full`` network as a plain file without signatures.
``tiny_int8.tflite``: the same, uint8 in, uint8 out, fully quantized.
``tiny_custom.tflite``: holds an operation that no engine knows (``Betainc``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
SHAPE = (1, 16, 24, 3)


class Tiny(tf.Module):
    """One shared 4x4 stride-4 convolution; ``full`` has one more block than ``half``."""

    def __init__(self) -> None:
        super().__init__()
        random = np.random.default_rng(7)
        self.stem = tf.Variable(random.normal(0, 0.01, (4, 4, 3, 8)).astype(np.float32))
        self.block = tf.Variable(random.normal(0, 0.3, (1, 1, 8, 8)).astype(np.float32))
        self.head = tf.Variable(random.normal(0, 0.5, (1, 1, 8, 5)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec(SHAPE, tf.float32, name="image")])
    def full(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        hidden = tf.nn.relu(tf.nn.conv2d(image, self.stem, 4, "VALID"))
        hidden = hidden + tf.nn.relu(tf.nn.conv2d(hidden, self.block, 1, "VALID"))
        return {"logits": tf.nn.conv2d(hidden, self.head, 1, "VALID")}

    @tf.function(input_signature=[tf.TensorSpec(SHAPE, tf.float32, name="image")])
    def half(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        hidden = tf.nn.relu(tf.nn.conv2d(image, self.stem, 4, "VALID"))
        return {"logits": tf.nn.conv2d(hidden, self.head, 1, "VALID")}


def examples() -> Iterator[list[np.ndarray]]:
    random = np.random.default_rng(3)
    for _ in range(8):
        yield [random.integers(0, 256, SHAPE).astype(np.float32)]


def main() -> None:
    tiny = Tiny()
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(tiny, folder, signatures={"full": tiny.full, "half": tiny.half})
        two = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["full", "half"])
        (HERE / "tiny_two.tflite").write_bytes(two.convert())
    frozen = tf.function(lambda image: tiny.full(image)["logits"]).get_concrete_function(
        tf.TensorSpec(SHAPE, tf.float32, name="image")
    )
    plain = tf.lite.TFLiteConverter.from_concrete_functions([frozen], None)
    (HERE / "tiny_plain.tflite").write_bytes(plain.convert())
    int8 = tf.lite.TFLiteConverter.from_concrete_functions([frozen], None)
    int8.optimizations = [tf.lite.Optimize.DEFAULT]
    int8.representative_dataset = examples
    int8.inference_input_type = tf.uint8
    int8.inference_output_type = tf.uint8
    (HERE / "tiny_int8.tflite").write_bytes(int8.convert())
    strange = tf.function(lambda x: tf.math.betainc(x, x + 1.0, x / 300.0)).get_concrete_function(
        tf.TensorSpec(SHAPE, tf.float32, name="image")
    )
    custom = tf.lite.TFLiteConverter.from_concrete_functions([strange], None)
    custom.allow_custom_ops = True
    (HERE / "tiny_custom.tflite").write_bytes(custom.convert())


if __name__ == "__main__":
    main()
