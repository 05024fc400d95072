"""int8 where it pays: matrix products and convolutions with enough work for each number that they move.

Quantizing everything leaves the fast kernels of today's engines (normalisation, softmax, GELU), and a small matrix
product spends more on converting its input and output than it saves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from converters import flatbuffer
from converters.errors import ConvertError
from converters.litert import LiteRtFile
from converters.quiet import quiet

# Multiply-accumulates for each number read or written, below which a product stays float. Measured on SegFormer-B0.
MIN_WORK = 28.0
_PRODUCTS = ("FULLY_CONNECTED", "CONV_2D")
Pixels = npt.NDArray[Any]


def to_int8(
    content: bytes,
    images: Iterable[Pixels],
    *,
    min_work: float = MIN_WORK,
    first_layer: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> LiteRtFile:
    """Quantize a float32 file whose only input is an image; every signature is calibrated on the same `images`.

    `images` are what the network takes: height x width x 3 (a batch of one may lead), any number type, BGR in 0..255.
    Fully connected layers and convolutions with at least `min_work` multiply-accumulates for each number moved become
    static int8 with a scale for each output channel; the convolution that reads pixels stays float unless
    `first_layer`. The same images give the same bytes. Raises ConvertError without images or with one of a wrong
    shape.
    """
    with quiet():
        from ai_edge_quantizer import quantizer
        from ai_edge_quantizer.qtyping import TFLOperationName

    model = flatbuffer.read_model(content)
    job = quantizer.Quantizer(bytearray(content))
    chosen = [name for graph in model.subgraphs for name in _worth_it(model, graph, min_work, first_layer)]
    if not chosen:
        raise ConvertError("no operation of this network is worth quantizing to int8; leave int8 out")
    # The quantizer looks for a pattern in "NAME;" of an operator's output tensors.
    pattern = f"^(?:{'|'.join(re.escape(name) for name in chosen)});?$"
    for operation in (TFLOperationName.FULLY_CONNECTED, TFLOperationName.CONV_2D):
        job.add_static_config(pattern, operation, activation_num_bits=8, weight_num_bits=8)
    pixels = _checked(images, tuple(int(n) for n in _input(model.subgraphs[0]).shape))
    signatures = {s.signatureKey.decode(): s.inputs[0].name.decode() for s in model.signatureDefs}
    say(f"calibrating {len(signatures)} paths on {len(pixels)} images")
    floats = [one.astype(np.float32) for one in pixels]
    with quiet():
        found = job.calibrate({key: [{name: one} for one in floats] for key, name in signatures.items()}, num_threads=1)
        result = job.quantize(found).quantized_model
    if result is None:
        raise ConvertError("the quantizer gave no model")
    quantized = flatbuffer.read_model(bytes(result))
    flatbuffer.name_tensors_apart(quantized)
    return LiteRtFile(flatbuffer.write_model(quantized), flatbuffer.operations(quantized))


def _worth_it(model: Any, graph: Any, min_work: float, first_layer: bool) -> Iterator[str]:
    seen_convolution = False
    for name, operator in flatbuffer.operators(model, graph):
        if name not in _PRODUCTS:
            continue
        reads_pixels = name == "CONV_2D" and not seen_convolution
        seen_convolution = seen_convolution or name == "CONV_2D"
        x, weight, y = (graph.tensors[i] for i in (operator.inputs[0], operator.inputs[1], operator.outputs[0]))
        moved = math.prod(map(int, x.shape)) + math.prod(map(int, y.shape))
        # Weights lead with outputs: what is left is the length of one sum.
        macs = math.prod(map(int, y.shape)) * math.prod(map(int, weight.shape[1:]))
        if macs >= min_work * moved and (first_layer or not reads_pixels):
            yield y.name.decode()


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
