"""`joulepath run`, `status` and `switch`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.daemon import Daemon, RunOptions, Summary
    from edge.service import Manager, Reporter

_RUN_HELP = """Stream a camera through a bundle, switch variants by power, heat and battery, keep every frame's energy.

Examples:

  joulepath run --bundle streets --camera /dev/video0 --board linux

  joulepath run --bundle streets --camera synthetic --board simulated --frames 200 --json

  joulepath run --bundle streets --camera drive.mp4 --board simulated --overlay seen.mp4
"""


def register(app: typer.Typer) -> None:
    """Add the commands to the one command line."""
    app.command("run", help=_RUN_HELP)(run)
    app.command("status", help="What a running daemon does now.\n\nExample:\n\n  joulepath status --json")(status)
    app.command(
        "switch",
        help="Pin a variant by hand, or give the choice back.\n\n"
        "Examples:\n\n  joulepath switch p2-int8\n\n  joulepath switch auto",
    )(switch)


def run(
    bundle: Annotated[Path | None, typer.Option(help="bundle directory; demo is the one in the package")] = None,
    camera: Annotated[str | None, typer.Option(help="synthetic, a video file, an image folder, or /dev/videoN")] = None,
    board: Annotated[
        str | None,
        typer.Option(help="auto, jetson, raspberry-pi, linux, replay or simulated[:key=value,...]"),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; /etc/joulepath/config.toml where it exists")] = None,
    journal: Annotated[Path | None, typer.Option(help="journal database, made when absent")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="stop after so many frames")] = None,
    socket: Annotated[Path | None, typer.Option(help="control socket for status and switch")] = None,
    pin: Annotated[str | None, typer.Option(help="hold one variant, emergencies excepted")] = None,
    threads: Annotated[int | None, typer.Option(min=0, help="inference threads; 0 is every core")] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="write an H.264 video of frames and masks (extra [video])")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as JSON")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no live view, only errors and the summary")] = False,
    service: Annotated[
        bool, typer.Option("--service", help="as joulepath.service runs it: wait for a missing camera, log lines")
    ] = False,
) -> None:
    from edge.config import load_config
    from edge.control import default_socket
    from edge.daemon import RunOptions
    from edge.journal.place import default_journal
    from edge.service_log import ServiceLog

    settings = load_config(config)
    options = RunOptions(
        bundle=bundle_folder(_needed(bundle or settings.bundle, "--bundle", "bundle")),
        camera=str(_needed(camera or settings.camera, "--camera", "camera")),
        board=board or settings.board or "auto",
        journal=journal or settings.journal_file or default_journal(),
        config=settings,
        reload=lambda: load_config(config),
        frames=frames,
        socket=socket or settings.socket or default_socket(),
        pin=pin,
        threads=threads,
        wait_for_camera=service,
    )
    log = ServiceLog(_to_stderr, time.monotonic).line if service else None
    summary = serve(options, overlay=overlay, quiet=quiet or as_json or service, log=log)
    print(json.dumps(summary.as_dict()) if as_json else describe(summary))


def bundle_folder(bundle: Path) -> Path:
    """The folder that a bundle's name means: `demo` is the one in the package, ./demo a folder of that name."""
    if bundle == Path("demo") and not os.path.isdir(bundle):  # false too where the working folder may not be read
        from edge.demo.run import BUNDLE

        return BUNDLE
    return bundle


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _needed(value: Any, option: str, key: str) -> Any:
    if value is None:
        raise UsageError(f"{option} is missing; give it, or set {key!r} in the configuration")
    return value


