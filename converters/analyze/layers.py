"""A network layer by layer: multiply-accumulates, parameters, bytes moved, and what the engine takes for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from converters.analyze.names import names
from converters.latency.keys import KeyOps, Unit
from converters.ops.count import CountOps

_BYTES = 4  # float32
_KINDS = {
    "conv": "convolution",
    "depthwise": "depthwise convolution",
    "linear": "linear map",
    "attention": "attention product",
    "rms_norm": "normalisation",
    "centre": "normalisation",
    "scale": "normalisation",
    "shift": "normalisation",
    "gelu": "activation",
    "relu": "activation",
    "add": "addition",
    "concat": "concatenation",
    "resize": "resize",
    "average_pool": "pooling",
}
# In the published decoder these two are convolutions with a 1x1 kernel; counted as such, as the papers do.
_CONVOLUTIONS = ("decoder fuse", "decoder classifier")


@dataclass(frozen=True)
class Layer:
    """One operation that the engine runs as a unit, with what is fused into it.

    `bytes_read` counts its inputs and weights, `bytes_written` its result, float32. `median_ms` is None where nothing
    was measured; `p10_ms` and `p90_ms` hold the middle 80 % of rounds.
    """

    name: str
    kind: str
    macs: int
    parameters: int
    bytes_read: int
    bytes_written: int
    key: str
    median_ms: float | None = None
    p10_ms: float | None = None
    p90_ms: float | None = None

    @property
    def bytes_moved(self) -> int:
        """Read and written."""
        return self.bytes_read + self.bytes_written


@dataclass(frozen=True)
class Breakdown:
    """A network's layers in order, and the whole as it was measured."""

    title: str
    layers: tuple[Layer, ...]
    units: tuple[Unit, ...]
    whole_ms: float | None = None

    @property
    def macs(self) -> int:
        """Of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Of all layers; weights that two layers share count twice."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def layers_ms(self) -> float | None:
        """The sum of the layers' times, None when one is missing."""
        times = [layer.median_ms for layer in self.layers]
        return None if None in times else math.fsum(time for time in times if time is not None)

    def by_kind(self) -> dict[str, Layer]:
        """Sums of all layers of a kind, largest in multiply-accumulates first; the name is their number."""
        kinds: dict[str, list[Layer]] = {}
        for layer in self.layers:
            kinds.setdefault(layer.kind, []).append(layer)
        sums = {kind: _summed(kind, layers) for kind, layers in kinds.items()}
        return dict(sorted(sums.items(), key=lambda item: (-item[1].macs, -item[1].bytes_moved)))


def breakdown(title: str, network: Any, build: Any) -> Breakdown:
    """The layers of what ``build(ops)`` writes; `network` is the tree that holds its weights, for their names."""
    recorded = KeyOps.of(build)
    units = recorded.units("layer")
    called = names([node for node in recorded.nodes if node.operation != "input"], network)
    return Breakdown(title, tuple(_layer(unit, called[unit.nodes[0]]) for unit in units), units)


def with_times(found: Breakdown, times: Mapping[str, tuple[float, float, float]], whole_ms: float) -> Breakdown:
    """The same with (median, p10, p90) ms by key, and the whole network's median."""
    layers = tuple(
        replace(layer, median_ms=times[layer.key][0], p10_ms=times[layer.key][1], p90_ms=times[layer.key][2])
        for layer in found.layers
    )
    return replace(found, layers=layers, whole_ms=whole_ms)


def _layer(unit: Unit, name: str) -> Layer:
    ops = CountOps()
    unit.build(ops)
    cost = ops.cost()
    return Layer(
        name=name,
        kind="convolution" if name in _CONVOLUTIONS else _KINDS.get(unit.nodes[0].operation, unit.nodes[0].operation),
        macs=cost.macs,
        parameters=cost.parameters,
        bytes_read=_BYTES * (cost.parameters + _sizes(node.shape for node in unit.inputs)),
        bytes_written=_BYTES * _sizes([unit.output.shape]),
        key=unit.key,
    )


def _sizes(shapes: Iterable[tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes)


def _summed(kind: str, layers: list[Layer]) -> Layer:
    times = [layer.median_ms for layer in layers]
    return Layer(
        name=f"{len(layers)}",
        kind=kind,
        macs=sum(layer.macs for layer in layers),
        parameters=sum(layer.parameters for layer in layers),
        bytes_read=sum(layer.bytes_read for layer in layers),
        bytes_written=sum(layer.bytes_written for layer in layers),
        key="",
        median_ms=None if None in times else math.fsum(time for time in times if time is not None),
    )
