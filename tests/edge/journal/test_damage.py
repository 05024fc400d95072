"""Files that are not what they should be."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boards.sensor import Method
from edge.journal import Journal, JournalError, JournalReader, Level
from tests.edge.journal.made import frames, open_journal


def _journal_of(path: Path, count: int) -> None:
    with open_journal(path) as journal:
        journal.register_variant("full")
        journal.start_run("b", "b")
        journal.append_frames(frames(count))


def _into(kinds: list[str]) -> Callable[[Level, str, str], None]:
    return lambda level, kind, message: kinds.append(kind)


def test_garbage_is_set_aside_and_never_deleted(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    for number in (1, 2):
        path.write_bytes(b"garbage %d" % number * 1000)
        heard: list[str] = []
        journal = Journal.open(path, threaded=False, on_event=_into(heard))
        journal.start_run("b", "b")
        journal.append_frames(frames(3))
        journal.close()
        assert heard == ["journal_corrupt"]
        assert (tmp_path / f"j.db.corrupt-{number}").read_bytes() == b"garbage %d" % number * 1000
        with JournalReader(path) as reader:
            assert sum(1 for _ in reader.frames()) == 3
            (event,) = reader.events()
            assert f"j.db.corrupt-{number}" in event.message


@given(st.binary(max_size=3000), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_can_be_opened(tmp_path_factory: pytest.TempPathFactory, content: bytes, header: bool) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "j.db"
    path.write_bytes((b"SQLite format 3\x00" if header else b"") + content)
    with open_journal(path) as journal:
        journal.start_run("b", "b")
        journal.append_frames(frames(2))
        assert journal.flush()
    with JournalReader(path) as reader:
        assert sum(1 for _ in reader.frames()) == 2


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_journal_never_stops_a_start(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Flip bytes of a real journal anywhere: either it still serves, or it is set aside, or it is refused by name."""
    path = tmp_path_factory.mktemp("fuzz") / "j.db"
    _journal_of(path, 200)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 40))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        journal = open_journal(path)
    except JournalError:  # the damage hit the mark that says whose file it is
        assert path.exists()
        return
    with journal:
        run_id = journal.start_run("b", "b")
        journal.append_frames(frames(2))
        assert journal.flush()
        stored = journal._store._connection.execute(  # type: ignore[union-attr]
            "SELECT count(*) FROM frame WHERE run_id = ?", (run_id,)
        ).fetchone()
        assert stored == (2,)


@pytest.mark.parametrize(("at", "value"), [(18, 3), (18, 255), (19, 3), (44, 9), (47, 48), (24, 7), (96, 1)])
def test_a_damaged_header_is_no_full_disk(tmp_path: Path, at: int, value: int) -> None:
    """SQLite calls some of these files read-only or of an unsupported format, not damaged."""
    path = tmp_path / "j.db"
    _journal_of(path, 20)
    content = bytearray(path.read_bytes())
    content[at] = value
    path.write_bytes(content)
    with open_journal(path) as journal:
        journal.start_run("b", "b")
        journal.append_frames(frames(2))
        assert journal.flush(), journal.blocked


def test_damage_deep_in_the_file_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    _journal_of(path, 5000)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with open_journal(path) as journal:
        assert journal.register_variant("full") == 1
        assert journal.start_run("b", "b") == 2  # what could be read is gone on with
        journal.append_frames(frames(3))
    assert (tmp_path / "j.db.corrupt-1").exists()
    with JournalReader(path) as reader:
        assert sum(1 for _ in reader.frames()) == 3
        total = sum(row.energy_uj or 0 for row in [*frames(5000), *frames(3)])
        assert reader.total_energy_uj() == {Method.MODELLED: total}
        assert reader.variants()[1].name == "full"


def test_damage_while_running_keeps_the_run_and_its_totals(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    journal = open_journal(path)
    journal.register_variant("full")
    journal.start_run("b", "b")
    first, second = frames(1000), frames(1000, first=1000)
    journal.append_frames(first)
    assert journal.flush()
    assert journal._store is not None
    journal._store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    journal._store._connection.execute("PRAGMA shrink_memory")
    journal.append_frames(second)
    assert journal.flush()
    journal.close()
    with JournalReader(path) as reader:
        assert [frame.sequence for frame in reader.frames(1)] == list(range(1000, 2000))
        (totals,) = reader.rollups(1).values()
        assert totals["energy_uj"].count == 2000
        assert totals["energy_uj"].sum == sum(row.energy_uj or 0 for row in first + second)
        assert [event.kind for event in reader.events()] == ["journal_corrupt"]
    assert (tmp_path / "j.db.corrupt-1").exists()


def test_an_empty_file_is_a_new_journal(tmp_path: Path) -> None:
    (tmp_path / "j.db").touch()
    _journal_of(tmp_path / "j.db", 3)
    assert not (tmp_path / "j.db.corrupt-1").exists()


def test_another_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "contacts.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE people (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="not a Joulepath journal"):
        open_journal(path)
    with pytest.raises(JournalError, match="not a Joulepath journal"):
        JournalReader(path)
    assert path.read_bytes() == before


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    _journal_of(path, 1)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE meta SET value = 99 WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(JournalError, match="newer Joulepath"):
        open_journal(path)


def test_a_reader_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        JournalReader(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("hello " * 100)
    with pytest.raises(JournalError, match="cannot be read as a journal"):
        JournalReader(tmp_path / "text.db")
