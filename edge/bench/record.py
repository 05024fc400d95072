"""A benchmark's result: what was measured, on what, how, and whether it reaches its goals; as a table and as files."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.bench.machine import Machine
from edge.errors import JoulepathError

Cell = str | int | float | None


class BenchError(JoulepathError):
    """A benchmark that cannot be run or recorded here."""


@dataclass(frozen=True)
class Goal:
    """One figure and the bound that it should keep: at least `bound`, or at most when `at_most`."""

    what: str
    measured: float | None
    bound: float
    unit: str = ""
    at_most: bool = False
    interval: tuple[float, float] | None = None
    why_unknown: str = ""

    @property
    def met(self) -> bool | None:
        """None when the figure could not be measured."""
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound

    def sentence(self) -> str:
        """The goal in words, such as ``ratio: 2.41x (95 % 2.38 to 2.44x), goal at least 2.30x: reached``."""
        goal = f"goal {'at most' if self.at_most else 'at least'} {_number(self.bound)}{self.unit}"
        if self.measured is None:
            return f"{self.what}: not measured ({self.why_unknown or 'no reason given'}), {goal}"
        interval = ""
        if self.interval is not None:
            interval = f" (95 % {_number(self.interval[0])} to {_number(self.interval[1])}{self.unit})"
        verdict = "reached" if self.met else "NOT reached"
        return f"{self.what}: {_number(self.measured)}{self.unit}{interval}, {goal}: {verdict}"


@dataclass(frozen=True)
class Table:
    """Rows of figures under headings that carry their units; None prints as a dash."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: a row has {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True)
class Result:
    """One run of one benchmark. `details` is what a reader may want to compute with: every single measurement."""

    name: str
    title: str
    command: str
    machine: Machine
    started_utc: str
    method: tuple[str, ...]
    tables: tuple[Table, ...]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether every goal was measured and met."""
        return all(goal.met for goal in self.goals)

    def as_json(self) -> dict[str, Any]:
        """Everything, with the verdict beside each goal."""
        body = asdict(self)
        for goal, written in zip(self.goals, body["goals"], strict=True):
            written["met"] = goal.met
        return body


def now_utc() -> str:
    """The wall clock, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def command_line(arguments: Sequence[str]) -> str:
    """What to type to repeat a run. Where folders lie is one machine's business: absolute paths lose their parents."""
    return shlex.join(["joulepath", *(_without_parents(argument) for argument in arguments)])


def _without_parents(argument: str) -> str:
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return option + equals + (Path(value).name if value.startswith("/") else value)


def markdown(result: Result) -> str:
    """The readable page: goals first, then the tables, then how and on what."""
    parts = [f"# {result.title}", ""]
    parts += [f"- {goal.sentence()}" for goal in result.goals]
    for table in result.tables:
        parts += ["", f"## {table.title}", "", _row(table.columns), _row(["---"] * len(table.columns))]
        parts += [_row([_cell(cell) for cell in row]) for row in table.rows]
    parts += ["", "## How", "", f"Command: `{result.command}` ({result.started_utc})", ""]
    parts += [f"- {line}" for line in result.method]
    parts += ["", "## On what", ""]
    parts += [f"- {line}" for line in result.machine.lines()]
    if result.notes:
        parts += ["", "## Notes", ""]
        parts += [f"- {note}" for note in result.notes]
    return "\n".join(parts) + "\n"


def write(result: Result, folder: Path) -> tuple[Path, Path]:
    """Write ``NAME.json`` and ``NAME.md`` into `folder`; returns both. Raises BenchError when it cannot be written."""
    json_path, page_path = folder / f"{result.name}.json", folder / f"{result.name}.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(result.as_json(), indent=1) + "\n")
        page_path.write_text(markdown(result))
    except OSError as error:
        raise BenchError(f"{folder}: cannot record results ({error.strerror}); name another --record folder") from error
    return json_path, page_path


def show(result: Result) -> None:
    """Print the result for people."""
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # a file or a pipe has no width: do not break cells for it
    for table in result.tables:
        drawn = RichTable(title=table.title, title_justify="left")
        for number, column in enumerate(table.columns):
            drawn.add_column(column, justify="left" if number == 0 else "right")
        for row in table.rows:
            drawn.add_row(*[_cell(cell) for cell in row])
        console.print(drawn)
    for goal in result.goals:
        colour = {True: "green", False: "red", None: "yellow"}[goal.met]
        console.print(goal.sentence(), style=colour, highlight=False)
    for line in (*result.notes, *result.machine.lines()):
        console.print(line, style="dim", highlight=False)


def _cell(cell: Cell) -> str:
    return "-" if cell is None else cell if isinstance(cell, str) else _number(cell)


def _number(value: float) -> str:
    """Three significant digits at least, never an exponent for what people read."""
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 0.9995 else f"{value:.3g}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
