"""Lab tests run when they are asked for: ``-m lab``, or JOULEPATH_LAB=1."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.lab.fixtures"]

# Two boards run side by side (make lab): which files follow each other on which, so that both end at about the same
# time. The day waits for most of its minutes and leaves the processor to the other board.
BOARDS = (
    ("test_day.py", "test_servicecuts.py", "test_faults.py"),
    ("test_board.py", "test_energy.py", "test_watchdog.py", "test_package.py", "test_powercuts.py", "test_image.py"),
)
PLACES = {name: (board, place) for board, names in enumerate(BOARDS) for place, name in enumerate(names)}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = os.environ.get("JOULEPATH_LAB") == "1" or "lab" in str(config.getoption("-m"))
    skip = pytest.mark.skip(reason="boots emulated boards: make lab, or JOULEPATH_LAB=1")
    ours = [item for item in items if item.get_closest_marker("lab") is not None]
    for item in ours:
        item.add_marker(pytest.mark.xdist_group(f"board-{PLACES[item.path.name][0]}"))
        if not wanted:
            item.add_marker(skip)
    places = iter(sorted(ours, key=lambda item: PLACES[item.path.name]))
    items[:] = [next(places) if item in ours else item for item in items]
