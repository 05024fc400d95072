"""What each recorded operation is called, from where its weights stand in the network's tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from converters.latency.keys import Node

# Operations that prepare what follows; all others without weights belong to what came before.
_PREPARING = ("rms_norm", "average_pool")
_OPERATIONS = {"attention": "product", "rms_norm": "rms norm", "average_pool": "average pool"}
_WORDS = {"feed_forward": "feed-forward", "patch_norm": "patch norm", "batch_norm": "batch norm", "maps": "map"}


def names(nodes: Sequence[Node], network: Any) -> dict[Node, str]:
    """A name for each node, such as ``stage 2 block 1 feed-forward up``.

    An operation with weights is called by their place in the tree; one without belongs to the part whose weights are
    read next (a norm) or were read last (an activation, a sum), with its own name at the end.
    """
    places = dict(_places(network, ()))
    own = [_own(node, places) for node in nodes]
    found: dict[Node, str] = {}
    for number, node in enumerate(nodes):
        place = own[number]
        if place is not None:
            found[node] = _spelt(place)
            continue
        before = next((p for p in reversed(own[:number]) if p is not None), None)
        after = next((p for p in own[number + 1 :] if p is not None), None)
        joins_next = node.operation in _PREPARING or (node.operation == "centre" and _feeds_norm(node, nodes))
        part = (after or before) if joins_next else (before or after)
        found[node] = f"{_spelt(part[:-1] if part else ())} {_OPERATIONS.get(node.operation, node.operation)}".strip()
    return found


def _feeds_norm(node: Node, nodes: Sequence[Node]) -> bool:
    readers = [other for other in nodes if node in other.sources]
    return bool(readers) and all(reader.operation == "rms_norm" for reader in readers)


def _own(node: Node, places: dict[int, tuple[str, ...]]) -> tuple[str, ...] | None:
    for argument in node.arguments:
        for array in _arrays(argument):
            if id(array) in places:
                return places[id(array)]
    return None


def _arrays(argument: Any) -> Iterator[Any]:
    if isinstance(argument, np.ndarray):
        yield argument
    elif is_dataclass(argument) and not isinstance(argument, Node):
        for field in fields(argument):
            yield from _arrays(getattr(argument, field.name))


def _places(tree: Any, at: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Each array with the path of the layer that holds it."""
    if isinstance(tree, np.ndarray):
        yield id(tree), at[:-1] if at[-1:] in (("weight",), ("bias",)) else at
    elif isinstance(tree, tuple):
        for number, one in enumerate(tree, start=1):
            yield from _places(one, (*at, str(number)))
    elif is_dataclass(tree):
        for field in fields(tree):
            yield from _places(getattr(tree, field.name), (*at, field.name))


def _spelt(place: tuple[str, ...]) -> str:
    words = [_WORDS.get(part, part[:-1] if part in ("stages", "blocks", "projections") else part) for part in place]
    return " ".join(words).replace("_", " ")
