"""A kit: the graphs of a study in one zip file, so that a board can time what only a host can build.

``kit.json`` says which file is which; the graphs lie beside it. Timing fills a `LatencyTable` and can be interrupted:
what is measured is written as it comes, and a second run measures what is left.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge.bench.machine import Machine, describe_machine
from edge.bench.record import now_utc
from edge.engines.litert import LiteRtEngine, open_litert
from edge.study.errors import StudyError
from edge.study.table import BETWEEN_BYTES, Entry, LatencyTable, Whole
from edge.study.timing import ROUNDS, time_graphs

FORMAT = "joulepath latency kit 1"
# So many graphs are finished, and written, at a time.
CHUNK = 256
Progress = Callable[[str, int, int], None]  # what is being timed, done, of how many


@dataclass(frozen=True)
class WholeGraph:
    """A whole network and how often each unit occurs in it; not `fitted` when it is held out to check predictions."""

    graph: bytes
    units: Mapping[str, int]
    fitted: bool = True


@dataclass(frozen=True)
class Kit:
    """Graphs to time: units by key, whole networks by name, graphs to compare by name, and the empty graph."""

    empty: bytes
    units: Mapping[str, bytes] = field(default_factory=dict)
    wholes: Mapping[str, WholeGraph] = field(default_factory=dict)
    compared: Mapping[str, bytes] = field(default_factory=dict)

    def write(self, file: Path) -> None:
        """Write the zip whole or not at all. Raises StudyError when it cannot be written."""
        beside = file.with_name(f".{file.name}.new")
        try:
            with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
                index: dict[str, Any] = {"format": FORMAT, "empty": "empty.tflite"}
                packed.writestr("empty.tflite", self.empty)
                for kind, graphs in self._parts().items():
                    names = {key: f"{kind}/{number}.tflite" for number, key in enumerate(graphs)}
                    for key, name in names.items():
                        packed.writestr(name, graphs[key])
                    index[kind] = names
                index["contents"] = {
                    name: {"units": dict(whole.units), "fitted": whole.fitted} for name, whole in self.wholes.items()
                }
                packed.writestr("kit.json", json.dumps(index, indent=1))
            beside.replace(file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise StudyError(f"{file}: the kit cannot be written ({error.strerror})") from error

    def _parts(self) -> dict[str, Mapping[str, bytes]]:
        wholes = {name: whole.graph for name, whole in self.wholes.items()}
        return {"units": self.units, "wholes": wholes, "compared": self.compared}

    @classmethod
    def read(cls, file: Path) -> Kit:
        """A kit from its zip. Raises StudyError when it is none."""
        try:
            with zipfile.ZipFile(file) as packed:
                index = json.loads(packed.read("kit.json"))
                if index.get("format") != FORMAT:
                    raise StudyError(f"{file}: a kit of format {index.get('format')!r}, expected {FORMAT!r}")
                units, wholes, compared = (
                    {key: packed.read(name) for key, name in index[kind].items()}
                    for kind in ("units", "wholes", "compared")
                )
                contents = index["contents"]
                return cls(
                    packed.read(index["empty"]),
                    units,
                    {name: WholeGraph(graph, **contents[name]) for name, graph in wholes.items()},
                    compared,
                )
        except OSError as error:
            raise StudyError(f"{file}: the kit cannot be read ({error.strerror or error})") from error
        except (zipfile.BadZipFile, KeyError, ValueError, AttributeError, TypeError) as error:
            raise StudyError(f"{file}: not a latency kit, or a damaged one ({error}); copy or make it again") from error


def new_table(board: str | None, threads: int, empty: bytes, engine: LiteRtEngine) -> LatencyTable:
    """An empty table of this machine."""
    machine = describe_machine((engine.name, "numpy"))
    overhead = time_graphs({"empty graph": empty}, threads, between_bytes=BETWEEN_BYTES, engine=engine)["empty graph"]
    return LatencyTable(
        board=board or _board_name(machine),
        machine=asdict(machine),
        engine=engine.name,
        version=engine.version,
        threads=threads,
        measured_utc=now_utc(),
        between_bytes=BETWEEN_BYTES,
        overhead_ms=overhead.median_ms,
    )


def _board_name(machine: Machine) -> str:
    return f"{machine.cpu}, {machine.cores} cores"


def time_kit(
    kit: Kit,
    *,
    table: LatencyTable | None = None,
    board: str | None = None,
    threads: int = 1,
    rounds: int = ROUNDS,
    save: Callable[[LatencyTable], None] = lambda table: None,
    progress: Progress = lambda what, done, total: None,
    engine: LiteRtEngine | None = None,
) -> LatencyTable:
    """Time what `table` does not hold yet; `save` hears of the table after every `CHUNK` graphs.

    Raises StudyError when `table` was measured elsewhere (other machine, engine or threads), and what
    `edge.study.timing.time_graphs` raises.
    """
    chosen = engine or open_litert()
    here = new_table(board, threads, kit.empty, chosen)
    if table is not None and (difference := table.elsewhere(here)) is not None:
        raise StudyError(
            f"the table cannot be extended here: this is {difference}; "
            "time the kit on the table's own board and engine, or write another table"
        )
    table = table or here
    for what, names, between_bytes in (
        ("units", [key for key in kit.units if key not in table.entries], table.between_bytes),
        ("networks", [name for name in kit.wholes if name not in table.wholes], 0),
        ("comparisons", [name for name in kit.compared if name not in table.compared], 0),
    ):
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            found = time_graphs(
                {name: _graph(kit, what, name) for name in chunk},
                threads,
                rounds,
                between_bytes=between_bytes,
                engine=chosen,
                on_progress=_from(progress, what, start, len(chunk), len(names)),
            )
            table = _added(
                table, kit, what, {name: Entry.of(t, each=what == "comparisons") for name, t in found.items()}
            )
            save(table)
    return table


def _from(progress: Progress, what: str, start: int, count: int, total: int) -> Callable[[int, int], None]:
    """A chunk's turns as graphs of all."""
    return lambda turns, of: progress(what, start + count * turns // of, total)


def _graph(kit: Kit, what: str, name: str) -> bytes:
    if what == "networks":
        return kit.wholes[name].graph
    return (kit.units if what == "units" else kit.compared)[name]


def _added(table: LatencyTable, kit: Kit, what: str, entries: dict[str, Entry]) -> LatencyTable:
    if what == "units":
        return table.extended(entries=entries)
    if what == "comparisons":
        return table.extended(compared=entries)
    wholes = {
        name: Whole(units=dict(kit.wholes[name].units), timing=entry, fitted=kit.wholes[name].fitted)
        for name, entry in entries.items()
    }
    return table.extended(wholes=wholes)
