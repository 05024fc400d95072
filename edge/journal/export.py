"""A journal's tables as Parquet, CSV or JSON Lines, streamed: memory does not grow with the journal."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, Any

from boards.sensor import Method
from edge.journal.clock import UtcMap
from edge.journal.errors import JournalError
from edge.journal.reader import JournalReader
from edge.journal.summary import LABELS, variant_name

Row = tuple[Any, ...]
_ROW_GROUP = 100_000


class Format(str, Enum):
    """What a table can be written as."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True)
class Source:
    """A table to export: a query with the id first, paged by it, and the type of each column.

    `time` names the monotonic column from which `utc_ns` is made; `labels` says which columns get a text beside them.
    """

    table: str
    select: str
    columns: tuple[tuple[str, type], ...]
    time: str | None = None


def _ints(names: str) -> tuple[tuple[str, type], ...]:
    return tuple((name, int) for name in names.split())


_FRAME = _ints(
    "id run_id sequence start_ns end_ns variant_id skipped age_us prepare_us infer_us finish_us energy_uj"
    " infer_energy_uj uncertainty_uj samples method miou_ppm reused"
)
_SAMPLE_SELECT = (
    "SELECT s.id, s.run_id, s.second, s.channel_id, s.mean, s.min, s.max, c.name AS channel, c.quantity, c.unit"
    " FROM sample s JOIN channel c ON c.id = s.channel_id"
)
SOURCES = {
    "frame": Source("frame", "SELECT * FROM frame", _FRAME, "start_ns"),
    "sample": Source(
        "sample",
        f"SELECT * FROM ({_SAMPLE_SELECT})",
        (*_ints("id run_id second channel_id mean min max"), ("channel", str), ("quantity", str), ("unit", str)),
    ),
    "observation": Source(
        "observation", "SELECT * FROM observation", (*_ints("id run_id time_ns"), ("body", str)), "time_ns"
    ),
    "decision": Source(
        "decision",
        "SELECT * FROM decision",
        (*_ints("id run_id time_ns observation_id variant_id"), ("reason", str), ("body", str)),
        "time_ns",
    ),
    "switch": Source(
        "switch",
        "SELECT * FROM switch",
        (*_ints("id run_id time_ns from_id to_id"), ("reason", str), ("detail", str), ("cost_us", int)),
        "time_ns",
    ),
    "event": Source(
        "event",
        "SELECT * FROM event",
        (*_ints("id run_id time_ns level"), ("kind", str), ("message", str)),
        "time_ns",
    ),
    "clock": Source("clock", "SELECT * FROM clock", _ints("id run_id monotonic_ns utc_ns synchronised")),
    "run": Source(
        "run",
        "SELECT * FROM run",
        (
            *_ints("id started_utc_ns start_ns ended_ns ended_utc_ns"),
            *((name, str) for name in ("outcome", "board", "bundle", "config", "rails_included")),
            *_ints("energy_uj first_frame_id"),
        ),
    ),
    "variant": Source(
        "variant",
        "SELECT * FROM variant",
        (("id", int), *((name, str) for name in ("name", "path", "precision", "engine"))),
    ),
}


@dataclass(frozen=True)
class Stream:
    """Columns by name and type, and pages of rows in that order."""

    columns: tuple[tuple[str, type], ...]
    pages: Iterator[list[Row]]


def stream(journal: JournalReader, table: str, run_id: int | None = None) -> Stream:
    """A table ready to be written. Frames also carry their variant's name and the method in words.

    Rows with a monotonic time also carry `utc_ns`, null where the run's clock is unknown. Raises JournalError.
    """
    if table not in SOURCES:
        raise JournalError(f"there is no table {table!r}; there are {', '.join(SOURCES)}")
    source = SOURCES[table]
    names = [name for name, _ in source.columns]
    pages = _pages(journal, source, names, run_id)
    columns = source.columns
    extras: list[tuple[str, type, Callable[[Row], Any]]] = []
    if source.time is not None:
        extras.append(("utc_ns", int, _to_utc(journal, names.index("run_id"), names.index(source.time))))
    if table == "frame":
        extras += _in_words(journal, names.index("variant_id"), names.index("method"))
    if extras:
        columns = (*columns, *((name, kind) for name, kind, _ in extras))
        makers = [make for _, _, make in extras]
        pages = ([(*row, *(make(row) for make in makers)) for row in page] for page in pages)
    return Stream(columns, pages)


