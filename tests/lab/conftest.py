"""Lab tests run when they are asked for: ``-m lab``, or JOULEPATH_LAB=1."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.lab.fixtures"]

# The day waits for most of its quarter of an hour: started first, it leaves the processor to the other worker. xdist
# gives its worker a second file at once, so the shortest one is third.
FIRST = ("test_day.py", "test_board.py", "test_watchdog.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))
    if os.environ.get("JOULEPATH_LAB") == "1" or "lab" in str(config.getoption("-m")):
        return
    skip = pytest.mark.skip(reason="boots emulated boards: make lab, or JOULEPATH_LAB=1")
    for item in items:
        if item.get_closest_marker("lab") is not None:
            item.add_marker(skip)
