"""Networks to LiteRT (.tflite) files: several execution paths as signatures of one file that share their weights."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters import flatbuffer
from converters.errors import ConvertError
from converters.ops import Ops, Shape
from converters.quiet import quiet

Builder = Callable[[Ops[Any]], None]
PRECISIONS = ("float32", "float16")


@dataclass(frozen=True)
class LiteRtFile:
    """A flatbuffer, and how often each operation occurs in each of its signatures."""

    content: bytes
    operations: Mapping[str, Counter[str]]


def to_litert(
    builders: Mapping[str, Builder],
    inputs: Mapping[str, Shape] | Mapping[str, Mapping[str, Shape]],
    precision: str = "float32",
) -> LiteRtFile:
    """Convert one builder a signature. `inputs` are the float32 inputs by name: the same for every signature, or by
    signature.

    float16 stores weights in half precision; engines compute in float32 from them. Tensor names are unique over the
    whole file, which the quantizer needs. Raises ConvertError when an operation is left that no engine of ours runs.
    """
    if precision not in PRECISIONS:
        raise ConvertError(f"precision {precision!r}: a float file is one of {', '.join(PRECISIONS)}")
    with quiet(), tempfile.TemporaryDirectory(prefix="joulepath-") as folder:
        content = _converted(builders, {name: _of(inputs, name) for name in builders}, precision, Path(folder))
    model = flatbuffer.read_model(content)
    flatbuffer.name_tensors_apart(model)
    return LiteRtFile(flatbuffer.write_model(model), flatbuffer.operations(model))


def _of(inputs: Mapping[str, Shape] | Mapping[str, Mapping[str, Shape]], name: str) -> Mapping[str, Shape]:
    own = inputs.get(name)
    if isinstance(own, Mapping):
        return own
    return {key: shape for key, shape in inputs.items() if isinstance(shape, tuple)}


def _converted(
    builders: Mapping[str, Builder], inputs: Mapping[str, Mapping[str, Shape]], precision: str, folder: Path
) -> bytes:
    import tensorflow as tf

    _save(builders, inputs, folder)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(builders))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    try:
        return bytes(converter.convert())
    except Exception as error:  # the converter raises its own and MLIR's errors, all meaning the same
        raise ConvertError(f"TFLiteConverter refused the network: {str(error).splitlines()[0]}") from error


def _save(builders: Mapping[str, Builder], inputs: Mapping[str, Mapping[str, Shape]], folder: Path) -> None:
    import tensorflow as tf

    from converters.ops.tensorflow import TensorFlowOps, WeightStore

    store = WeightStore()
    signatures = {}
    for name, builder in builders.items():
        signature = {key: tf.TensorSpec(shape, tf.float32, name=key) for key, shape in inputs[name].items()}

        def run(builder: Builder = builder, **tensors: Any) -> dict[str, Any]:
            ops = TensorFlowOps(tensors, store)
            builder(ops)
            return ops.outputs

        signatures[name] = tf.function(run, autograph=False).get_concrete_function(**signature)
    tf.saved_model.save(store.root(), str(folder), signatures=signatures)
