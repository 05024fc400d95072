"""The ledger: nothing that finished is lost, nothing half-written is believed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.search.contract import Measured, Refused
from converters.search.errors import SearchError
from converters.search.ledger import Ledger
from tests.converters.search.toy import SPACE

PATH = SPACE.path_of({"skip_1_1": 1, "ffn_2": 1})
ONE = Measured(PATH, 0.51, 12.5, "measured", 10, 20, 30)
TWO = Measured(SPACE.full(), 1 / 3, 1e-7, "predicted", 1, 2, 3, energy_mj=4.25)
NO = Refused(PATH, "cannot be had: „because“\nof this")


def test_what_was_appended_is_there_again(tmp_path: Path) -> None:
    with Ledger(tmp_path / "deep" / "ledger.jsonl") as ledger:
        ledger.append("a", ONE)
        ledger.append("b", TWO)
        ledger.append("c", NO)
    with Ledger(tmp_path / "deep" / "ledger.jsonl") as ledger:
        assert (ledger.get("a"), ledger.get("b"), ledger.get("c"), ledger.get("d")) == (ONE, TWO, NO, None)
        assert (len(ledger), ledger.damaged) == (3, 0)


@given(st.data())
def test_cut_anywhere_it_holds_the_whole_lines_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    with Ledger(file) as ledger:
        ledger.append("a", ONE)
        ledger.append("b", NO)
    content = file.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    file.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    with Ledger(file) as ledger:
        assert (len(ledger), ledger.damaged) == (whole, 0)
        ledger.append("c", TWO)
    with Ledger(file) as ledger:
        assert len(ledger) == whole + 1
        assert ledger.get("c") == TWO


def test_a_line_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    with Ledger(file) as ledger:
        ledger.append("a", ONE)
        ledger.append("b", TWO)
    file.write_bytes(file.read_bytes().replace(b"0.51", b"0.61"))
    with Ledger(file) as ledger:
        assert (ledger.get("a"), ledger.get("b"), ledger.damaged) == (None, TWO, 1)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    room = [200]

    def write(descriptor: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(descriptor, data[: room[0]])
        room[0] -= written
        return written

    with Ledger(file, write) as ledger:
        room[0] = 10_000
        ledger.append("a", ONE)
        room[0] = 50
        with pytest.raises(SearchError, match=r"No space left on device.*the 1 evaluations before are kept: make room"):
            ledger.append("b", TWO)
        assert ledger.get("b") is None
        room[0] = 10_000
        ledger.append("b", TWO)
    with Ledger(file) as ledger:
        assert (ledger.get("a"), ledger.get("b"), ledger.damaged) == (ONE, TWO, 0)


def test_two_searches_do_not_share_a_ledger(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl"), pytest.raises(SearchError, match="another search is writing it"):
        Ledger(tmp_path / "ledger.jsonl")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SearchError, match=r"file/ledger.jsonl: cannot be opened"):
        Ledger(tmp_path / "file" / "ledger.jsonl")
