"""Building the graphs that a latency table needs, and timing them here or packing them for a board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from converters.families import segformer
from converters.latency.graphs import empty_graph, unit_graph
from converters.latency.keys import KeyOps, total
from converters.litert import to_litert
from converters.ops import Ops
from edge.study import Kit, LatencyTable, WholeGraph, time_kit
from edge.study.timing import ROUNDS

Networks = Mapping[str, tuple[segformer.Network, tuple[int, int]]]  # by name: the network and its image size
Progress = Callable[[str, int, int], None]


def build_kit(
    networks: Networks,
    *,
    wholes: Networks | None = None,
    compared: Mapping[str, bytes] | None = None,
    table: LatencyTable | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Kit:
    """The units of `networks` and `wholes`, and `wholes` themselves to fit the sum to; without what `table` holds."""
    whole_ones, units = dict(wholes or {}), {}
    for network, size in [*networks.values(), *whole_ones.values()]:
        units.update({unit.key: unit for unit in KeyOps.of(_builder(network, size)).units()})
    lacking = [unit for key, unit in units.items() if table is None or key not in table.entries]
    graphs = {}
    for number, unit in enumerate(lacking, start=1):
        graphs[unit.key] = unit_graph(unit)
        progress("building units", number, len(lacking))
    packed = {}
    for number, (name, (network, size)) in enumerate(whole_ones.items(), start=1):
        if table is None or name not in table.wholes:
            build = _builder(network, size)
            content = to_litert({"network": build}, {segformer.INPUT: (1, *size, 3)}).content
            packed[name] = WholeGraph(content, total(KeyOps.of(build).units()))
        progress("building networks", number, len(whole_ones))
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
