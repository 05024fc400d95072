"""The workshop on small networks in which it is known what can be cut without loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from converters.errors import ConvertError
from converters.families import segformer
from converters.families.segformer.structure import Block, Bridge
from converters.keep import digest
from converters.paths import ExecutionPath
from converters.workshop import Workshop
from tests.converters.running import run_eagerly

pytest.importorskip("tensorflow", reason="running networks needs the extra [convert]")

SIZE = (64, 96)
CONFIG = segformer.SegformerConfig(
    hidden_sizes=(8, 16, 40, 64), decoder_width=32, labels=tuple(f"class {number}" for number in range(6))
)
ALL = ((0, 1),) * 4
Image = npt.NDArray[np.uint8]
Tensors = dict[str, npt.NDArray[np.float32]]
ENCODER = "segformer.encoder.block"


def images(count: int = 8, seed: int = 9) -> list[Image]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 8, 12, 3), dtype=np.uint8)
    noise = rng.integers(0, 32, (count, *SIZE, 3), dtype=np.uint8)
    return list(coarse.repeat(8, axis=1).repeat(8, axis=2) // 2 + noise)


def weights(change: Callable[[Tensors], None] = lambda _: None) -> segformer.SegformerWeights:
    found = segformer.random_weights(CONFIG, 4)
    tensors = {name: value.copy() for name, value in found.tensors.items()}
    change(tensors)
    return replace(found, tensors=tensors)


def workshop(change: Callable[[Tensors], None] = lambda _: None, **options: Any) -> Workshop:
    return Workshop(weights(change), images(), SIZE, **options)


def path(**knobs: Any) -> ExecutionPath:
    return ExecutionPath(**{"name": "path", "blocks": ALL, "decoder_width": 32, **knobs})


REPAIRED: dict[str, Any] = {"choice": "importance", "compensation": "ridge"}


def distance(shop: Workshop, cut: ExecutionPath) -> float:
    """How far the logits of `cut` are from the full network's on an image of its own, as a share of the largest."""
    pixels = images(1, seed=77)[0]
    full, short = run_eagerly(shop.full, pixels), run_eagerly(shop.network(cut), pixels)
    return float(np.abs(short - full).max() / np.abs(full).max())


def test_nothing_cut_is_the_full_network() -> None:
    shop = workshop()
    same = path(ffn=(1.0,) * 4, pool=(1,) * 4, merge=(1,) * 4, size=SIZE, **REPAIRED)
    assert digest(shop.network(same)) == digest(shop.full) == digest(shop.network(path()))


def copied_hidden(tensors: Tensors) -> None:
    """Hidden channels of stage 2's second block in pairs that compute the same and write something else."""
    prefix = f"{ENCODER}.1.1.mlp"
    for name in ("dense1.weight", "dense1.bias", "dwconv.dwconv.weight", "dwconv.dwconv.bias"):
        tensors[f"{prefix}.{name}"][1::2] = tensors[f"{prefix}.{name}"][::2]


def copied_decoder(tensors: Tensors) -> None:
    """Fused channels in pairs that compute the same; the classifier reads them differently."""
    for name in ("linear_fuse.weight", *(f"batch_norm.{n}" for n in ("weight", "bias", "running_mean", "running_var"))):
        tensors[f"decode_head.{name}"][:16] = tensors[f"decode_head.{name}"][16:]


def silent_block(tensors: Tensors) -> None:
    """Stage 3's second block writes nothing but a constant."""
    for name in ("attention.output.dense.weight", "mlp.dense2.weight"):
        tensors[f"{ENCODER}.2.1.{name}"][:] = 0


@pytest.mark.parametrize(
    ("change", "knobs"),
    [
        (copied_hidden, {"ffn": (1.0, 0.5, 1.0, 1.0), "blocks": ((0, 1), (1,), (0, 1), (0, 1))}),
        (copied_decoder, {"decoder_width": 16}),
        (silent_block, {"blocks": ((0, 1), (0, 1), (0,), (0, 1))}),
    ],
)
def test_what_is_redundant_goes_without_loss(change: Callable[[Tensors], None], knobs: dict[str, Any]) -> None:
    if "ffn" in knobs:  # only the second block's channels are copies: silence the first, so that it may go

        def both(tensors: Tensors) -> None:
            change(tensors)
            for name in ("attention.output.dense.weight", "mlp.dense2.weight"):
                tensors[f"{ENCODER}.1.0.{name}"][:] = 0

        shop = workshop(both)
    else:
        shop = workshop(change)
    assert distance(shop, path(**knobs)) > 1e-2
    assert distance(shop, path(**knobs, **REPAIRED)) < 1e-4


