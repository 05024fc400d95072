"""The live terminal view: one panel redrawn in place on a terminal, one line every few seconds elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edge.status import Status, joules, number


class TerminalView:
    """Shows `status()` until the context ends; `note` adds a line about a switch or an event."""

    def __init__(self, title: str, status: Callable[[], Status], console: Console | None = None) -> None:
        self._title, self._status = title, status
        self.console = console or Console()
        self._notes: deque[str] = deque(maxlen=6)
        self._stop = Event()
        self._thread = Thread(target=self._run, name="view", daemon=True)

    def note(self, line: str) -> None:
        """One line about something that happened."""
        self._notes.append(line)
        if not self.console.is_terminal:
            self.console.print(line, highlight=False, soft_wrap=True)

    def __enter__(self) -> TerminalView:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=3)

    def _run(self) -> None:
        if not self.console.is_terminal:
            while not self._stop.wait(2.0):
                self.console.print(plain_line(self._status()), highlight=False, soft_wrap=True)
            return
        with Live(self.panel(), console=self.console, refresh_per_second=5, transient=True) as live:
            while not self._stop.wait(0.2):
                live.update(self.panel())

    def panel(self) -> Panel:
        """The whole view as it is drawn on a terminal."""
        status = self._status()
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", width=12)
        table.add_column(width=26)
        table.add_column(width=40)
        table.add_row("variant", Text(status.variant or "loading", style="bold"), Text(status.reason, style="cyan"))
        table.add_row(
            "speed",
            number(status.fps, "{:.1f} fps") + ("" if status.max_fps is None else f" of {status.max_fps:.1f}"),
            f"inference {number(status.infer_ms, '{:.1f} ms')}, frame age {number(status.age_ms, '{:.0f} ms')}",
        )
        table.add_row(
            "power",
            f"{number(status.power_w, '{:.2f} W')} ({status.power_method})",
            f"{joules(status.energy_per_frame_j, status.power_method)} a frame",
        )
        heat = None if status.temperature_c is None else (status.temperature_c - 20) / 70
        table.add_row("temperature", number(status.temperature_c, "{:.1f} °C"), _bar(heat, hot=True))
        charge = None if status.battery is None else 100 * status.battery
        table.add_row("battery", number(charge, "{:.1f} %"), _bar(status.battery))
        if status.battery_left is not None:
            table.add_row("lasts", "", str(status.battery_left))
        for goal in status.goals:
            name, _, text = goal.partition(": ")
            table.add_row("goal", name, text)
        quality = None if status.miou is None else 100 * status.miou
        table.add_row("mask quality", number(quality, "{:.1f} % mIoU"), "against the stream's ground truth")
        reused = f", {status.reused} unchanged" if status.reused else ""
        table.add_row("frames", f"{status.frames} ({status.skipped} skipped{reused})", f"{status.switches} switches")
        lines = [Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in self._notes]
        return Panel(Group(table, Text(""), *lines), title=self._title, subtitle=f"{status.elapsed_s:.0f} s")


def _bar(share: float | None, hot: bool = False) -> ProgressBar | str:
    if share is None:
        return ""
    share = min(1.0, max(0.0, share))
    alarming = share > 0.75 if hot else share < 0.2
    style = "red" if alarming else "green"
    return ProgressBar(total=1.0, completed=share, width=30, complete_style=style, finished_style=style)


def plain_line(status: Status) -> str:
    """The status as one line, for logs."""
    parts = [
        f"{status.elapsed_s:5.1f} s",
        f"{status.variant or 'loading'}",
        number(status.fps, "{:.1f} fps"),
        f"{number(status.power_w, '{:.2f} W')} ({status.power_method})",
        number(status.temperature_c, "{:.1f} °C"),
        "battery " + number(None if status.battery is None else 100 * status.battery, "{:.0f} %"),
        "mIoU " + number(None if status.miou is None else 100 * status.miou, "{:.1f} %"),
    ]
    return "  ".join(parts)
