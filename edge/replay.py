"""A recorded journal as a recording: `joulepath run --board replay:file=journal.db,run=3`.

Boards know nothing of journals, so this reader is handed to `open_board`. What a journal keeps of each channel is one
mean a second; a counter of joules becomes the watts between its seconds.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from boards.board import Quantity
from boards.jetson import SUM_NAME
from boards.recording import PLAUSIBLE, Floats, Recording, Series, summed
from boards.sensor import BoardError
from edge.journal.reader import JournalReader
from edge.journal.rows import ChannelRow, RunRow

_MAGIC = b"SQLite format 3\0"
_STOCKS = ("battery_energy_j",)  # joules that are left, not joules that were spent
COUNTED = "-power"  # added to the name of a counter that became watts


def read_journal(path: Path, options: Mapping[str, str], /) -> Recording | None:
    """The samples of one run (`run=N`, the last one by default) of a journal; None when the file is no database.

    Raises BoardError for a run that recorded nothing, JournalError for a damaged file or a run that is not there.
    """
    if not _is_database(path):
        return None
    with JournalReader(path) as journal:
        run = journal.run(_run_number(options))
        columns = _columns(journal, run.id)
        channels = journal.channels()
        utc_ns = journal.clock(run.id).utc_ns
        first = min((int(seconds[0]) for seconds, _, _ in columns.values()), default=None)
        if first is None:
            raise BoardError(f"{path}: run {run.id} holds no samples to replay; runs with samples: {_others(journal)}")
        began_ns = utc_ns(first * 1_000_000_000)
    series, counters, notes = _series(columns, channels, first)
    if not series:
        raise BoardError(f"{path}: run {run.id} holds nothing that can be replayed")
    energy, included, total = _whole(run, series, counters)
    if total is not None:
        series.insert(0, total)
    if energy is None:
        notes["energy"] = (
            "unavailable: the journal does not say which power all of the board is behind; give total=NAME"
        )
    notes["recorded"] = f"run {run.id} on {run.board} with {run.bundle}"
    return Recording(
        source=str(path),
        kind=f"journal, run {run.id}",
        series=tuple(series),
        energy=energy,
        rails_included=included,
        began_utc_s=None if began_ns is None else began_ns / 1e9,
        notes=notes,
    )


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False  # whoever reads it next says why


def _run_number(options: Mapping[str, str]) -> int | None:
    text = options.get("run")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BoardError(f"replay board: run must be a whole number, not {text!r}")
    return int(text)


def _columns(journal: JournalReader, run_id: int) -> dict[int, tuple[Floats, Floats, Floats]]:
    """Seconds, means and least values of each channel by its number, in base units, in order of time."""
    gathered: dict[int, tuple[array[float], array[float], array[float]]] = {}
    for page in journal.sample_pages(run_id):
        for _, _, second, channel_id, mean, least, _ in page:
            lists = gathered.setdefault(channel_id, (array("d"), array("d"), array("d")))
            for kept, value in zip(lists, (second, mean, least), strict=True):
                kept.append(value)
    columns = {}
    for channel_id, lists in gathered.items():
        seconds, means, least_values = (np.frombuffer(kept, dtype=np.float64) for kept in lists)
        _, order = np.unique(seconds, return_index=True)  # a second that a restart wrote twice counts once
        columns[channel_id] = (seconds[order], means[order], least_values[order])
    return columns


def _series(
    columns: Mapping[int, tuple[Floats, Floats, Floats]], channels: Mapping[int, ChannelRow], first: int
) -> tuple[list[Series], list[str], dict[str, str]]:
    """Series of all channels, the names of those that were counters, and what was passed over."""
    series: list[Series] = []
    counters: list[str] = []
    notes: dict[str, str] = {}
    for channel_id, (seconds, means, least) in columns.items():
        channel = channels.get(channel_id)
        if channel is None:
            continue
        name, quantity = channel.name, channel.quantity
        times_s, values = seconds - first, means / channel.scale
        if quantity is Quantity.ENERGY and channel.name not in _STOCKS:
            times_s, values = _watts(times_s, least / channel.scale)
            quantity, name = Quantity.POWER, channel.name + COUNTED
            counters.append(name)
        low, high = PLAUSIBLE[quantity]
        good = (values >= low) & (values <= high)
        if not good.all():
            notes[f"{name} passed over"] = f"{int((~good).sum())} seconds with values that cannot be"
        if good.any():
            series.append(Series(name, quantity, times_s[good], values[good]))
    return series, [name for name in counters if any(each.name == name for each in series)], notes


def _watts(times_s: Floats, counted_j: Floats) -> tuple[Floats, Floats]:
    """Watts of each second from a counter's first readings in it and in the next; none where the next is missing."""
    if len(times_s) < 2:
        return np.empty(0), np.empty(0)
    next_follows = np.diff(times_s) == 1
    watts = np.diff(counted_j)
    good = next_follows & (watts >= 0)  # a counter that fell began anew
    return times_s[:-1][good], watts[good]


def _whole(run: RunRow, series: list[Series], counters: list[str]) -> tuple[str | None, tuple[str, ...], Series | None]:
    """The power that all of the board is behind: the rails that the run says, else its counter."""
    powers = {each.name: each for each in series if each.quantity is Quantity.POWER}
    rails = tuple(rail if rail in powers else rail + COUNTED for rail in run.rails_included)
    if rails and all(name in powers for name in rails):
        if len(rails) == 1:
            return rails[0], run.rails_included, None
        if SUM_NAME in powers:  # the board summed them itself, and faster than one by one
            return SUM_NAME, run.rails_included, None
        total = summed(SUM_NAME, [powers[name] for name in rails])
        return (SUM_NAME, run.rails_included, total) if total is not None else (None, (), None)
    if len(counters) == 1:  # a counter's domains are no channels: package-0 is counted by rapl-package
        return counters[0], run.rails_included, None
    return None, (), None


def _others(journal: JournalReader) -> str:
    rows = journal.query("SELECT DISTINCT run_id FROM sample ORDER BY run_id")
    return ", ".join(str(row[0]) for row in rows) or "none"