@pytest.mark.parametrize(
    "knobs",
    [
        {"ffn": (0.5,) * 4},
        {"pool": (2, 2, 1, 1)},
        {"merge": (2, 1, 1, 1)},
        {"blocks": ((1,), (0, 1), (0,), (0, 1))},
        {"decoder_width": 16},
        {"decoder_stride": 2, "decoder_chain": True},
        {"size": (32, 64)},
    ],
)
def test_repair_brings_logits_closer_on_the_images_it_saw(knobs: dict[str, Any]) -> None:
    shop = workshop()
    size = knobs.get("size", SIZE)

    def error(cut: ExecutionPath) -> float:
        from converters.families.segformer.trace import logits_of, on_grid

        network, total = shop.network(cut), 0.0
        for image, large in zip(shop._calibration.inputs(size), shop._calibration.traces, strict=True):
            found = np.asarray(logits_of(network, image))
            total += float(np.square(found - np.asarray(on_grid(large.logits, *found.shape[1:3]))).sum())
        return total

    assert error(path(**knobs, **REPAIRED)) < 0.8 * error(path(**knobs))


def test_the_same_inputs_give_the_same_network() -> None:
    cut = path(blocks=((1,), (0, 1), (0,), ()), decoder_width=8, ffn=(0.5, 1.0, 0.75, 1.0), **REPAIRED)
    assert digest(workshop().network(cut)) == digest(workshop().network(cut))


def test_bridges_stand_where_no_write_can_take_over() -> None:
    blocks = ((1,), (0,), (), (0, 1))
    repaired = workshop().network(path(blocks=blocks, **REPAIRED))
    kinds = [[type(block) for block in stage.blocks] for stage in repaired.stages]
    assert kinds == [[Bridge, Block], [Block, Bridge], [Bridge], [Block, Block]]
    plain = workshop(bridges=False).network(path(blocks=blocks, **REPAIRED))
    assert [[type(b) for b in stage.blocks] for stage in plain.stages] == [[Block], [Block], [Bridge], [Block, Block]]


def test_a_folder_keeps_fits_for_the_next_run(tmp_path: Path) -> None:
    cut = path(merge=(1, 2, 1, 1), decoder_width=8, **REPAIRED)
    said: list[str] = []
    first = workshop(cache=tmp_path, say=said.append).network(cut)
    assert [line for line in said if line.startswith("fitting")] == [
        "fitting stage 2 of path path",
        "fitting stage 3 of path path",
        "fitting stage 4 of path path",
        "fitting the decoder of path path",
    ]
    said.clear()
    assert digest(workshop(cache=tmp_path, say=said.append).network(cut)) == digest(first)
    assert said == []


def test_paths_that_begin_alike_share_fits_and_broken_ones_are_made_again(tmp_path: Path) -> None:
    cut = path(merge=(1, 2, 1, 1), decoder_width=8, **REPAIRED)
    first = workshop(cache=tmp_path).network(cut)
    said: list[str] = []
    workshop(cache=tmp_path, say=said.append).network(replace(cut, decoder_chain=True))
    assert [line for line in said if "fitting" in line] == ["fitting the decoder of path path"]
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    said.clear()
    assert digest(workshop(cache=tmp_path, say=said.append).network(cut)) == digest(first)
    assert sum("cannot be read" in line for line in said) == 5


def test_effects_of_blocks() -> None:
    effects = workshop(silent_block).importance.blocks()
    assert set(effects) == {(stage, block) for stage in range(4) for block in range(2)}
    assert min(effects.values()) >= 0
    assert max(effects.values()) > 1e-3


def test_a_block_that_writes_nothing_has_no_effect() -> None:
    def nothing(tensors: Tensors) -> None:
        for name in ("attention.output.dense", "mlp.dense2", "attention.self.value"):
            for part in ("weight", "bias"):
                tensors[f"{ENCODER}.2.1.{name}.{part}"][:] = 0

    effects = workshop(nothing).importance.blocks()
    assert effects[2, 1] == pytest.approx(0.0, abs=1e-9)
    assert min(effect for block, effect in effects.items() if block != (2, 1)) > 1e-6


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"compensation": "ridge", "decoder_width": 8}, "compensation needs at least 8 calibration images, 7 given"),
        ({"choice": "importance", "decoder_width": 8}, "importance of decoder channels needs at least 8"),
        ({"choice": "importance", "ffn": (0.5,) * 4}, "importance of hidden channels of stage 1, block 1 needs"),
        ({"classes": ("class 1", "moon")}, "unknown classes moon; the network has class 0, class 1"),
        ({"decoder_width": 0}, "decoder width 0 is outside"),
        ({"size": (16, 64)}, "size 16x64 is too small"),
    ],
)
def test_what_cannot_be_made_is_refused(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        Workshop(weights(), images(7), SIZE).network(path(**knobs))


def test_plain_cuts_need_no_images() -> None:
    shop = Workshop(weights(), [], SIZE)
    cut = path(classes=("class 5", "class 0"), decoder_width=8, ffn=(0.5,) * 4)
    pixels = images(1)[0]
    assert np.array_equal(
        run_eagerly(shop.network(cut), pixels),
        run_eagerly(shop.network(replace(cut, classes=None)), pixels)[..., [5, 0]],
    )


def test_the_published_network_refuses_knobs_of_the_folded_one() -> None:
    with pytest.raises(ConvertError, match="path 'path': merge, compensation cut the folded network"):
        segformer.network(weights(), path(merge=(2, 1, 1, 1), compensation="ridge"))
