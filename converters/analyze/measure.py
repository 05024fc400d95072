"""Each layer timed by itself on the engine, and the whole network beside it."""

from __future__ import annotations

from pathlib import Path

from converters.analyze.layers import Breakdown, with_times
from converters.families import segformer
from converters.latency.graphs import empty_graph, small_graph, unit_graph
from converters.latency.progress import Progress, progress_bar
from edge.study import Kit, LatencyTable, time_kit


def timed(
    found: list[tuple[Breakdown, segformer.Network]],
    size: tuple[int, int],
    file: Path | None,
    threads: int,
    rounds: int,
) -> tuple[list[Breakdown], str]:
    """The breakdowns with times, and what they were measured on; a table in `file` is used and extended.

    Raises StudyError when the table is another machine's and lacks layers.
    """
    table = LatencyTable.read(file) if file is not None and file.exists() else None
    with progress_bar() as progress:
        kit = _kit(found, size, table, progress)
        if table is None or kit.units or kit.compared:
            table = time_kit(
                kit,
                table=table,
                threads=threads,
                rounds=rounds,
                save=lambda grown: None if file is None else grown.save(file),
                progress=progress,
            )
    floor_ms = table.overhead_ms
    times = {
        key: (
            max(0.0, entry.median_ms - floor_ms),
            max(0.0, entry.p10_ms - floor_ms),
            max(0.0, entry.p90_ms - floor_ms),
        )
        for key, entry in table.entries.items()
    }
    forms = [with_times(form, times, table.compared[form.title].median_ms) for form, _ in found]
    threads_used = f"{table.threads} thread{'s' * (table.threads > 1)}"
    return forms, f"{table.engine} {table.version}, {threads_used}, float32, on {table.board} ({table.measured_utc})"


def _kit(
    found: list[tuple[Breakdown, segformer.Network]],
    size: tuple[int, int],
    table: LatencyTable | None,
    progress: Progress,
) -> Kit:
    known = set() if table is None else set(table.entries)
    units = {unit.key: unit for form, _ in found for unit in form.units if unit.key not in known}
    graphs: dict[str, bytes] = {}
    for number, (key, unit) in enumerate(units.items(), start=1):
        graphs[key] = unit_graph(unit)
        progress("building layers", number, len(units))
    wholes = {
        form.title: small_graph(segformer.builders({"whole": network}, size)["whole"], {segformer.INPUT: (1, *size, 3)})
        for form, network in found
        if table is None or form.title not in table.compared
    }
    return Kit(empty_graph(), units=graphs, compared=wholes)
