"""Slimming on a landscape whose best cuts can be written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from converters.paths import ExecutionPath
from converters.search.contract import Measured, Outcome
from converters.search.slimming import NO_LOSS, slim
from converters.search.space import SearchSpace
from tests.converters.search.toy import LANDSCAPE, SIZE, SPACE, Toy, directly


def full_of(toy: Toy) -> Measured:
    return toy(SPACE.full())


def test_the_cuts_are_those_of_least_loss_a_millisecond(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "log")
    steps = slim(full_of(toy), SPACE, directly(toy), 60.0)
    # Loss a ms: decoder .00017, ffn_1 .0005, decoder .001 and skip_1_2 .001 (first in the order of genes), ...
    assert [step.action for step in steps] == [
        "decoder", "ffn_1", "skip_1_2", "decoder", "ffn_1", "ffn_2", "skip_2_2"
    ]  # fmt: skip
    assert [step.measured.latency_ms for step in steps] == [94, 90, 80, 74, 70, 68, 60]
    assert steps[0].loss == 0.8 - 0.799
    assert steps[0].saved == 6.0


def test_lazy_choice_equals_evaluating_everything(tmp_path: Path) -> None:
    lazy = slim(full_of(Toy(tmp_path / "a")), SPACE, directly(Toy(tmp_path / "a")), 45.0, batch=1)
    greedy: list[str] = []
    toy = Toy(tmp_path / "b")
    present = full_of(toy)
    while present.latency_ms > 45.0:
        options = []
        for action in SPACE.actions(present.path):
            after = toy(action.path)
            saved = present.latency_ms - after.latency_ms
            if saved <= 0:  # without its last block a stage has no feed-forward to narrow either
                continue
            options.append((max(present.accuracy - after.accuracy, NO_LOSS) / saved, action.key, after))
        least = min(cost for cost, _, _ in options)
        _, key, present = next(option for option in options if option[0] <= least * (1 + 1e-9))
        greedy.append(key)
    assert [step.action for step in lazy] == greedy
    assert len(Toy(tmp_path / "a").asked()) < 0.6 * len(toy.asked())


def test_ends_when_nothing_saves_time(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "log")
    decoder_alone = SearchSpace.of(SPACE.depths, SPACE.full().decoder_width, SIZE, ("decoder",))
    said: list[str] = []
    steps = slim(full_of(toy), decoder_alone, directly(toy), 1.0, say=said.append)
    assert [step.measured.path.decoder_width for step in steps] == [48, 32, 24, 16, 8]
    assert said[-2:] == ["decoder: 62.3 % at 80.5 ms (1.24x)", "no cut saves time any more"]


def test_a_cut_that_saves_nothing_or_cannot_be_made_is_never_taken(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "log", impossible="skip_1_2")

    def no_saving_by_the_decoder(paths: Sequence[ExecutionPath]) -> list[Outcome]:
        return [
            replace(each, latency_ms=each.latency_ms + 6.0 * (each.path.decoder_width == 48))
            if isinstance(each, Measured)
            else each
            for each in directly(toy)(paths)
        ]

    actions = [step.action for step in slim(full_of(toy), SPACE, no_saving_by_the_decoder, 60.0)]
    assert "decoder" not in actions
    assert "skip_1_2" not in actions


def test_by_the_millijoule_another_cut_comes_first(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "log")

    def blocks_eat_energy(paths: Sequence[ExecutionPath]) -> list[Outcome]:
        return [with_energy(each) for each in directly(toy)(paths) if isinstance(each, Measured)]

    def with_energy(each: Measured) -> Measured:
        lost_blocks = 4 - sum(each.path.depths)
        return replace(each, energy_mj=1000 - each.macs / 1e9 - 800 * lost_blocks)

    (step, *_) = slim(with_energy(full_of(toy)), SPACE, blocks_eat_energy, 90.0, per="mj")
    assert step.action == "skip_1_2"
    assert step.saved > 799


def test_the_landscape_covers_the_space() -> None:
    assert {gene.name: gene.count - 1 for gene in SPACE.genes()} == {
        name: len(rungs) for name, rungs in LANDSCAPE.items()
    }