def export(journal: JournalReader, table: str, form: Format, out: Path | None, run_id: int | None = None) -> int:
    """Write a table to `out`, or to standard output when it is None; returns the number of rows.

    A file appears under its name only when it is whole. Raises JournalError, also when pyarrow is missing.
    """
    rows = stream(journal, table, run_id)
    if form is Format.PARQUET:
        if out is None:
            raise JournalError("parquet cannot go to a terminal: name a file with --out FILE.parquet")
        with _whole_file(out) as partial:
            return _write_parquet(rows, partial)
    write = _write_csv if form is Format.CSV else _write_jsonl
    if out is None:
        return write(rows, sys.stdout)
    with _whole_file(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        return write(rows, file)


@contextmanager
def _whole_file(out: Path) -> Iterator[Path]:
    partial = out.with_name(out.name + ".part")
    try:
        yield partial
        os.replace(partial, out)
    except OSError as error:
        raise JournalError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _pages(journal: JournalReader, source: Source, names: list[str], run_id: int | None) -> Iterator[list[Row]]:
    select = f"SELECT {', '.join(names)} FROM ({source.select})"
    if source.table == "frame":
        return journal.frame_pages(run_id)
    of_run = "" if run_id is None or source.table == "variant" else f" AND {_run_column(source)} = {int(run_id)}"
    return journal.pages(
        f"{select} WHERE id > ? AND id <= ?{of_run} ORDER BY id LIMIT ?", 0, journal.last_id(source.table)
    )


def _run_column(source: Source) -> str:
    return "id" if source.table == "run" else "run_id"


def _to_utc(journal: JournalReader, run_place: int, time_place: int) -> Callable[[Row], int | None]:
    clocks: dict[int, UtcMap] = {}

    def utc_ns(row: Row) -> int | None:
        run_id = row[run_place]
        if run_id is None:
            return None
        if run_id not in clocks:
            clocks[run_id] = journal.clock(run_id)
        return clocks[run_id].utc_ns(row[time_place])

    return utc_ns


def _in_words(
    journal: JournalReader, variant_place: int, method_place: int
) -> list[tuple[str, type, Callable[[Row], Any]]]:
    names = journal.variants()
    methods = {int(method): label for method, label in LABELS.items()}
    return [
        ("variant", str, lambda row: variant_name(names, row[variant_place])),
        ("method_name", str, lambda row: methods.get(row[method_place], LABELS[Method.UNAVAILABLE])),
    ]


def _write_csv(rows: Stream, file: IO[str]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([name for name, _ in rows.columns])
    count = 0
    for page in rows.pages:
        writer.writerows(page)
        count += len(page)
    return count


def _write_jsonl(rows: Stream, file: IO[str]) -> int:
    names = [name for name, _ in rows.columns]
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    count = 0
    for page in rows.pages:
        file.writelines(encode(dict(zip(names, row, strict=True))) + "\n" for row in page)
        count += len(page)
    return count


def _write_parquet(rows: Stream, path: Path) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise JournalError(
            "parquet needs pyarrow: pip install 'joulepath[parquet]', or export --format csv or jsonl"
        ) from error
    types = {int: pyarrow.int64(), str: pyarrow.string()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in rows.columns])
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _row_groups(rows.pages):
            arrays = [
                pyarrow.array(column, type=field.type)
                for column, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            count += len(group)
    return count


def _row_groups(pages: Iterator[list[Row]]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for page in pages:
        group.extend(page)
        if len(group) >= _ROW_GROUP:
            yield group
            group = []
    if group:
        yield group
