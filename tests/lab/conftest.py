"""Lab tests run when they are asked for: ``-m lab``, or JOULEPATH_LAB=1."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.lab.fixtures"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("JOULEPATH_LAB") == "1" or "lab" in str(config.getoption("-m")):
        return
    skip = pytest.mark.skip(reason="boots emulated boards: make lab, or JOULEPATH_LAB=1")
    for item in items:
        if item.get_closest_marker("lab") is not None:
            item.add_marker(skip)
