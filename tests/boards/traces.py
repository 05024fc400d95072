"""Recorded traces for tests, read from the data folder that lies beside the repository."""

from __future__ import annotations

import csv
import os
from datetime import datetime
from pathlib import Path

import pytest

DATA = Path(os.environ.get("JOULEPATH_DATA", Path(__file__).parents[3] / "shared/data"))


def recorded_discharge(day: str) -> tuple[list[float], list[float]]:
    """A full discharge of a robot's 3S pack: seconds since its start, and the pack's volts."""
    path = DATA / f"traces/battery-pi5-robot/{day}_batteryLife.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent: set JOULEPATH_DATA to the data folder")
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    times = [datetime.fromisoformat(row[0].strip()) for row in rows]
    return [(time - times[0]).total_seconds() for time in times], [float(row[1]) for row in rows]
