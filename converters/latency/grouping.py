"""Which recorded operations are timed together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.latency.keys import Grain, Node, Unit

FUSED = ("relu",)


def grouped(nodes: Sequence[Node], grain: Grain) -> tuple[Unit, ...]:
    """Partition all nodes but inputs: each unit has one output, and units can run in the order that is returned.

    A residual branch around other residual branches is not swallowed whole: what surrounds them is units of its own.
    """
    from converters.latency.keys import Unit

    real = [node for node in nodes if node.operation != "input"]
    readers = _readers(nodes)
    # Every node's unit is named by the unit's last node so far; a later node may take whole units in.
    members: dict[Node, list[Node]] = {}
    closed: set[Node] = set()  # ends of residual branches: nothing joins them
    branches = _residual_branches(real, readers) if grain == "block" else {}
    for node in real:
        if node in branches and not closed.intersection(branches[node]):
            for inner in branches[node][:-1]:
                members.pop(inner, None)
            members[node] = branches[node]
            closed.add(node)
            continue
        own: list[Node] = []
        for source in dict.fromkeys(node.sources):
            joins = grain == "block" or node.operation in FUSED
            if joins and source in members and source not in closed and readers[source] == [node]:
                own += members.pop(source)
        members[node] = [*sorted(own, key=lambda one: one.number), node]
    return tuple(Unit(tuple(group)) for group in sorted(members.values(), key=lambda group: group[-1].number))


def _readers(nodes: Sequence[Node]) -> dict[Node, list[Node]]:
    readers: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node in nodes:
        for source in dict.fromkeys(node.sources):
            readers[source].append(node)
    return readers


def _residual_branches(nodes: Sequence[Node], readers: dict[Node, list[Node]]) -> dict[Node, list[Node]]:
    """For every ``add(x, f(x))``: the nodes of f and the addition, where f reads only x and nothing else reads f."""
    found: dict[Node, list[Node]] = {}
    for node in nodes:
        if node.operation != "add":
            continue
        for stream, branch in (node.sources, node.sources[::-1]) if len(node.sources) == 2 else ():
            inside = _between(stream, branch)
            if inside is not None and all(r in inside or r is node for one in inside for r in readers[one]):
                found[node] = [*sorted(inside, key=lambda one: one.number), node]
                break
    return found


def _between(start: Node, end: Node) -> set[Node] | None:
    """The nodes that lead from `start` (left out) to `end`; None when `end` needs anything older than `start`."""
    inside: set[Node] = set()
    waiting = [end]
    while waiting:
        node = waiting.pop()
        if node is start or node in inside:
            continue
        if node.number < start.number or node.operation == "input":
            return None
        inside.add(node)
        waiting += node.sources
    return inside
