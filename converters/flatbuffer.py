"""Looking into .tflite files and writing them anew, without TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

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
    """The flatbuffer of an object tree; equal quantization parameters are stored once.

    Signatures that share int8 weights each describe them: a scale and an eight-byte zero point for every channel.
    Flatbuffers may point at one table from many places, which takes a fifth off a file of five paths.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    packed: dict[bytes, int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.quantization is not None:
                tensor.quantization = _PackedOnce(tensor.quantization, packed)
    content = flatbuffer_utils.convert_object_to_bytearray(model)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.quantization is not None:
                tensor.quantization = tensor.quantization.parameters
    return bytes(content)


class _PackedOnce:
    """Quantization parameters that write themselves once and afterwards give the place where they are."""

    def __init__(self, parameters: Any, packed: dict[bytes, int]) -> None:
        self.parameters, self._packed = parameters, packed

    def Pack(self, builder: Any) -> int:  # noqa: N802 (the name that the generated code calls)
        fields = vars(self.parameters)
        if fields.get("details") is not None:
            return int(self.parameters.Pack(builder))
        key = b"|".join(
            value.tobytes() if hasattr(value, "tobytes") else repr(value).encode() for value in fields.values()
        )
        if key not in self._packed:
            self._packed[key] = int(self.parameters.Pack(builder))
        return self._packed[key]


def name_tensors_apart(model: Model) -> None:
    """Give every tensor the name ``SIGNATURE/NUMBER``: converters name the same nodes of two signatures alike."""
    keys = signature_of_subgraph(model)
    for index, graph in enumerate(model.subgraphs):
        for number, tensor in enumerate(graph.tensors):
            tensor.name = f"{keys.get(index, f'subgraph{index}')}/{number}".encode()


def signature_of_subgraph(model: Model) -> dict[int, str]:
    """Subgraph index to signature key."""
    return {signature.subgraphIndex: signature.signatureKey.decode() for signature in model.signatureDefs or ()}


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
