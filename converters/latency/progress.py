"""A progress bar that does not disturb measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar a task on standard error, drawn between measurements: one that redraws itself would run beside them."""
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    tasks: dict[str, TaskID] = {}
    with RichProgress(console=Console(stderr=True), auto_refresh=False, transient=True) as bar:

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total, refresh=True)

        yield progress
