"""Execution paths: the default set, what is refused, and paths from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import ConvertError
from converters.paths import ExecutionPath, PathSpace, path_from_json, path_to_json, read_paths

B0, B2 = PathSpace((2, 2, 2, 2), 256), PathSpace((3, 4, 6, 3), 768)


def test_default_set_of_b0() -> None:
    assert [(p.name, p.depths, p.decoder_width) for p in B0.default_set()] == [
        ("full", (2, 2, 2, 2), 256),
        ("p1", (2, 2, 2, 1), 192),
        ("p2", (2, 2, 1, 1), 128),
        ("p3", (2, 1, 1, 1), 64),
        ("p4", (1, 1, 1, 1), 64),
    ]


def test_default_set_of_b2() -> None:
    assert [(p.depths, p.decoder_width) for p in B2.default_set()] == [
        ((3, 4, 6, 3), 768),
        ((3, 4, 6, 2), 576),
        ((3, 4, 3, 2), 384),
        ((3, 2, 3, 2), 192),
        ((2, 2, 3, 2), 192),
    ]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (ExecutionPath("Full", ((0,),) * 4, 256), "a name is lower-case"),
        (ExecutionPath("a", ((0,),) * 3, 256), "3 stages given, the network has 4"),
        (ExecutionPath("a", ((0,), (0,), (2,), (0,)), 256), r"stage 3 keeps blocks \[2\]; .* lie in 0..1"),
        (ExecutionPath("a", ((0,), (1, 0), (0,), (0,)), 256), r"stage 2 keeps blocks \[1, 0\]; they must"),
        (ExecutionPath("a", ((0,),) * 4, 257), "decoder width 257 is outside 1..256"),
        (ExecutionPath("a", ((0,),) * 4, 0), "decoder width 0 is outside"),
        (ExecutionPath("a", ((0,),) * 4, 256, ffn=(0.5,)), "ffn has 1 numbers; give one for each of 4 stages"),
        (ExecutionPath("a", ((0,),) * 4, 256, ffn=(0.5, 0.0, 1.0, 1.0)), "each is the share of channels kept"),
        (ExecutionPath("a", ((0,),) * 4, 256, pool=(1, 2, 3)), "pool has 3 numbers"),
        (ExecutionPath("a", ((0,),) * 4, 256, merge=(0, 1, 1, 1)), "merge .* is a factor of 1"),
        (ExecutionPath("a", ((0,),) * 4, 256, decoder_stride=3), "decoder_stride 3 is not one of"),
        (ExecutionPath("a", ((0,),) * 4, 256, size=(288, 31)), "size 288x31 is too small; 32x32 is the least"),
        (ExecutionPath("a", ((0,),) * 4, 256, choice="last"), "choice 'last' is not one of first, importance"),  # type: ignore[arg-type]
        (ExecutionPath("a", ((0,),) * 4, 256, classes=("sky",)), "name at least two, each once"),
        (ExecutionPath("a", ((0,),) * 4, 256, classes=("sky", "moon")), "unknown classes sky, moon; .* no class names"),
    ],
)
def test_a_path_that_does_not_fit_is_refused(path: ExecutionPath, message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        B0.checked(path)


def write(folder: Path, value: object) -> Path:
    file = folder / "paths.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def test_paths_from_a_file(tmp_path: Path) -> None:
    entries = [
        {"name": "full", "depths": [2, 2, 2, 2]},
        {"name": "odd", "blocks": [[1], [0, 1], [], [0]], "decoder_width": 48},
    ]
    assert read_paths(write(tmp_path, {"paths": entries}), B0) == (
        B0.full(),
        ExecutionPath("odd", ((1,), (0, 1), (), (0,)), 48),
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "not a list of paths"),
        ({"paths": []}, "at least one path"),
        ({"paths": [{"name": "a", "depths": [1, 1, 1, 1]}] * 2}, "a name of its own"),
        ({"paths": [{"name": "a"}]}, "depths or blocks"),
        ({"paths": [{"name": "a", "depths": [1, 1, 1, 1], "widht": 3}]}, "widht"),
        ({"paths": [{"name": "a", "depths": "all"}]}, "not a list of whole numbers"),
        ({"paths": [{"name": "a", "blocks": [1]}]}, "not a list of lists"),
        ({"paths": [{"name": "a", "depths": [1, 1, 1, 3]}]}, "stage 4"),
        ({"paths": [{"name": "a", "depths": [1, 1, 1, 1], "decoder_width": "wide"}]}, "not a whole number"),
        ({"paths": [{"name": "a", "depths": [1, 1, 1, 1], "size": [288]}]}, r"size of 'a' is \[288\], not \[height"),
        ({"paths": [{"name": "a", "depths": [1, 1, 1, 1], "ffn": ["half"]}]}, "not a list of numbers"),
        ({"paths": [{"name": "a", "depths": [1, 1, 1, 1], "decoder_chain": 1}]}, "not true or false"),
        ({"paths": [{"name": "a", "depths": [1, True, 1, 1]}]}, "not a list of whole numbers"),
        ({"paths": [{"name": "a", "depths": [1, 1, 1, 1], "classes": "sky"}]}, "not a list of names"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, value: object, message: str) -> None:
    file = write(tmp_path, value)
    with pytest.raises(ConvertError, match=message) as caught:
        read_paths(file, B0)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=r"no\.json: cannot read the paths"):
        read_paths(tmp_path / "no.json", B0)


LABELLED = PathSpace((3, 4, 6, 3), 768, ("sky", "road", "car"))


def four(of: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.one_of(st.just(()), st.tuples(of, of, of, of))


@settings(max_examples=60, deadline=None)
@given(
    path=st.builds(
        ExecutionPath,
        name=st.from_regex(r"[a-z][a-z0-9_-]{0,39}", fullmatch=True),
        blocks=st.tuples(*(st.sets(st.integers(0, d - 1)).map(lambda kept: tuple(sorted(kept))) for d in (3, 4, 6, 3))),
        decoder_width=st.integers(1, 768),
        size=st.none() | st.tuples(st.integers(32, 2048), st.integers(32, 2048)),
        ffn=four(st.floats(0.01, 1)),
        pool=four(st.integers(1, 8)),
        merge=four(st.integers(1, 8)),
        decoder_stride=st.sampled_from((1, 2)),
        decoder_chain=st.booleans(),
        classes=st.none() | st.permutations(["sky", "road", "car"]).map(lambda names: tuple(names[:2])),
        choice=st.sampled_from(("first", "importance")),
        compensation=st.sampled_from(("none", "ridge")),
    )
)
def test_paths_come_back_from_json(path: ExecutionPath) -> None:
    entry = json.loads(json.dumps(path_to_json(path)))
    assert path_from_json(entry, LABELLED) == path


def test_what_is_at_its_default_is_not_written() -> None:
    assert path_to_json(B0.full()) == {"name": "full", "blocks": [[0, 1]] * 4, "decoder_width": 256}