def serve(
    options: RunOptions,
    *,
    overlay: Path | None = None,
    quiet: bool = False,
    seconds: float | None = None,
    log: Callable[[str, str], None] | None = None,
) -> Summary:
    """Run a daemon in the foreground with its live view; SIGTERM and Ctrl-C end it cleanly, SIGHUP reloads.

    `log` gets every note as (level, line) in place of the terminal. Where systemd started us it is kept informed.
    """
    from edge.daemon import Daemon
    from edge.service import manager
    from edge.view import TerminalView

    notes: list[Callable[[str], None]] = [_to_stderr]

    def note(level: str, line: str) -> None:
        if not quiet or level in ("warning", "error", "critical"):
            notes[-1](line)

    system = manager()
    with (
        Daemon(options, on_note=log or note) as daemon,
        _reporting(daemon, system) as reporter,
        _signals(daemon, seconds, reporter),
    ):
        if overlay is not None:
            from edge.sinks.video import VideoSink

            daemon.add_sink(VideoSink(overlay, daemon.task.palette, daemon.status))
        if quiet:
            return daemon.run()
        with TerminalView("joulepath: " + daemon.bundle.manifest.name, daemon.status) as view:
            notes.append(view.note)
            try:
                return daemon.run()
            finally:
                notes.pop()


@contextmanager
def _reporting(daemon: Daemon, system: Manager | None) -> Iterator[Reporter | None]:
    if system is None:
        yield None
        return
    import faulthandler

    from edge.service import Reporter

    faulthandler.enable()  # the watchdog's SIGABRT leaves in the log where each thread hung
    with Reporter(system, daemon.progress, daemon.status, on_stall=daemon.stalled) as reporter:
        yield reporter


@contextmanager
def _signals(daemon: Daemon, seconds: float | None, reporter: Reporter | None) -> Iterator[None]:
    def stop() -> None:
        if reporter is not None:
            reporter.stopping()
        daemon.stop()

    def reload() -> None:
        with reporter.reloading() if reporter is not None else nullcontext():
            daemon.reload()

    actions: dict[int, Callable[[], None]] = {
        signal.SIGINT: stop,
        signal.SIGTERM: stop,
        signal.SIGHUP: reload,
        signal.SIGALRM: stop,
    }
    before = {number: signal.signal(number, lambda n, _: actions[n]()) for number in actions}
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def describe(summary: Summary) -> str:
    """The summary in words, a unit on every number."""
    if summary.energy_j is None:
        energy = "energy unavailable"
    else:
        each = summary.energy_j / max(1, summary.frames)
        energy = f"{summary.energy_j:.2f} J ({summary.energy_method}), {each:.3f} J a frame"
    lines = [
        f"{summary.frames} frames in {summary.seconds:.1f} s, {summary.skipped} skipped at the camera",
        energy,
        f"{summary.switches} switches",
        f"journal: {summary.journal} (joulepath journal summary --journal {summary.journal})",
    ]
    if summary.reused:
        lines.insert(1, f"{summary.reused} frames showed nothing new and were answered with the answer before")
    if summary.first_frame_s is not None:
        lines.insert(1, f"first frame after {summary.first_frame_s:.2f} s")
    return "\n".join(lines)


def status(
    socket: Annotated[Path | None, typer.Option(help="control socket of the daemon")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    from rich.console import Console
    from rich.table import Table

    from edge.control import ask, socket_to_ask
    from edge.status import BatteryLeft

    answer = ask(socket or socket_to_ask(), {"command": "status"})
    if as_json:
        print(json.dumps(answer["status"] | {"variants": answer["variants"]}))
        return
    table = Table(box=None, show_header=False)
    left = answer["status"].pop("battery_left", None)
    if left is not None:
        answer["status"]["battery lasts"] = str(BatteryLeft(**left))
    if answer["status"].get("max_fps") is None:  # nobody holds frames back
        answer["status"].pop("max_fps", None)
    for name, value in answer["status"].items():
        table.add_row(name, _shown(value))
    table.add_row("variants", ", ".join(answer["variants"]))
    Console().print(table)


def _shown(value: object) -> str:
    """One value of the status, a list one line each."""
    if isinstance(value, list):
        return "\n".join(map(str, value)) or "none"
    return "unknown" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def switch(
    variant: Annotated[str, typer.Argument(help="variant id, or auto to let the controller choose")],
    socket: Annotated[Path | None, typer.Option(help="control socket of the daemon")] = None,
) -> None:
    from edge.control import ask, socket_to_ask

    chosen = None if variant == "auto" else variant
    ask(socket or socket_to_ask(), {"command": "switch", "variant": chosen})
    print(f"pinned to {variant}" if chosen else "the controller chooses again")
