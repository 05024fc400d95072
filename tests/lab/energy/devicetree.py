"""A board's device tree: qemu's own for its arm64 machine, with a bus and a labelled power monitor added.

Labels and shunts of an INA3221 come from the device tree alone, so that is where the lab has them, as a Jetson does.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.tools import checked, require_tools

_HEADER = struct.Struct(">10I")
_MAGIC = 0xD00DFEED
_BEGIN, _END_NODE, _PROPERTY, _END = (struct.pack(">I", token) for token in (1, 2, 3, 9))


@dataclass(frozen=True)
class Node:
    """A node with its properties, as the bytes that a flattened tree holds, and the nodes in it."""

    name: str
    properties: dict[str, bytes] = field(default_factory=dict)
    children: tuple[Node, ...] = ()


def cell(value: int) -> bytes:
    """A number as a property's value."""
    return struct.pack(">I", value)


def text(value: str) -> bytes:
    """A string as a property's value."""
    return value.encode() + b"\0"


def power_monitor(labels: tuple[str, ...], shunt_uohm: int, *, single_shot: bool = False) -> Node:
    """The lab's bus with an INA3221 at 0x40 whose inputs carry the labels."""
    cells = {"#address-cells": cell(1), "#size-cells": cell(0)}
    inputs = tuple(
        Node(
            f"input@{number}",
            {"reg": cell(number), "label": text(label), "shunt-resistor-micro-ohms": cell(shunt_uohm)},
        )
        for number, label in enumerate(labels)
    )
    mode = {"ti,single-shot": b""} if single_shot else {}
    chip = Node("power-monitor@40", {"compatible": text("ti,ina3221"), "reg": cell(0x40), **cells, **mode}, inputs)
    return Node("lab-i2c", {"compatible": text("joulepath,lab-i2c"), **cells}, (chip,))


def with_node(tree: bytes, node: Node) -> bytes:
    """A flattened device tree with one more node in its root.

    Raises ValueError for bytes that are no such tree.
    """
    magic, _, at_struct, at_strings, at_reserved, version, oldest, cpu, strings_size, struct_size = _HEADER.unpack_from(
        tree
    )
    body = tree[at_struct : at_struct + struct_size]
    if magic != _MAGIC or not body.endswith(_END_NODE + _END):
        raise ValueError("not a flattened device tree")
    reserved = tree[at_reserved : min(at for at in (at_struct, at_strings, len(tree)) if at > at_reserved)]
    strings = bytearray(tree[at_strings : at_strings + strings_size])
    body = body[: -len(_END_NODE + _END)] + _flattened(node, strings) + _END_NODE + _END
    starts = _HEADER.size, _HEADER.size + len(reserved), _HEADER.size + len(reserved) + len(body)
    size = starts[2] + len(strings)
    header = _HEADER.pack(magic, size, starts[1], starts[2], starts[0], version, oldest, cpu, len(strings), len(body))
    return header + reserved + body + bytes(strings)


def _flattened(node: Node, strings: bytearray) -> bytes:
    parts = [_BEGIN, _padded(text(node.name))]
    for name, value in node.properties.items():
        at = len(strings)
        strings += text(name)
        parts += [_PROPERTY, struct.pack(">II", len(value), at), _padded(value)]
    parts += [_flattened(child, strings) for child in node.children]
    return b"".join([*parts, _END_NODE])


def _padded(value: bytes) -> bytes:
    return value + b"\0" * (-len(value) % 4)


def emulated_tree(folder: Path, words: list[str]) -> bytes:
    """The device tree that qemu gives to the machine that `words` (its command line) describe."""
    require_tools([words[0]])
    place = folder / "emulated.dtb"
    machine = words.index("-M") + 1
    checked([*words[:machine], f"{words[machine]},dumpdtb={place}", *words[machine + 1 :]])
    return place.read_bytes()
