"""`joulepath probe` and `joulepath doctor`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from edge.doctor import Finding
    from edge.probe import BoardFinding, ChannelFinding

_PROBE_HELP = """What this board can tell: sensors with values, units, paths and the rates reached, and the cameras.

Examples:

  joulepath probe

  joulepath probe --board jetson --seconds 10 --json
"""
_DOCTOR_HELP = """What is missing or wrong here, and the remedy: engine, sensors, groups, camera, clock, disk, service.

The exit code is 1 when something is wrong, 0 when there are warnings at most.

Examples:

  joulepath doctor

  joulepath doctor --config /etc/joulepath/config.toml --json
"""
_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "wrong": "red"}


def register(app: typer.Typer) -> None:
    """Add the commands to the one command line."""
    app.command("probe", help=_PROBE_HELP)(probe)
    app.command("doctor", help=_DOCTOR_HELP)(doctor)


def probe(
    board: Annotated[str, typer.Option(help="as in joulepath run --board")] = "auto",
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="how long to sample, s")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    from edge.board import open_named_board
    from edge.probe import probe_board

    opened = open_named_board(board)
    if not as_json and sys.stderr.isatty():
        print(f"sampling {len(opened.channels)} channels for {seconds:g} s ...", file=sys.stderr)
    try:
        finding = probe_board(opened, seconds)
    finally:
        opened.close()
    if as_json:
        print(json.dumps(finding.as_dict(), ensure_ascii=False))
    else:
        _show(finding)


def _console() -> Console:
    from rich.console import Console

    # Into a pipe a table keeps a width that holds it.
    return Console(width=None if sys.stdout.isatty() else 140, highlight=False)


def _show(finding: BoardFinding) -> None:
    from rich.table import Table

    from edge.probe import short_path

    console = _console()
    console.print(f"[bold]{finding.model}[/] ({finding.board})")
    if finding.energy_channel is None:
        console.print("frame energy: [yellow]unavailable[/]")
    else:
        console.print(
            f"frame energy: from {finding.energy_channel} ({finding.energy_method}); "
            f"includes {', '.join(finding.rails_included) or finding.energy_channel}"
        )
    table = Table()
    table.add_column("channel", overflow="fold")
    for column in ("value", "range", "rate / wanted", "read"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("how", no_wrap=True)
    table.add_column("where", overflow="fold")
    for one in finding.channels:
        how = one.problem or one.method
        table.add_row(one.name, _value(one), _range(one), _rate(one), _cost(one), how, short_path(one.path))
    console.print(table)
    for camera in finding.cameras:
        refused = "" if camera.permitted else " [yellow](no permission: joulepath doctor tells the remedy)[/]"
        console.print(f"camera {camera.path}: {camera.name}{refused}")
    if not finding.cameras:
        console.print("no camera found under /dev/video*")
    for name, text in finding.details.items():
        console.print(f"[dim]{name}: {text}[/]")


def _value(one: ChannelFinding) -> str:
    return "–" if one.value is None else _number(one.value, one.unit)


def _range(one: ChannelFinding) -> str:
    if one.lowest is None or one.highest is None or one.lowest == one.highest:
        return ""
    return f"{_number(one.lowest, '')}–{_number(one.highest, '')}"


def _number(value: float, unit: str) -> str:
    if unit == "flag":
        return "yes" if value >= 0.5 else "no"
    if unit == "ratio":
        return f"{100 * value:.1f} %"
    digits = 1 if unit == "°C" else 3
    return f"{value:.{digits}f} {unit}".rstrip()


def _rate(one: ChannelFinding) -> str:
    reached = "–" if one.reached_hz is None else f"{one.reached_hz:.3g}"
    return f"{reached} / {one.wanted_hz:.3g} Hz"


def _cost(one: ChannelFinding) -> str:
    if one.read_us is None:
        return "–"
    return f"{one.read_us / 1000:.1f} ms" if one.read_us >= 1000 else f"{one.read_us:.0f} us"


def doctor(
    config: Annotated[Path | None, typer.Option(help="TOML file; /etc/joulepath/config.toml where it exists")] = None,
    board: Annotated[str | None, typer.Option(help="as in joulepath run --board")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> int:
    from edge.doctor import examine

    findings = examine(config=config, board=board)
    if as_json:
        print(json.dumps([one.as_dict() for one in findings], ensure_ascii=False))
    else:
        _tell(findings)
    return 1 if any(one.state == "wrong" for one in findings) else 0


def _tell(findings: list[Finding]) -> None:
    console = _console()
    for one in findings:
        console.print(f"[{_COLOURS[one.state]}]{one.state:<7}[/]", end=" ")
        console.print(f"{one.about}: {one.text}", soft_wrap=True, markup=False)
        if one.remedy:
            console.print(f"        -> {one.remedy}", style="bold", soft_wrap=True, markup=False)
    wrong = sum(one.state == "wrong" for one in findings)
    warnings = sum(one.state == "warning" for one in findings)
    console.print(f"{len(findings)} checks: {wrong} wrong, {warnings} warnings")
