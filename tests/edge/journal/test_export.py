from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from boards.board import Quantity
from edge.journal import JournalError, JournalReader, Level
from edge.journal.export import SOURCES, Format, export
from tests.edge.journal.made import START_NS, UTC_NS, frames, open_journal

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "j.db"
    with open_journal(path) as writer:
        writer.register_variant("full-int8", "full", "int8", "litert")
        writer.register_channel("VDD_IN", Quantity.POWER)
        for _ in range(2):
            writer.start_run("b", "b", rails_included=["VDD_IN"])
            writer.append_frames([*frames(20), *frames(5, first=20, known=False)])
            writer.sample("VDD_IN", START_NS, 5.0)
            writer.switch(START_NS, None, 1, "start")
            seen = writer.observation(START_NS, {"battery": 0.5})
            writer.decision(START_NS, seen, 1, "keep")
            writer.event(Level.INFO, "note", "a, b")
    return path


def test_csv_has_units_names_and_empty_cells_for_what_is_unknown(journal: Path, tmp_path: Path) -> None:
    with JournalReader(journal) as reader:
        assert export(reader, "frame", Format.CSV, tmp_path / "f.csv") == 50
        stored = list(reader.frames())
    with (tmp_path / "f.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["energy_uj"]) if row["energy_uj"] else None for row in rows] == [row.energy_uj for row in stored]
    assert rows[0]["variant"] == "full-int8"
    assert rows[0]["method_name"] == "modelled"
    assert rows[24]["method_name"] == "unavailable"
    assert int(rows[3]["utc_ns"]) == UTC_NS + stored[3].start_ns


def test_jsonl_of_one_run(journal: Path, tmp_path: Path) -> None:
    with JournalReader(journal) as reader:
        assert export(reader, "frame", Format.JSONL, tmp_path / "f.jsonl", run_id=2) == 25
    rows = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert {row["run_id"] for row in rows} == {2}
    assert rows[-1]["energy_uj"] is None


def test_parquet_equals_the_journal(journal: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra [parquet]")
    with JournalReader(journal) as reader:
        assert export(reader, "frame", Format.PARQUET, tmp_path / "f.parquet") == 50
        stored = [frame._asdict() for frame in reader.frames()]
    rows = parquet.read_table(tmp_path / "f.parquet").to_pylist()
    assert [{name: row[name] for name in stored[0]} for row in rows] == stored


@pytest.mark.parametrize("table", sorted(SOURCES))
@pytest.mark.parametrize("form", list(Format))
def test_every_table_goes_out_in_every_format(journal: Path, tmp_path: Path, table: str, form: Format) -> None:
    if form is Format.PARQUET:
        pytest.importorskip("pyarrow", reason="needs the extra [parquet]")
    with JournalReader(journal) as reader:
        rows = export(reader, table, form, tmp_path / "out", run_id=2)
    expected = {"frame": 25, "variant": 1, "clock": 2}
    assert rows == expected.get(table, 1)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == ["out"]


def test_parquet_without_pyarrow_says_what_to_install(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with JournalReader(journal) as reader:
        with pytest.raises(JournalError, match=r"joulepath\[parquet\]"):
            export(reader, "frame", Format.PARQUET, tmp_path / "f.parquet")
        with pytest.raises(JournalError, match="--out"):
            export(reader, "frame", Format.PARQUET, None)
        with pytest.raises(JournalError, match="there is no table 'frames'"):
            export(reader, "frames", Format.CSV, None)
        with pytest.raises(JournalError, match="cannot be written"):
            export(reader, "frame", Format.CSV, tmp_path / "none" / "f.csv")
    assert not list(tmp_path.glob("*.parquet*"))


def test_memory_does_not_grow_with_the_journal(tmp_path: Path) -> None:
    """200,000 rows go out in a process that may not take 40 MB more than one that exports 2,000."""
    with open_journal(tmp_path / "j.db", max_pending_rows=10**6) as writer:
        rows = frames(2000)
        for _ in range(100):
            writer.start_run("b", "b")
            writer.append_frames(rows)
    script = """
import resource, sys
from pathlib import Path
from edge.journal import JournalReader
from edge.journal.export import Format, export
with JournalReader(sys.argv[1]) as reader:
    export(reader, "frame", Format.JSONL, Path(sys.argv[2]), run_id=int(sys.argv[3]) or None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks_kb = [
        int(
            subprocess.run(
                [sys.executable, "-c", script, str(tmp_path / "j.db"), str(tmp_path / "out"), run],
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for run in ("1", "0")
    ]
    assert len((tmp_path / "out").read_text().splitlines()) == 200_000
    assert peaks_kb[1] - peaks_kb[0] < 40_000
