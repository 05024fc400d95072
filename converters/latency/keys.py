"""Collecting a network as units: the pieces that are timed by themselves, each with a key that says what it computes.

`KeyOps` walks ``build(ops, network, size)`` like any emitter and records the calls. What belongs together is found
from the recorded graph alone, so a network family needs to say nothing:

- grain ``block``: a residual branch with its addition (a whole attention, a whole feed-forward layer) is one unit; of
  the rest, operations that feed each other and nobody else are one unit (a patch embedding with its norm, the decoder).
- grain ``layer``: every operation by itself, as the engine runs it: biases are part of their operation already, an
  activation joins the operation that it follows.

A key is the unit's calls with shapes in place of weights, so equal keys mean equal work whatever the weights hold.
Whether a layer has a bias is left out: the engine starts its sums from one either way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, TypeVar, cast

import numpy as np

from converters.ops import Ops, Shape
from converters.ops.count import CountOps

T = TypeVar("T")
Grain = Literal["block", "layer"]
# What a unit of several operations is called: the first of these whose operations all occur in it.
_KINDS = {
    "attention": ("attention",),
    "feed-forward": ("depthwise", "gelu"),
    "embedding": ("conv",),
    "decoder": ("linear", "resize"),
    "spreading": ("resize",),
    "norm": ("rms_norm",),
}


@dataclass(frozen=True, eq=False)
class Node:
    """One recorded call: its operation, the tensors that it reads, its other arguments in order, what it gives.

    `arguments` holds a `Node` in the place of each tensor, and a list of nodes where the operation takes a list.
    """

    number: int
    operation: str
    arguments: tuple[Any, ...]
    shape: Shape

    @property
    def sources(self) -> tuple[Node, ...]:
        """The tensors that it reads."""
        found: list[Node] = []
        for argument in self.arguments:
            found += [a for a in (argument if isinstance(argument, list) else [argument]) if isinstance(a, Node)]
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Unit:
    """Nodes that are timed together, in order; the last one's result is the unit's only output."""

    nodes: tuple[Node, ...]

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The tensors from outside, in the order in which they are first read."""
        inside = set(self.nodes)
        found = [source for node in self.nodes for source in node.sources if source not in inside]
        return tuple(dict.fromkeys(found))

    @property
    def output(self) -> Node:
        """The node whose tensor leaves the unit."""
        return self.nodes[-1]

    @property
    def kind(self) -> str:
        """What people call it: attention, feed-forward, embedding, decoder, or its operations."""
        operations = [node.operation for node in self.nodes]
        for kind, telling in _KINDS.items():
            if len(operations) > 1 and all(operation in operations for operation in telling):
                return kind
        return "+".join(operations)

    @property
    def key(self) -> str:
        """The calls, with ``i0 i1 ..`` for inputs and ``t0 t1 ..`` for results, shapes in place of weights."""
        names = {node: f"i{number}" for number, node in enumerate(self.inputs)}
        text = [f"{name}={'x'.join(map(str, node.shape))}" for node, name in names.items()]
        for number, node in enumerate(self.nodes):
            names[node] = f"t{number}"
            text.append(f"{node.operation}({','.join(_words(argument, names) for argument in node.arguments)})")
        return ";".join(text)

    def build(self, ops: Ops[T]) -> None:
        """Write the unit as a graph of its own: inputs ``x0 x1 ..``, output ``y``."""
        made: dict[Node, T] = {node: ops.input(f"x{number}", node.shape) for number, node in enumerate(self.inputs)}

        def given(argument: Any) -> Any:
            if isinstance(argument, list):
                return [given(one) for one in argument]
            return made[argument] if isinstance(argument, Node) else argument

        for node in self.nodes:
            made[node] = getattr(ops, node.operation)(*map(given, node.arguments))
        ops.output("y", made[self.output])


class KeyOps:
    """`Ops` that records. An operation that is added to `Ops` is recorded too, once `CountOps` knows its shape."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.outputs: dict[str, Node] = {}
        self._count = CountOps()

    @classmethod
    def of(cls, build: Callable[[Ops[Any]], None]) -> KeyOps:
        """What `build` writes, recorded."""
        recorded = cls()
        build(cast("Ops[Any]", recorded))
        return recorded

    def input(self, name: str, shape: Shape) -> Node:
        return self._record("input", (name, shape), shape)

    def output(self, name: str, x: Node) -> None:
        self.outputs[name] = x

    def shape(self, x: Node) -> Shape:
        return x.shape

    def __getattr__(self, operation: str) -> Callable[..., Node]:
        if operation.startswith("_"):
            raise AttributeError(operation)
        counted = getattr(self._count, operation)

        def record(*arguments: Any) -> Node:
            return self._record(operation, arguments, counted(*map(_shapes, arguments)))

        return record

    def units(self, grain: Grain = "block") -> tuple[Unit, ...]:
        """Everything recorded, in units, in the order in which they can run."""
        from converters.latency.grouping import grouped

        return grouped(self.nodes, grain)

    def _record(self, operation: str, arguments: tuple[Any, ...], shape: Shape) -> Node:
        node = Node(len(self.nodes), operation, tuple(arguments), shape)
        self.nodes.append(node)
        return node


def _shapes(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_shapes(one) for one in argument]
    return argument.shape if isinstance(argument, Node) else argument


def _words(argument: Any, names: dict[Node, str]) -> str:
    if isinstance(argument, Node):
        return names[argument]
    if isinstance(argument, list):
        return f"[{','.join(_words(one, names) for one in argument)}]"
    if isinstance(argument, np.ndarray):
        return f"<{'x'.join(map(str, argument.shape))}>"
    if is_dataclass(argument):
        told = [f.name for f in fields(argument) if f.name != "bias"]
        return "{" + ",".join(f"{name}:{_words(getattr(argument, name), names)}" for name in told) + "}"
    if isinstance(argument, tuple):
        return "x".join(map(str, argument))
    return f"{argument:g}" if isinstance(argument, float) else str(argument)


def total(units: Sequence[Unit]) -> dict[str, int]:
    """How often each key occurs."""
    counts: dict[str, int] = {}
    for unit in units:
        counts[unit.key] = counts.get(unit.key, 0) + 1
    return counts
