"""Units as .tflite files, made by the emitter that whole networks are made with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from converters.latency.keys import Unit
from converters.litert import to_litert
from converters.ops import Ops


def unit_graph(unit: Unit) -> bytes:
    """The unit as a .tflite file of one signature."""
    inputs = {f"x{number}": node.shape for number, node in enumerate(unit.inputs)}
    return to_litert({"unit": unit.build}, inputs).content


def unit_graphs(units: Iterable[Unit], on_made: Callable[[str], None] = lambda key: None) -> Mapping[str, bytes]:
    """One file for each distinct key; `on_made` hears of each."""
    made: dict[str, bytes] = {}
    for unit in units:
        if unit.key not in made:
            made[unit.key] = unit_graph(unit)
            on_made(unit.key)
    return made


def empty_graph() -> bytes:
    """The least that the engine can run, a ReLU of one number: what calling it costs by itself."""

    def build(ops: Ops[Any]) -> None:
        ops.output("y", ops.relu(ops.input("x0", (1, 1, 1, 1))))

    return to_litert({"unit": build}, {"x0": (1, 1, 1, 1)}).content
