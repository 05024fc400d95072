"""The space: ladders, genes and paths are three views of one thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.search.identity import as_json, canonical, describe, from_json, path_key
from converters.search.space import SearchSpace
from edge.errors import UsageError

SPACE = SearchSpace.of((2, 1, 2), 96, (288, 384))
rungs = st.fixed_dictionaries({gene.name: st.integers(0, gene.count - 1) for gene in SPACE.genes()})


def test_the_ladders_of_a_known_network() -> None:
    assert SPACE.sizes == ((288, 384), (256, 320), (224, 288), (192, 256), (128, 192))
    assert SPACE.widths == (96, 72, 48, 32, 24, 8)
    assert len(SPACE.actions(SPACE.full())) == len(SPACE.genes()) == 5 + 3 * 3 + 4


@given(rungs)
def test_a_path_and_its_rungs_say_the_same(taken: dict[str, int]) -> None:
    path = SPACE.path_of(taken)
    assert SPACE.path_of(SPACE.rungs_of(path)) == path


@given(rungs)
def test_each_action_goes_one_rung_down_and_never_returns_the_same_path(taken: dict[str, int]) -> None:
    path = SPACE.path_of(taken)
    before = SPACE.rungs_of(path)
    for action in SPACE.actions(path):
        assert action.path != path
        after = SPACE.rungs_of(action.path)
        assert after[action.key] == before[action.key] + 1


@given(rungs)
def test_paths_survive_json_and_are_known_again_under_any_name(taken: dict[str, int]) -> None:
    path = SPACE.path_of(taken)
    assert from_json(as_json(path)) == path
    spelt_out = from_json({**as_json(path), "name": "other", "size": list(path.size or SPACE.size)})
    assert canonical(spelt_out, SPACE.size) == canonical(path, SPACE.size)
    assert path_key(spelt_out, SPACE.size, "f") == path_key(path, SPACE.size, "f")
    assert path_key(path, SPACE.size, "g") != path_key(path, SPACE.size, "f")


def test_a_cut_in_words() -> None:
    path = SPACE.path_of(
        {"skip_1_2": 1, "skip_3_1": 1, "ffn_2": 2, "decoder": 1, "stride": 1, "chain": 1, "size": 3, "pool_1": 1}
    )
    assert describe(path, SPACE.full()) == (
        "without blocks 1.2 3.1; decoder 72 of 96; decoder at 1/2; decoder in a chain; feed-forward 100% 50% 100%; "
        "keys pooled 2 1 1; input 192x256"
    )
    assert describe(SPACE.full(), SPACE.full()) == "nothing cut"


def test_a_knob_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="--knobs 'depth': choose from blocks, ffn"):
        SearchSpace.of((2, 2), 64, (64, 64), ("depth",))


def test_paths_that_go_down_every_ladder_together() -> None:
    found = SPACE.evenly()
    assert len(set(found)) == len(found) == len(SPACE.sizes) * 4
    first, last = found[0], found[-1]
    assert (first.size, first.ffn, first.merge, first.pool) == (None, (0.75,) * 3, (2, 1, 1), (1, 2, 2))
    assert (first.decoder_width, first.decoder_chain) == (72, True)
    assert (last.size, last.ffn, last.decoder_width) == ((128, 192), (0.25,) * 3, 24)
    assert all(SPACE.path_of(SPACE.rungs_of(path)) == path for path in found)


def test_ladders_that_are_not_searched_are_not_gone_down() -> None:
    space = SearchSpace.of((2, 2), 64, (64, 64), ("blocks", "decoder"))
    assert [(path.decoder_width, path.ffn) for path in space.evenly()] == [(48, ())]
    assert SearchSpace.of((2, 2), 64, (64, 64), ("blocks",)).evenly() == ()
