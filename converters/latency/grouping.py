"""Which recorded operations are timed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.latency.keys import Grain, Node, Unit

# Operations that the engine computes inside the one that they follow.
FUSED = ("relu",)
# Outside of residual branches these begin a unit: what lies before them is the same for many paths.
BEGIN = ("linear",)


def grouped(nodes: Sequence[Node], grain: Grain) -> tuple[Unit, ...]:
    """Partition all nodes but inputs: each unit has one output, and units can run in the order that is returned.

    A residual branch around other residual branches is not swallowed whole: what surrounds them is units of its own.
    """
    from converters.latency.keys import Unit

    real = [node for node in nodes if node.operation != "input"]
    readers = _readers(nodes)
    branches = _residual_branches(real, readers) if grain == "block" else {}
    # Each unit stands under its last node so far; a later node may take whole units in.
    members: dict[Node, list[Node]] = {}
    closed: set[Node] = set()
    for node in real:
        branch = branches.get(node, [])
        if branch and not closed.intersection(branch):
            for inner in branch[:-1]:
                members.pop(inner, None)
            members[node] = branch
            closed.add(node)
            continue
        own: list[Node] = []
        if node.operation in FUSED or (grain == "block" and node.operation not in BEGIN):
            for source in dict.fromkeys(node.sources):
                if source in members and source not in closed and readers[source] == [node]:
                    own += members.pop(source)
        members[node] = [*sorted(own, key=lambda one: one.number), node]
    return tuple(Unit(tuple(group)) for group in sorted(members.values(), key=lambda group: group[-1].number))


def _readers(nodes: Sequence[Node]) -> dict[Node, list[Node]]:
    readers: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node in nodes:
        for source in dict.fromkeys(node.sources):
            readers[source].append(node)
    return readers


def _residual_branches(nodes: Sequence[Node], readers: Mapping[Node, list[Node]]) -> dict[Node, list[Node]]:
    """Residual branches by their last node: f of every ``add(x, f(x))`` where f reads only x and nothing else reads f.

    The addition belongs to the branch, unless others read f's result too: then the branch ends with that.
    """
    found: dict[Node, list[Node]] = {}
    for node in nodes:
        if node.operation != "add":
            continue
        for stream, end in (node.sources, node.sources[::-1]) if len(node.sources) == 2 else ():
            inside = _between(stream, end)
            if inside is None or not all(r in inside for one in inside if one is not end for r in readers[one]):
                continue
            branch = sorted(inside, key=lambda one: one.number)
            if readers[end] == [node]:
                branch.append(node)
            found.setdefault(branch[-1], branch)
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
