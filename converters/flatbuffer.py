"""Looking into .tflite files and writing them anew, without TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from converters.errors import ConvertError

Model = Any  # ai_edge_litert's generated ModelT


def read_model(content: bytes) -> Model:
    """The object tree of a flatbuffer; raises ConvertError when it is none."""
    from ai_edge_litert.tools import flatbuffer_utils

    if content[4:8] != b"TFL3":
        raise ConvertError("not a .tflite file: its identifier is not TFL3")
    try:
        return flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    except Exception as error:  # a damaged flatbuffer fails in whatever way its bytes say
        raise ConvertError(f"the .tflite file is damaged: {type(error).__name__}: {error}") from error


def write_model(model: Model) -> bytes:
    """The flatbuffer of an object tree; equal vectors are stored once, tensor data is aligned to 16 bytes.

    Signatures that share int8 weights each describe them: a scale and an eight-byte zero point for every channel.
    Flatbuffers may point at one vector from many places, which takes a sixth off a file of five paths.
    """
    for buffer in model.buffers:
        # What is no array is written byte by byte, which takes seconds a megabyte.
        if buffer.data is not None and not isinstance(buffer.data, np.ndarray):
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    builder = _sharing_builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _sharing_builder() -> Any:
    import flatbuffers  # type: ignore[import-untyped, unused-ignore]

    class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc, unused-ignore]
        """A builder that writes each distinct vector of numbers once."""

        def __init__(self) -> None:
            super().__init__(1024)
            self._written: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802 (flatbuffers' own name)
            key = (x.dtype.str, x.tobytes())
            if key not in self._written:
                if x.dtype == np.uint8:
                    # The schema asks for this of tensor data; the generated Python code leaves it out.
                    self.Prep(16, x.nbytes)
                self._written[key] = int(super().CreateNumpyVector(x))
            return self._written[key]

    return SharingBuilder()


def name_tensors_apart(model: Model) -> None:
    """Give every tensor the name ``SIGNATURE/NUMBER``: converters name the same nodes of two signatures alike."""
    keys = signature_of_subgraph(model)
    for index, graph in enumerate(model.subgraphs):
        for number, tensor in enumerate(graph.tensors):
            tensor.name = f"{keys.get(index, f'subgraph{index}')}/{number}".encode()


def signature_of_subgraph(model: Model) -> dict[int, str]:
    """Subgraph index to signature key."""
    return {signature.subgraphIndex: signature.signatureKey.decode() for signature in model.signatureDefs or ()}


def added_bytes(model: Model, order: Sequence[str]) -> dict[str, int]:
    """For each of the signatures `order`, the bytes of constants that it uses and none before it does."""
    graphs = {key: model.subgraphs[index] for index, key in signature_of_subgraph(model).items()}
    seen: set[bytes] = set()
    found = {}
    for signature in order:
        buffers = {tensor.buffer for tensor in graphs[signature].tensors}
        # Equal vectors are stored once, whatever their numbers: see `write_model`.
        used = {bytes(model.buffers[number].data) for number in buffers if model.buffers[number].data is not None}
        found[signature] = sum(map(len, used - seen))
        seen |= used
    return found


def operations(model: Model) -> dict[str, Counter[str]]:
    """How often each operation occurs in each signature (or ``subgraphN`` where there is none)."""
    keys = signature_of_subgraph(model)
    return {
        keys.get(index, f"subgraph{index}"): Counter(name for name, _ in operators(model, graph))
        for index, graph in enumerate(model.subgraphs)
    }


def operators(model: Model, graph: Any) -> Iterator[tuple[str, Any]]:
    """The operators of a subgraph with their names; a custom operation by its own name."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        # Old files keep small codes in the deprecated field.
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        yield (code.customCode.decode() if name == "CUSTOM" else name), operator
