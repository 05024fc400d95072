"""What is kept comes back, and what is broken is made again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from converters.errors import ConvertError
from converters.keep import Kept, arrays_of, digest, with_arrays
from converters.layers import Linear


@dataclass(frozen=True)
class Tree:
    layers: tuple[Linear, ...]
    number: int = 3


def tree(value: float) -> Tree:
    return Tree(
        (Linear(np.full((2, 3), value, np.float32), None), Linear(np.ones((3, 1), np.float32), np.ones(1, np.float32)))
    )


def test_arrays_of_a_tree_and_back() -> None:
    arrays = arrays_of(tree(1))
    assert [array.shape for array in arrays] == [(2, 3), (3, 1), (1,)]
    found = with_arrays(tree(0), arrays)
    assert digest(found) == digest(tree(1)) != digest(tree(0))
    assert found.number == 3
    assert found.layers[0].bias is None


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) was expected"):
        with_arrays(tree(0), arrays_of(tree(0))[1:])
    with pytest.raises(ValueError, match="1 arrays too many"):
        with_arrays(tree(0), [*arrays_of(tree(0)), np.zeros(1)])


def test_a_digest_tells_values_shapes_and_kinds_apart() -> None:
    values = [
        1,
        "1",
        (1,),
        np.ones(2),
        np.ones((1, 2)),
        np.ones(2, np.float32),
        np.zeros(2),
        Linear(np.ones((1, 2), np.float32)),
    ]
    assert len({digest(value) for value in values}) == len(values)
    assert digest(1, 2) != digest(2, 1)
    # A number beside arrays counts as well.
    assert digest(tree(1)) != digest(replace(tree(1), number=4))


def test_kept_in_a_folder_for_the_next_run(tmp_path: Path) -> None:
    Kept(tmp_path / "cache").put("one", [np.arange(3), np.eye(2)])
    found = Kept(tmp_path / "cache").get("one")
    assert found is not None
    np.testing.assert_array_equal(found[0], np.arange(3))
    np.testing.assert_array_equal(found[1], np.eye(2))
    assert Kept(tmp_path / "cache").get("two") is None
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["one.npz"]


def test_without_a_folder_memory_keeps() -> None:
    kept = Kept(None)
    kept.put("one", [np.ones(1)])
    assert kept.get("one") is not None
    assert Kept(None).get("one") is None


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04 half a zip"])
def test_a_broken_file_is_said_and_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.npz").write_bytes(content)
    said: list[str] = []
    assert Kept(tmp_path, said.append).get("one") is None
    assert len(said) == 1
    assert said[0].startswith("one.npz: cannot be read")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConvertError, match="cannot keep results"):
        Kept(tmp_path / "file" / "cache")


def test_memory_keeps_what_was_asked_for_last_and_no_more_than_its_bound(tmp_path: Path) -> None:
    kept, on_disk = Kept(None, most_bytes=1000), Kept(tmp_path, most_bytes=1000)
    for store in (kept, on_disk):
        for key in "abc":
            store.put(key, [np.full(50, ord(key), np.float64)])  # 400 bytes each
            assert store.get("a" if key != "c" else "c") is not None
    assert [kept.get(key) is None for key in "abc"] == [False, True, False]
    found = on_disk.get("b")  # read again
    assert found is not None
    assert np.array_equal(found[0], np.full(50, ord("b")))
    kept.put("a", [np.zeros(75)])  # 600 bytes in the place of 400: c, asked for before it, stays within the bound
    assert [kept.get(key) is None for key in "ac"] == [False, False]
    kept.put("large", [np.zeros(1000)])
    assert kept.get("large") is not None
    assert kept.get("a") is None
