"""`joulepath demo`: the whole idea in under a minute, on any machine, with nothing downloaded."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from edge.errors import UsageError

BUNDLE = Path(__file__).parent / "bundle"
BOARD = "simulated:preset=demo"
_HELP = """Show everything at work: the shipped bundle on the synthetic street, on a simulated board that runs hot.

Leaves journal.db, overlay.mp4 and report.html in --out. Every joule it shows is modelled, not measured.

Examples:

  joulepath demo

  joulepath demo --seconds 20 --camera ../shared/data/video/road-960x540.mp4@25
"""


def register(app: typer.Typer) -> None:
    """Add the command to the one command line."""
    app.command("demo", help=_HELP)(demo)


def demo(
    out: Annotated[Path, typer.Option(help="folder for the journal, the video and the report")] = Path("demo"),
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="how long it runs, s")] = 45.0,
    camera: Annotated[str, typer.Option(help="camera source")] = "synthetic:360x480@15,seed=7",
    bundle: Annotated[Path, typer.Option(help="bundle directory")] = BUNDLE,
    threads: Annotated[int, typer.Option(min=0, help="inference threads; 0 is every core")] = 1,
) -> None:
    from edge.cli_run import describe, serve
    from edge.config import Config, ControllerConfig, JournalConfig
    from edge.daemon import RunOptions

    if not (bundle / "manifest.json").is_file():
        raise UsageError(f"{bundle}: no bundle there; the shipped one comes with the package, or give --bundle")
    _clear(out)
    options = RunOptions(
        bundle=bundle,
        camera=camera,
        board=BOARD,
        journal=out / "journal.db",
        # Time is compressed here, and the planning controller learns a board's heat in real minutes: the ladder reacts.
        config=Config(
            controller=ControllerConfig(kind="ladder", dwell_s=2.5, battery_saving_from=0.45, max_temperature_c=68.0),
            journal=JournalConfig(slow_row_s=1),
        ),
        threads=threads,
    )
    print("synthetic street, simulated board: every joule below is modelled. Ctrl-C ends it early.", flush=True)
    overlay = out / "overlay.mp4" if _has("av") else None
    if overlay is None:
        print("no overlay.mp4: it needs PyAV (pip install 'joulepath[video]')")
    summary = serve(options, overlay=overlay, seconds=seconds)
    print(describe(summary))
    _report(out)


def _clear(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.iterdir():
        if re.fullmatch(r"journal\.db(-wal|-shm|-lock|\.lock)?|overlay\.mp4(\.partial)?|report\.html", stale.name):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()


def _has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def _report(out: Path) -> None:
    from edge.report import write_report

    made = [str(out / "overlay.mp4")] if (out / "overlay.mp4").exists() else []
    if _has("plotly"):
        target = out / "report.html"
        write_report(out / "journal.db", target)
        made.append(str(target))
    else:
        print("no report.html: it needs plotly (pip install 'joulepath[report]'); see joulepath journal summary")
    if made:
        print(f"look at {' and '.join(made)}")
