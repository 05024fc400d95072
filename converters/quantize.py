"""int8 where it pays: matrix products and convolutions with enough work for each number that they move.

Quantizing everything leaves the fast kernels of today's engines (normalisation, softmax, GELU), and a small matrix
product spends more on converting its input and output than it saves. Wider int8 takes every product and the
depthwise convolutions between them: then a feed-forward layer stays in int8 up to its GELU.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from converters import flatbuffer
from converters.errors import ConvertError
from converters.litert import LiteRtFile
from converters.quiet import quiet

# Multiply-accumulates for each number read or written, below which a product stays float. Measured on SegFormer-B0.
MIN_WORK = 28.0
PRODUCTS = ("FULLY_CONNECTED", "CONV_2D")
WIDE = (*PRODUCTS, "DEPTHWISE_CONV_2D")
Pixels = npt.NDArray[Any]
Say = Callable[[str], None]
# The same images for every signature, or by signature where their inputs differ in size.
Images = Iterable[Pixels] | Mapping[str, Iterable[Pixels]]


@dataclass(frozen=True)
class Layer:
    """One operation that may become int8.

    `output` names its output tensor, which names it; `group` is its kind, its channels, and how many positions it runs
    on: layers of one group do the same work, in whatever path.
    """

    output: str
    operation: str
    group: str
    macs: int
    moved: int  # numbers read and written, weights not counted
    reads_pixels: bool


def to_int8(
    content: bytes,
    images: Images,
    *,
    min_work: float = MIN_WORK,
    first_layer: bool = False,
    wide: bool = False,
    in_float: Collection[str] = (),
    say: Say = lambda _: None,
) -> LiteRtFile:
    """Quantize a float32 file whose only input is an image; every signature is calibrated on `images`.

    `images` are what the network takes: height x width x 3 (a batch of one may lead), any number type, BGR in 0..255.
    Fully connected layers and convolutions with at least `min_work` multiply-accumulates for each number moved become
    static int8 with a scale for each output channel; with `wide` all of them and the depthwise convolutions do. The
    convolution that reads pixels stays float unless `first_layer`, and so do the groups `in_float`. The same images
    give the same bytes. Raises ConvertError without images or with one of a wrong shape.
    """
    calibration = Calibration(content, images, say=say)
    return calibration.quantized(
        layer
        for layer in calibration.layers
        if layer.group not in in_float
        and (first_layer or not layer.reads_pixels)
        and (wide or (layer.operation in PRODUCTS and layer.macs >= min_work * layer.moved))
    )


class Calibration:
    """A float32 file with the ranges of its tensors measured, ready to be quantized in one way or another."""

    def __init__(self, content: bytes, images: Images, *, say: Say = lambda _: None) -> None:
        """Run every signature over `images`, in their order, on one thread. Raises ConvertError."""
        model = flatbuffer.read_model(content)
        self.content = content
        self.layers = tuple(layer for graph in model.subgraphs for layer in _layers(model, graph))
        if not self.layers:
            raise ConvertError("no operation of this network is worth quantizing to int8; leave int8 out")
        inputs = {s.signatureKey.decode(): model.subgraphs[s.subgraphIndex] for s in model.signatureDefs}
        names = {s.signatureKey.decode(): s.inputs[0].name.decode() for s in model.signatureDefs}
        same = None if isinstance(images, Mapping) else list(images)
        given = {}
        for key, graph in inputs.items():
            own = images[key] if isinstance(images, Mapping) else same
            pixels = _checked(own or (), tuple(int(n) for n in _input(graph).shape))
            given[key] = [{names[key]: one.astype(np.float32)} for one in pixels]
        say(f"calibrating {len(given)} paths on {len(next(iter(given.values())))} images")
        with quiet():
            self._ranges = _quantizer(content, self.layers).calibrate(given, num_threads=1)

    def quantized(self, chosen: Iterable[Layer]) -> LiteRtFile:
        """The file with the layers `chosen` in int8, all else in float. Raises ConvertError when nothing is chosen."""
        layers = tuple(chosen)
        if not layers:
            raise ConvertError("no operation of this network is worth quantizing to int8; leave int8 out")
        with quiet():
            result = _quantizer(self.content, layers).quantize(self._ranges).quantized_model
        if result is None:
            raise ConvertError("the quantizer gave no model")
        quantized = flatbuffer.read_model(bytes(result))
        flatbuffer.name_tensors_apart(quantized)
        return LiteRtFile(flatbuffer.write_model(quantized), flatbuffer.operations(quantized))


def _quantizer(content: bytes, layers: tuple[Layer, ...]) -> Any:
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.qtyping import TFLOperationName

    job = quantizer.Quantizer(bytearray(content))
    for operation in WIDE:
        names = [layer.output for layer in layers if layer.operation == operation]
        if names:
            # The quantizer looks for a pattern in "NAME;" of an operator's output tensors.
            pattern = f"^(?:{'|'.join(map(re.escape, names))});?$"
            job.add_static_config(pattern, TFLOperationName(operation), activation_num_bits=8, weight_num_bits=8)
    return job


def _layers(model: Any, graph: Any) -> Iterator[Layer]:
    seen_convolution = False
    for name, operator in flatbuffer.operators(model, graph):
        if name not in WIDE:
            continue
        reads_pixels = name == "CONV_2D" and not seen_convolution
        seen_convolution = seen_convolution or name == "CONV_2D"
        x, weight, y = (
            [int(n) for n in graph.tensors[i].shape]
            for i in (operator.inputs[0], operator.inputs[1], operator.outputs[0])
        )
        # Weights lead with outputs, so what is left is the length of one sum; depthwise ones end with channels.
        each = math.prod(weight[1:3]) if name == "DEPTHWISE_CONV_2D" else math.prod(weight[1:])
        yield Layer(
            graph.tensors[operator.outputs[0]].name.decode(),
            name,
            f"{_kind(name, weight)} {x[-1]}->{y[-1]} at {math.prod(y[:-1])}",
            math.prod(y) * each,
            math.prod(x) + math.prod(y),
            reads_pixels,
        )


def _kind(operation: str, weight: list[int]) -> str:
    if operation == "FULLY_CONNECTED":
        return "linear"
    return f"{'depthwise' if operation == 'DEPTHWISE_CONV_2D' else 'conv'} {weight[1]}x{weight[2]}"


def _input(graph: Any) -> Any:
    return graph.tensors[graph.inputs[0]]


def _checked(images: Iterable[Pixels], shape: tuple[int, ...]) -> list[Pixels]:
    pixels = []
    for number, image in enumerate(images, start=1):
        one = image if image.ndim == 4 else image[None]
        if one.shape != shape:
            raise ConvertError(f"calibration image {number} is {one.shape}, the network takes {shape}")
        pixels.append(one)
    if not pixels:
        raise ConvertError("int8 needs calibration images and got none; name a training set, such as camvid:DIR")
    return pixels
