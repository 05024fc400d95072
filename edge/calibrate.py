"""`joulepath calibrate`: a board's energy model from an external meter's readings."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.errors import JoulepathError, UsageError

if TYPE_CHECKING:
    from boards.board import Board, BoardInfo
    from boards.calibration import Calibration
    from edge.calibrate_load import Load
    from edge.calibrate_readings import Readings

ASSUMED_METER_ERROR = 0.02  # of a meter whose user states nothing: USB meters and socket meters promise 1 to 2 %
DEFAULT_OUT = Path("/etc/joulepath/calibration.json")
_REAL_BOARDS = ("auto", "jetson", "raspberry-pi", "linux")
_HELP = """Fit this board's energy model to the readings of an external meter (a USB meter, a socket meter).

Without --readings or --log it asks for the figures one after another: the board at rest, then each variant. --bundle
lets it run the variants itself; --running pins those of a daemon that runs already, camera and all; without either you
put the board into each state by hand. --channel fits scale and offset of a sensor that sees a part of the board only.

Examples:

  joulepath calibrate --bundle streets --meter "USB meter UM25C" --meter-error 1

  joulepath calibrate --running --meter "socket meter"

  joulepath calibrate --log wall.csv --journal /var/lib/joulepath/journal.db --meter "PZEM-004T"

  joulepath calibrate --channel pmic-rails --readings pi5.csv --meter "bench supply"
"""
_SHOW_HELP = """What a calibration says, how far it may be off, and its readings.

Example:

  joulepath calibrate show /etc/joulepath/calibration.json
