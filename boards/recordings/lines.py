"""Lines of a recording, one after another; damaged ones are counted, and too many of them are an error."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from boards.recording import Floats
from boards.sensor import BoardError

_LONGEST_LINE = 65_536
_FEW = 3  # so many damaged lines are forgiven in any file: its first and last lines may be cut
_SHARE = 0.05  # and this share of a long one
_NAMED = 5  # line numbers told
_MOST_COLUMNS = 128  # more names than any board has sensors are no names
_MONTH_FIRST = re.compile(r"([0-9]{2}-[0-9]{2}-[0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,9})?)")


class BadLine(Exception):
    """A line that cannot be used; the message says why."""


class Damage:
    """Lines that were passed over, by number (from 1), with the first one's reason."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.numbers: list[int] = []
        self.why: dict[int, str] = {}

    def add(self, number: int, why: str) -> None:
        """Line `number` cannot be used."""
        self.numbers.append(number)
        if len(self.why) < 1000:
            self.why[number] = why

    def require_few(self, good: int) -> None:
        """Raise BoardError when so many lines are damaged that the file is probably not what it was taken for."""
        bad = len(self.numbers)
        if bad > _FEW and bad > _SHARE * (good + bad):
            first = min(self.numbers)
            raise BoardError(
                f"{self.path}: {bad} of {good + bad} lines cannot be used, the first is line {first}: "
                f"{self.why.get(first, 'damaged')}; is it the right file, and whole?"
            )
        if good == 0:
            raise BoardError(f"{self.path}: no line of it can be used{self._first()}")

    def notes(self) -> dict[str, str]:
        """A sentence for people; nothing where every line was good."""
        if not self.numbers:
            return {}
        numbers = sorted(self.numbers)
        named = ", ".join(map(str, numbers[:_NAMED])) + (", ..." if len(numbers) > _NAMED else "")
        reason = self.why.get(numbers[0], "damaged")
        return {"lines skipped": f"{len(numbers)} (line {named}; the first: {reason})"}

    def _first(self) -> str:
        return f"; line {min(self.numbers)}: {self.why.get(min(self.numbers), 'damaged')}" if self.numbers else ""


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1; what is no UTF-8 becomes U+FFFD. Raises BoardError."""
    try:
        with path.open("rb") as file:
            number, tail = 0, False
            while raw := file.readline(_LONGEST_LINE):
                if not tail:  # the rest of an overlong line belongs to it
                    number += 1
                    text = raw.decode("utf-8", "replace").strip()
                    if text:
                        yield number, text
                tail = not raw.endswith(b"\n")
    except OSError as error:
        raise BoardError(f"{path}: cannot be read ({error.strerror}); check file=PATH") from error


def month_first_s(text: str) -> float:
    """Seconds since 1970 of ``MM-DD-YYYY HH:MM:SS[.mmm]`` taken as UTC, as power loggers and tegrastats write it."""
    match = _MONTH_FIRST.fullmatch(text)
    if match is None:
        raise BadLine(f"no time stamp MM-DD-YYYY HH:MM:SS: {text[:40]!r}")
    day, hour, minute, second = match[1], int(match[2]), int(match[3]), float(match[4])
    if hour > 23 or minute > 59 or second >= 60:
        raise BadLine(f"no such time: {text[:40]!r}")
    return _day_s(day) + (hour * 60 + minute) * 60 + second


@lru_cache(maxsize=64)
def _day_s(text: str) -> float:
    try:
        return datetime.strptime(text, "%m-%d-%Y").replace(tzinfo=timezone.utc).timestamp()
    except ValueError as error:
        raise BadLine(f"no such day: {text!r}") from error


def iso_s(text: str) -> float:
    """Seconds since 1970 of an ISO time stamp; UTC where it names no zone."""
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError as error:
        raise BadLine(f"no ISO time stamp: {text[:40]!r}") from error
    try:
        return (when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)).timestamp()
    except (OverflowError, ValueError) as error:
        raise BadLine(f"no such time: {text[:40]!r}") from error


class Rows:
    """Rows of numbers under named columns, as they come; a column that a row lacks is NaN there."""

    def __init__(self) -> None:
        self.numbers = array("q")  # line numbers
        self.times = array("d")
        self.columns: dict[str, array[float]] = {}

    def __len__(self) -> int:
        return len(self.times)

    def add(self, number: int, time_s: float, values: dict[str, float]) -> None:
        """One line's values; columns may appear at any line. Raises BadLine where they become too many."""
        have = len(self.times)
        new = [name for name in values if name not in self.columns]
        if len(self.columns) + len(new) > _MOST_COLUMNS:
            raise BadLine(f"a name that no other line has: {new[0]!r}")
        for name in new:
            self.columns[name] = array("d", [np.nan]) * have
        for name, column in self.columns.items():
            column.append(values.get(name, np.nan))
        self.numbers.append(number)
        self.times.append(time_s)

    def in_order(self, damage: Damage) -> tuple[Floats, dict[str, Floats]]:
        """Times and columns of the rows whose times rise; the fewest rows that do not fit are damage."""
        times = np.frombuffer(self.times, dtype=np.float64)
        columns = {name: np.frombuffer(column, dtype=np.float64) for name, column in self.columns.items()}
        if len(times) < 2 or (np.diff(times) > 0).all():
            return times, columns
        kept = rising(times)
        left_out = np.ones(len(times), dtype=bool)
        left_out[kept] = False
        for index in np.flatnonzero(left_out):
            damage.add(self.numbers[int(index)], "its time stamp does not fit those around it")
        return times[kept], {name: column[kept] for name, column in columns.items()}


def rising(times: Floats) -> npt.NDArray[np.int64]:
    """Indices of a longest strictly rising part of `times` (patience sorting): one leap ahead costs one row, not the
    rest."""
    tails: list[float] = []
    tail_at: list[int] = []
    before = np.full(len(times), -1, dtype=np.int64)
    for index, time_s in enumerate(times.tolist()):
        place = bisect_left(tails, time_s)
        if place:
            before[index] = tail_at[place - 1]
        if place == len(tails):
            tails.append(time_s)
            tail_at.append(index)
        else:
            tails[place], tail_at[place] = time_s, index
    kept = []
    at = tail_at[-1] if tail_at else -1
    while at >= 0:
        kept.append(at)
        at = int(before[at])
    return np.array(kept[::-1], dtype=np.int64)
