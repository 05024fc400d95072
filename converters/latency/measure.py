"""Building the graphs that a latency table needs, and timing them here or packing them for a board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from converters.families import segformer
from converters.latency.graphs import empty_graph, small_graph, unit_graph
from converters.latency.keys import KeyOps, Unit, total
from converters.ops import Ops
from edge.study import Kit, LatencyTable, WholeGraph, time_kit
from edge.study.timing import ROUNDS

Networks = Mapping[str, tuple[segformer.Network, tuple[int, int]]]  # by name: the network and its image size
Progress = Callable[[str, int, int], None]


def build_kit(
    networks: Networks,
    *,
    wholes: Networks | None = None,
    held_out: Networks | None = None,
    compared: Mapping[str, bytes] | None = None,
    table: LatencyTable | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Kit:
    """All units of these networks; `wholes` also as they are, to fit the sum to, and `held_out` to check it with.

    What `table` holds already is left out. Raises ConvertError.
    """
    whole_ones = {**(held_out or {}), **(wholes or {})}
    units: dict[str, Unit] = {}
    for network, size in [*networks.values(), *whole_ones.values()]:
        units.update({unit.key: unit for unit in KeyOps.of(_builder(network, size)).units()})
    lacking = [unit for key, unit in units.items() if table is None or key not in table.entries]
    graphs: dict[str, bytes] = {}
    for number, unit in enumerate(lacking, start=1):
        graphs[unit.key] = unit_graph(unit)
        progress("building units", number, len(lacking))
    packed: dict[str, WholeGraph] = {}
    new = {name: one for name, one in whole_ones.items() if table is None or name not in table.wholes}
    for number, (name, (network, size)) in enumerate(new.items(), start=1):
        build = _builder(network, size)
        content = small_graph(build, {segformer.INPUT: (1, *size, 3)})
        packed[name] = WholeGraph(content, total(KeyOps.of(build).units()), fitted=name in (wholes or {}))
        progress("building networks", number, len(new))
    return Kit(empty_graph(), graphs, packed, dict(compared or {}))


def measure_table(
    networks: Networks,
    *,
    wholes: Networks | None = None,
    table: LatencyTable | None = None,
    file: Path | None = None,
    board: str | None = None,
    threads: int = 1,
    rounds: int = ROUNDS,
    progress: Progress = lambda what, done, total: None,
) -> LatencyTable:
    """`table` with what these networks need, timed on this machine; kept in `file` as it grows.

    A table that is in `file` already is extended. Raises StudyError.
    """
    if table is None and file is not None and file.exists():
        table = LatencyTable.read(file)
    kit = build_kit(networks, wholes=wholes, table=table, progress=progress)
    return time_kit(
        kit,
        table=table,
        board=board,
        threads=threads,
        rounds=rounds,
        save=(lambda grown: grown.save(file)) if file is not None else (lambda grown: None),
        progress=progress,
    )


def _builder(network: segformer.Network, size: tuple[int, int]) -> Callable[[Ops[Any]], None]:
    return lambda ops: segformer.build(ops, network, size)