"""


def register(app: typer.Typer) -> None:
    """Add the commands to the one command line."""
    group = typer.Typer(help=_HELP, invoke_without_command=True)
    group.callback(help=_HELP)(calibrate)
    group.command("show", help=_SHOW_HELP)(show)
    app.add_typer(group, name="calibrate")


def calibrate(
    context: typer.Context,
    board: Annotated[str, typer.Option(help="the board to calibrate, as in joulepath run --board")] = "auto",
    meter: Annotated[str | None, typer.Option(help="the meter's name, for the record")] = None,
    meter_error: Annotated[
        float | None, typer.Option(min=0, max=50, help="the meter's accuracy as its maker states it, percent")
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="run this bundle's variants as the load")] = None,
    running: Annotated[bool, typer.Option("--running", help="pin the variants of a daemon that runs already")] = False,
    variants: Annotated[str | None, typer.Option(help="only these variants, with commas between them")] = None,
    readings: Annotated[Path | None, typer.Option(help="CSV: state,watts[,busy_share] or sensor_w,watts")] = None,
    log: Annotated[
        Path | None, typer.Option(help="the meter's own log (CSV with time and power_w), for --journal")
    ] = None,
    journal: Annotated[Path | None, typer.Option(help="the journal of the run that the log was taken of")] = None,
    run: Annotated[int | None, typer.Option(help="which run of the journal; the last one by default")] = None,
    log_offset: Annotated[float, typer.Option(help="seconds added to the log's times")] = 0.0,
    channel: Annotated[str | None, typer.Option(help="correct this power channel: scale and offset")] = None,
    interpolate: Annotated[
        bool, typer.Option("--interpolate", help="variants of --bundle not read, between those read, by MACs")
    ] = False,
    socket: Annotated[Path | None, typer.Option(help="control socket of the daemon, for --running")] = None,
    threads: Annotated[int, typer.Option(min=0, help="inference threads of the load; 0 is every core")] = 0,
    out: Annotated[Path, typer.Option(help="where the calibration is kept")] = DEFAULT_OUT,
    force: Annotated[bool, typer.Option("--force", help="replace a calibration that is there")] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from boards.calibration import save_calibration
    from boards.sensor import BoardError

    if (readings is not None) + (log is not None) + (bundle is not None and not interpolate) + running > 1:
        raise UsageError("--readings, --log, --bundle and --running exclude each other: pass one of them")
    if interpolate and bundle is None:
        raise UsageError("--interpolate needs --bundle, which says what each variant costs")
    _require_place(out, force)
    asked = readings is None and log is None
    chosen = tuple(filter(None, (name.strip() for name in (variants or "").split(","))))
    with ExitStack() as stack:
        try:
            opened = _open(board)
            stack.callback(opened.close)
            if readings is not None:
                from edge.calibrate_readings import read_table

                taken = read_table(readings)
            elif log is not None:
                from edge.calibrate_readings import read_log
                from edge.journal.place import default_journal

                taken = read_log(log, journal or default_journal(), run, offset_s=log_offset, channel=channel)
            else:
                print(f"Board: {opened.info.model} ({opened.info.name}).")
                load = _load(bundle, running, socket, chosen, channel, threads)
                stack.callback(load.close)
                taken = _ask(load, opened, channel, stack)
            named = meter or (typer.prompt("The meter's name") if asked else "external meter, not named")
            try:
                made = _fit(taken, opened.info, named, meter_error, channel, bundle if interpolate else None)
            except BoardError as error:
                kept = f"; {_kept(taken, out)}" if asked and taken.points else ""
                raise UsageError(f"{error}{kept}") from error
            _describe(made)
            save_calibration(made, out)
        except BoardError as error:
            raise UsageError(str(error)) from error
    print(f"kept in {out}")
    _say_use(made, opened, out)


def _require_place(out: Path, force: bool) -> None:
    """Before anybody types ten readings: can the result be kept?"""
    if os.path.lexists(out) and not force:
        raise UsageError(f"{out} is there already: --force replaces it, --out names another file")
    folder = next((each for each in out.absolute().parents if os.path.exists(each)), Path("/"))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{out} cannot be written by this user: use sudo, or name another file with --out")


def _open(spec: str) -> Board:
    """The board as it is without any calibration."""
    from boards.detect import open_board

    kind, _, options = spec.partition(":")
    if kind in _REAL_BOARDS and "calibration=" not in options:
        spec = f"{kind}:{options},calibration=no" if options else f"{kind}:calibration=no"
    return open_board(spec)


def _load(
    bundle: Path | None, running: bool, socket: Path | None, chosen: tuple[str, ...], channel: str | None, threads: int
) -> Load:
    from boards.calibration import IDLE
    from edge.calibrate_load import ByHand, FlatOut, RunningDaemon

    if running:
        from edge.control import default_socket

        return RunningDaemon(socket or default_socket(), chosen)
    if bundle is not None:
        from edge.bundle import load_bundle

        opened = load_bundle(bundle)
        known = tuple(variant.id for variant in opened.manifest.variants)
        for name in chosen:
            if name not in known:
                raise UsageError(f"variant {name!r} is not in the bundle; it has: {', '.join(known)}")
        return FlatOut(opened, chosen or known, threads=threads)
    if not chosen and channel is not None:
        chosen = ("half-load", "full-load")
    if not chosen:
        raise UsageError("which variants? name them with --variants a,b, or give --bundle or --running")
    return ByHand((IDLE, *chosen))


def _ask(load: Load, board: Board, channel: str | None, stack: ExitStack) -> Readings:
    from edge.calibrate_load import ChannelMean
    from edge.calibrate_readings import ask_readings

    sensor = None
    if channel is not None:
        sensor = ChannelMean(board, channel)
        stack.callback(sensor.close)

    def prompt(text: str) -> str:
        return str(typer.prompt(text, default="", show_default=False))

    return ask_readings(load, sensor, prompt, print)


def _fit(
    taken: Readings, info: BoardInfo, meter: str, meter_percent: float | None, channel: str | None, bundle: Path | None
) -> Calibration:
    from importlib.metadata import PackageNotFoundError, version

    from boards.calibration_fit import Origin, fit_affine, fit_table

    try:
        joulepath = version("joulepath")
    except PackageNotFoundError:
        joulepath = "unknown"
    origin = Origin(
        board=info.name,
        board_model=info.model,
        meter=meter,
        meter_error=ASSUMED_METER_ERROR if meter_percent is None else meter_percent / 100,
        known=meter_percent is not None,
        resolution_w=taken.resolution_w,
        joulepath=joulepath,
    )
    if channel is not None:
        return fit_affine(taken.points, channel, origin)
    return fit_table(taken.points, origin, None if bundle is None else _costs(bundle))


def _kept(taken: Readings, out: Path) -> str:
    """Nobody types ten readings twice: they are written down where the calibration would be."""
    from edge.calibrate_readings import write_table

    path = out.with_suffix(".readings.csv")
    write_table(taken, path)
    return f"what you typed is kept in {path}: add lines to it, then give it with --readings"


def _costs(bundle: Path) -> dict[str, float]:
    from edge.bundle import load_bundle

    return {v.id: float(v.macs) for v in load_bundle(bundle).manifest.variants if v.macs}


def show(
    file: Annotated[Path, typer.Argument(help="the calibration file")] = DEFAULT_OUT,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    from boards.calibration import load_calibration
    from boards.sensor import BoardError

    try:
        found = load_calibration(file)
    except BoardError as error:
        raise JoulepathError(str(error)) from error
    if as_json:
        print(found.model_dump_json(indent=1))
        return
    _describe(found)


def _describe(made: Calibration) -> None:
    """The fit in words and a table."""
    from rich.console import Console
    from rich.table import Table

    from boards.calibration import TableModel

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    meter = f"{made.meter}, {made.meter_error:.1%}{'' if made.meter_error_known else ' assumed'}"
    console.print(f"{made.board_model} ({made.board}), {made.made_utc}, {meter}", markup=False)
    model = made.model
    if isinstance(model, TableModel):
        table = Table()
        table.add_column("state", overflow="fold")
        for heading in ("W", "± W (95 %)", "readings"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("from")
        for name, state in (("idle", model.idle), *model.variants.items()):
            origin = "readings" if state.origin == "read" else "between its neighbours"
            table.add_row(name, f"{state.watts:.3f}", f"{state.error_w:.3f}", str(state.readings), origin)
        console.print(table)
    else:
        console.print(
            f"board = {model.scale:.4f} * {model.channel} {model.offset_w:+.4f} W, "
            f"for {model.low_w:.2f} to {model.high_w:.2f} W of {model.channel}",
            markup=False,
        )
    left_out = "" if made.left_out_w is None else f", {made.left_out_w:.3f} W when each is left out in turn"
    console.print(f"{len(made.points)} readings scatter by {made.scatter_w:.3f} W around it{left_out}", markup=False)
    console.print(
        f"energies by it are within {made.relative_error:.1%} (95 %, the meter's own error included)", markup=False
    )
    for warning in made.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)


def _say_use(made: Calibration, board: Board, out: Path) -> None:
    if made.model.kind == "table" and board.energy_channel is not None:
        print(
            f"This board measures its own energy ({board.energy_channel}), so the table is used only when it is named: "
            f"--board {board.info.name}:calibration={out}"
        )
    elif out != DEFAULT_OUT:
        print(f"use it with --board {board.info.name}:calibration={out}")
