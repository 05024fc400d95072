"""Latency tables as files: the round trip, and every way in which one is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.study import Entry, LatencyTable, StudyError, Whole

ENTRY = Entry(median_ms=2.0, p10_ms=1.9, p90_ms=2.2, rounds=9)


def table(**changes: object) -> LatencyTable:
    body: dict[str, object] = {
        "board": "a board",
        "machine": {"cpu": "Cortex-A72", "cores": 4},
        "engine": "ai-edge-litert",
        "version": "2.3.0",
        "threads": 1,
        "measured_utc": "2026-11-21T00:00:00Z",
        "overhead_ms": 0.001,
        "entries": {"a": ENTRY},
        "wholes": {"w": Whole(units={"a": 2}, timing=ENTRY, fitted=False)},
    }
    return LatencyTable.model_validate(body | changes)


def test_a_table_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    table().save(file)
    assert LatencyTable.read(file) == table()
    assert [path.name for path in tmp_path.iterdir()] == ["table.json"]


def test_spread_is_the_middle_four_fifths_over_the_median() -> None:
    assert ENTRY.spread == pytest.approx(0.15)


def test_extending_keeps_what_there_was_and_does_not_touch_the_old_table() -> None:
    old = table()
    new = old.extended(entries={"b": ENTRY})
    assert set(new.entries) == {"a", "b"}
    assert set(old.entries) == {"a"}
    assert new.wholes == old.wholes


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "not a latency table"),
        ("[]", "not a latency table"),
        ('{"format": "something else"}', "not a latency table"),
        ("cut", "not a latency table"),
    ],
)
def test_a_corrupt_table_is_refused_with_its_name(tmp_path: Path, body: str, says: str) -> None:
    file = tmp_path / "broken.json"
    table().save(file)
    file.write_text(file.read_text()[:200] if body == "cut" else body)
    with pytest.raises(StudyError, match=says) as caught:
        LatencyTable.read(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("median", [0, -1, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused_where_it_stands(tmp_path: Path, median: float) -> None:
    file = tmp_path / "table.json"
    body = json.loads(table().model_dump_json())
    body["entries"]["a"]["median_ms"] = median
    file.write_text(json.dumps(body))
    with pytest.raises(StudyError, match=r"entries > a > median_ms|Invalid JSON"):
        LatencyTable.read(file)


def test_a_table_that_is_not_there_or_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be read"):
        LatencyTable.read(tmp_path / "none.json")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(StudyError, match="it is no text"):
        LatencyTable.read(tmp_path / "bytes")


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be written"):
        table().save(tmp_path / "missing" / "table.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": "2.4.0"}, "version '2.4.0' instead of '2.3.0'"),
        ({"threads": 2}, "threads 2 instead of 1"),
        ({"machine": {"cpu": "Cortex-A76", "cores": 4}}, "cpu 'Cortex-A76' instead of 'Cortex-A72'"),
    ],
)
def test_figures_of_another_place_are_told_apart(changes: dict[str, object], says: str) -> None:
    assert table().elsewhere(table(**changes)) == says
    assert table().elsewhere(table(board="the same by another name")) is None
