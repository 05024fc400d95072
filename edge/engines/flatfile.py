"""Reading a .tflite file without any inference library: tensors, operations, signatures, and what the maker noted.

A flatbuffer is tables whose fields are found through a vtable; the numbers below are the fields' places in TFLite's
published schema (schema.fbs, version 3) and in that of its metadata (metadata_schema.fbs).
"""

from __future__ import annotations

import math
import mmap
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edge.engines.contract import ModelRefused, TensorSpec

_DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8", 10: "float64",
    15: "uint32", 16: "uint16",
}  # fmt: skip
_CONV_2D, _DEPTHWISE_CONV_2D, _FULLY_CONNECTED, _TRANSPOSE_CONV, _BATCH_MATMUL = 3, 4, 9, 67, 126
_WEIGHTY = {_CONV_2D, _DEPTHWISE_CONV_2D, _FULLY_CONNECTED, _TRANSPOSE_CONV}
_NORMALIZATION_OPTIONS = 1


@dataclass(frozen=True)
class Graph:
    """One signature of a file, or its only graph (`signature` None)."""

    signature: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]  # by name when a signature is named: the order that engines use
    macs: int | None  # of convolutions and matrix products; None when a shape is not known
    parameters: int
    precision: str  # of most weights


@dataclass(frozen=True)
class ModelFile:
    """What a file says about itself. `mean` and `std` are the input's normalisation, where its metadata has one."""

    graphs: tuple[Graph, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    licence: str | None = None
    labels: tuple[str, ...] | None = None


def read_model_file(path: Path) -> ModelFile:
    """Read the file. Raises ModelRefused when it cannot be read or is not a whole .tflite file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelRefused(f"{path}: cannot be read ({error.strerror})") from error
    if content[4:8] != b"TFL3":
        raise ModelRefused(f"{path}: not a TensorFlow Lite model (its bytes 4 to 8 are not TFL3)")
    try:
        root = _Table.root(content)
        mean, std, licence = _metadata(root)
        return ModelFile(_graphs(root), mean, std, licence, _labels(path))
    except (struct.error, IndexError, KeyError, ValueError, UnicodeDecodeError, RecursionError) as error:
        raise ModelRefused(f"{path}: damaged or incomplete ({error}); copy the file again") from error


def is_quantized(path: Path) -> bool:
    """Whether any tensor of any graph is stored in integers with a scale. Raises ModelRefused for no such file.

    The file is mapped, not read: only its descriptions are touched, not its weights.
    """
    try:
        with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as content:
            graphs = _Table.root(content).tables(2)
            return any(_has_scale(tensor) for graph in graphs for tensor in graph.tables(0))
    except OSError as error:
        raise ModelRefused(f"{path}: cannot be read ({error.strerror})") from error
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise ModelRefused(f"{path}: damaged or incomplete ({error}); copy the file again") from error


def _has_scale(tensor: _Table) -> bool:
    quantization = tensor.table(4)
    return quantization is not None and len(quantization.floats(2)) > 0


@dataclass(frozen=True)
class _Table:
    """One table of a flatbuffer; `field` numbers count from 0."""

    content: bytes | mmap.mmap
    at: int

    @staticmethod
    def root(content: bytes | mmap.mmap) -> _Table:
        return _Table(content, _u32(content, 0))

    def _place(self, field: int) -> int | None:
        vtable = self.at - struct.unpack_from("<i", self.content, self.at)[0]
        if vtable < 0:
            raise ValueError("a table points before the file")
        size = struct.unpack_from("<H", self.content, vtable)[0]
        if 4 + 2 * field >= size:
            return None
        offset = struct.unpack_from("<H", self.content, vtable + 4 + 2 * field)[0]
        return self.at + offset if offset else None

    def number(self, field: int, kind: str, default: int = 0) -> int:
        place = self._place(field)
        return default if place is None else int(struct.unpack_from("<" + kind, self.content, place)[0])

    def table(self, field: int) -> _Table | None:
        place = self._place(field)
        return None if place is None else _Table(self.content, place + _u32(self.content, place))

    def _vector(self, field: int, item_bytes: int) -> tuple[int, int]:
        place = self._place(field)
        if place is None:
            return 0, 0
        start = place + _u32(self.content, place)
        count = _u32(self.content, start)
        if start + 4 + count * item_bytes > len(self.content):
            raise ValueError("a vector runs past the end of the file")
        return start + 4, count

    def tables(self, field: int) -> list[_Table]:
        start, count = self._vector(field, 4)
        places = range(start, start + 4 * count, 4)
        return [_Table(self.content, place + _u32(self.content, place)) for place in places]

    def numbers(self, field: int, kind: str) -> list[int]:
        start, count = self._vector(field, struct.calcsize(kind))
        return list(struct.unpack_from(f"<{count}{kind}", self.content, start))

    def floats(self, field: int) -> list[float]:
        start, count = self._vector(field, 4)
        return list(struct.unpack_from(f"<{count}f", self.content, start))

    def bytes(self, field: int) -> bytes:
        start, count = self._vector(field, 1)
        return self.content[start : start + count]

    def text(self, field: int) -> str:
        return self.bytes(field).decode()


def _u32(content: bytes | mmap.mmap, place: int) -> int:
    return int(struct.unpack_from("<I", content, place)[0])


def _graphs(root: _Table) -> tuple[Graph, ...]:
    # A code above 126 is in the newer field; older files have only the older one.
    codes = [max(c.number(0, "b"), c.number(3, "i")) for c in root.tables(1)]
    stored = [len(b.bytes(0)) > 0 or b.number(1, "Q") > 1 for b in root.tables(4)]
    graphs = [_Subgraph(table, codes, stored) for table in root.tables(2)]
    if not graphs:
        raise ValueError("there is no graph in it")
    signatures = root.tables(7)
    if len(signatures) < 2:
        return (graphs[0].describe(None, graphs[0].table.numbers(1, "i"), graphs[0].table.numbers(2, "i")),)
    found = [
        graphs[s.number(4, "I")].describe(s.text(2), _by_name(s.tables(0)), _by_name(s.tables(1))) for s in signatures
    ]
    return tuple(found)


def _by_name(tensor_maps: list[_Table]) -> list[int]:
    return [m.number(1, "I") for m in sorted(tensor_maps, key=lambda m: m.text(0))]


class _Subgraph:
    def __init__(self, table: _Table, codes: list[int], stored: list[bool]) -> None:
        self.table = table
        self._tensors = table.tables(0)
        self._codes = codes
        self._constant = [stored[t.number(2, "I")] for t in self._tensors]

    def describe(self, signature: str | None, inputs: list[int], outputs: list[int]) -> Graph:
        macs, parameters, weights = self._count()
        return Graph(
            signature,
            tuple(self._spec(i) for i in inputs),
            tuple(self._spec(i) for i in outputs),
            macs,
            parameters,
            max(weights, key=lambda name: weights[name]) if weights else "float32",
        )

    def _spec(self, index: int) -> TensorSpec:
        tensor = self._tensors[index]
        quantization = tensor.table(4)
        scales = quantization.floats(2) if quantization is not None else []
        zeros = quantization.numbers(3, "q") if quantization is not None else []
        whole = len(scales) == 1 and scales[0] != 0.0
        shape = tuple(max(n, 1) for n in tensor.numbers(0, "i"))
        zero_point = (zeros[0] if zeros else 0) if whole else None
        return TensorSpec(tensor.text(3), shape, self._dtype(index), scales[0] if whole else None, zero_point)

    def _dtype(self, index: int) -> str:
        code = self._tensors[index].number(1, "b")
        return _DTYPES.get(code, f"type {code}")

    def _shape(self, index: int) -> list[int]:
        return self._tensors[index].numbers(0, "i")

    def _count(self) -> tuple[int | None, int, dict[str, int]]:
        """Multiply-accumulates, parameters, and how many weights there are of each dtype."""
        macs: int | None = 0
        weights: dict[str, int] = {}
        used: set[int] = set()
        for operator in self.table.tables(3):
            code = self._codes[operator.number(0, "I")]
            inputs = [i for i in operator.numbers(1, "i") if i >= 0]
            outputs = operator.numbers(2, "i")
            work = self._work(code, inputs, outputs)
            macs = None if macs is None or work is None else macs + work
            for place, index in enumerate(inputs):
                # Integer constants elsewhere are shapes and axes, not parameters; here they are quantized biases.
                counts = "int32" not in self._dtype(index) or (code in _WEIGHTY and place == 2)
                if self._constant[index] and counts and self._dtype(index) != "int64" and index not in used:
                    used.add(index)
                    weights[self._dtype(index)] = weights.get(self._dtype(index), 0) + math.prod(self._shape(index))
        parameters = sum(weights.values())
        weights.pop("int32", None)
        return macs, parameters, {("int8" if k == "uint8" else k): v for k, v in weights.items()}

    def _work(self, code: int, inputs: list[int], outputs: list[int]) -> int | None:
        if code not in _WEIGHTY and code != _BATCH_MATMUL:
            return 0
        first, second, out = (self._shape(i) for i in (inputs[0], inputs[1], outputs[0]))
        if code == _TRANSPOSE_CONV:  # inputs: shape of the output, weights OHWI, image
            image = self._shape(inputs[2])
            return None if min(image) < 1 else math.prod(image) * math.prod(second[:3])
        if min(out) < 1:
            return None
        each = {
            _CONV_2D: math.prod(second[1:]),
            _DEPTHWISE_CONV_2D: math.prod(second[1:3]),
            _FULLY_CONNECTED: second[-1],
        }
        return math.prod(out) * (each[code] if code in each else _inner(first, out))


def _inner(first: list[int], out: list[int]) -> int:
    """The length that a matrix product sums over: of the two last sides of `first`, the one that is not in `out`."""
    return math.prod(first[-2:]) // out[-2]


def _metadata(root: _Table) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None, str | None]:
    """The first input's mean and standard deviation, and the licence, from the file's TFLITE_METADATA."""
    buffers = root.tables(4)
    for entry in root.tables(6):
        if entry.text(0) != "TFLITE_METADATA":
            continue
        model = _Table.root(buffers[entry.number(1, "I")].bytes(0))
        licence = model.text(5) or None
        for graph in model.tables(3)[:1]:
            for unit in [u for tensor in graph.tables(2)[:1] for u in tensor.tables(4)]:
                options = unit.table(1)
                if unit.number(0, "B") == _NORMALIZATION_OPTIONS and options is not None:
                    return tuple(options.floats(0)), tuple(options.floats(1)), licence
        return None, None, licence
    return None, None, None


def _labels(path: Path) -> tuple[str, ...] | None:
    """The labels that makers append to the file as a zip archive; None when there are none."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        texts = [name for name in archive.namelist() if name.endswith(".txt")]
        if len(texts) != 1:
            return None
        return tuple(line.strip() for line in archive.read(texts[0]).decode().splitlines() if line.strip())
