"""One sysfs attribute, read through a descriptor that stays open.

A kept descriptor with `pread` is some twenty times cheaper than opening the file for each value, and at 50 Hz that is
the difference between a sampler nobody notices and one that costs more than what it measures.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from boards.sensor import Reading, SensorLost

Clock = Callable[[], int]

_INTEGER = re.compile(rb"[+-]?[0-9]{1,19}")
_MOST_BYTES = 4096  # a sysfs attribute never exceeds one page


class SysfsFile:
    """A text attribute; every failure is a SensorLost that names the file. The descriptor is reopened after a loss."""

    def __init__(self, path: Path, clock: Clock = time.monotonic_ns) -> None:
        self.path = path
        self.ended_ns = 0  # when the last good read ended
        self._clock = clock
        self._fd: int | None = None

    def read_bytes(self) -> tuple[bytes, int]:
        """The content without surrounding white space, and the monotonic time in ns at the middle of the read."""
        raw, middle_ns = self._pread()
        text = raw.strip()
        if not text:
            raise SensorLost(f"{self.path}: empty")
        return text, middle_ns

    def read_int(self) -> tuple[int, int]:
        """A decimal integer and the time of the read; anything else in the file raises SensorLost."""
        text, middle_ns = self.read_bytes()
        if _INTEGER.fullmatch(text) is None:
            raise SensorLost(f"{self.path}: not an integer: {text[:40]!r}")
        return int(text), middle_ns

    def read_word(self) -> str:
        """A short printable text such as a label or a status."""
        text, _ = self.read_bytes()
        word = text.rstrip(b"\0").decode("utf-8", "replace").strip()
        if not word or not word.isprintable():
            raise SensorLost(f"{self.path}: not a word: {text[:40]!r}")
        return word

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _pread(self) -> tuple[bytes, int]:
        # A file that vanished under an open descriptor is opened anew once: after a driver reload the same name may be
        # there again, and only then is the sensor back.
        kept = self._fd is not None
        try:
            return self._pread_once()
        except OSError as error:
            self.close()
            if not kept:
                raise SensorLost(_explain(self.path, error)) from error
        try:
            return self._pread_once()
        except OSError as error:
            self.close()
            raise SensorLost(_explain(self.path, error)) from error

    def _pread_once(self) -> tuple[bytes, int]:
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        before_ns = self._clock()
        raw = os.pread(self._fd, _MOST_BYTES, 0)
        after_ns = self._clock()
        if os.fstat(self._fd).st_nlink == 0:  # deleted or replaced: what we read is a ghost
            raise FileNotFoundError(2, "vanished")
        self.ended_ns = after_ns
        return raw, (before_ns + after_ns) // 2


class ScaledSensor:
    """An integer attribute times a constant, refused outside `low`..`high` (both in the scaled unit)."""

    def __init__(self, file: SysfsFile, scale: float, *, low: float, high: float) -> None:
        self.file = file
        self._scale = scale
        self._low = low
        self._high = high

    def read(self) -> Reading:
        raw, middle_ns = self.file.read_int()
        value = raw * self._scale
        if not self._low <= value <= self._high:
            raise SensorLost(
                f"{self.file.path}: implausible value {raw} (believed: {self._low} to {self._high} scaled)"
            )
        return Reading(value, middle_ns)

    def close(self) -> None:
        self.file.close()


def read_once_int(path: Path) -> int | None:
    """The integer in a file, or None; for facts that are read once while looking for sensors."""
    file = SysfsFile(path)
    try:
        return file.read_int()[0]
    except SensorLost:
        return None
    finally:
        file.close()


def read_once_word(path: Path) -> str | None:
    """The word in a file, or None; for facts that are read once while looking for sensors."""
    file = SysfsFile(path)
    try:
        return file.read_word()
    except SensorLost:
        return None
    finally:
        file.close()


def numbered(folder: Path, stem: str) -> list[Path]:
    """Entries `stem0`, `stem1`, ... of a folder in numeric order; an absent or unreadable folder has none."""
    try:
        entries = [entry for entry in folder.iterdir() if re.fullmatch(rf"{re.escape(stem)}\d+", entry.name)]
    except OSError:
        return []
    return sorted(entries, key=lambda entry: int(entry.name[len(stem) :]))


def _explain(path: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"{path}: permission denied"
    if isinstance(error, FileNotFoundError):
        return f"{path}: vanished"
    return f"{path}: {error.strerror or error}"
