"""Lab tests run when they are asked for: ``-m lab``, or JOULEPATH_LAB=1."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.lab.fixtures"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The day waits for most of its quarter of an hour: started first, it leaves the processor to the other worker.
    items.sort(key=lambda item: item.path.name != "test_day.py")
    if os.environ.get("JOULEPATH_LAB") == "1" or "lab" in str(config.getoption("-m")):
        return
    skip = pytest.mark.skip(reason="boots emulated boards: make lab, or JOULEPATH_LAB=1")
    for item in items:
        if item.get_closest_marker("lab") is not None:
            item.add_marker(skip)
