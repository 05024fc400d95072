"""Fake kernel trees, copied so that a test may change them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from boards.roots import Roots

TREES = Path(__file__).parent / "trees"


@pytest.fixture
def roots_of(tmp_path: Path) -> Callable[[str], Roots]:
    """A board's whole tree (sys, dev, etc, ...) by name, as a copy."""

    def copied(name: str) -> Roots:
        return Roots.under(Path(shutil.copytree(TREES / name, tmp_path / name)))

    return copied


@pytest.fixture
def tree(roots_of: Callable[[str], Roots]) -> Callable[[str], Path]:
    """A board's /sys by name, as a copy."""
    return lambda name: roots_of(name).sys


class FakeClock:
    """A monotonic clock that moves when told to."""

    def __init__(self, now_ns: int = 1_000_000_000) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def forward(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
