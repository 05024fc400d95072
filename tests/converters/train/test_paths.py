"""Every knob of a path in PyTorch: against transformers' modules cut by hand, and against the converter's own graph."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (extra [train])")
pytest.importorskip("transformers", reason="needs transformers (extra [train])")

from converters.families import segformer  # noqa: E402
from converters.paths import ExecutionPath, PathSpace  # noqa: E402
from converters.train.load import load_network  # noqa: E402
from converters.train.network import average_pool, logits_of, normalise  # noqa: E402
from converters.train.sample import PathSampler  # noqa: E402
from edge.errors import UsageError  # noqa: E402
from tests.converters.reference.make import image, write_checkpoint  # noqa: E402

pytestmark = pytest.mark.oracle
CONFIG = replace(segformer.SegformerConfig.b0(5), depths=(2, 2, 1, 1), decoder_width=64)
SPACE = PathSpace(CONFIG.depths, CONFIG.decoder_width)
FULL = SPACE.full()
KNOBS = {
    "full": FULL,
    "blocks": replace(FULL, blocks=((1,), (0,), (), (0,)), decoder_width=24),
    "ffn": replace(FULL, ffn=(0.5, 0.75, 0.25, 1.0)),
    "pool": replace(FULL, pool=(2, 2, 2, 2)),
    "merge": replace(FULL, merge=(2, 1, 2, 1)),
    "stride": replace(FULL, decoder_stride=2, decoder_chain=True),
    "all": replace(
        FULL, blocks=((0,), (1,), (0,), ()), decoder_width=40, ffn=(0.5,) * 4, pool=(1, 2, 1, 2), merge=(1, 1, 2, 1),
        decoder_stride=2,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def weights() -> segformer.SegformerWeights:
    return segformer.random_weights(CONFIG, 5)


@pytest.fixture(scope="module")
def network(weights: segformer.SegformerWeights, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("weights")
    write_checkpoint(weights, folder)
    return load_network(folder, ()).eval()


def ours(network: Any, pixels: np.ndarray, path: ExecutionPath) -> np.ndarray:
    with torch.inference_mode():
        logits = logits_of(network, normalise(torch.from_numpy(pixels[None])).contiguous(), path)
    return logits[0].permute(1, 2, 0).numpy()


@pytest.mark.host
@pytest.mark.parametrize("knob", KNOBS)
@pytest.mark.parametrize("size", [(64, 96), (160, 96)])  # 160: grids of 5 rows do not divide by the factors
def test_training_follows_the_path_that_the_converter_cuts(
    knob: str, size: tuple[int, int], weights: segformer.SegformerWeights, network: Any
) -> None:
    pytest.importorskip("tensorflow", reason="converting needs the extra [convert]")
    from converters.workshop import Workshop
    from tests.converters.running import assert_same_logits, run_eagerly

    path, pixels = KNOBS[knob], image(size)
    converted = Workshop(weights, (), size).network(path)
    assert_same_logits(ours(network, pixels, path), run_eagerly(converted, pixels))


def test_a_narrow_feed_forward_layer_is_the_layer_with_the_rest_cut_away(network: Any) -> None:
    cut = copy.deepcopy(network)
    for stage, share in zip(cut.segformer.stages, (0.5, 0.75, 0.25, 1.0), strict=True):
        for block in stage.blocks:
            kept = round(block.mlp.fc1.out_features * share)
            block.mlp.fc2.weight.data[:, kept:] = 0
    pixels = normalise(torch.from_numpy(image((64, 96))[None]))
    with torch.inference_mode():
        theirs = cut(pixel_values=pixels).logits[0].permute(1, 2, 0).numpy()
    narrow = ours(network, image((64, 96)), KNOBS["ffn"])
    assert np.abs(narrow - theirs).max() <= 1e-4 * np.abs(theirs).max()
    assert np.abs(narrow - ours(network, image((64, 96)), FULL)).max() > 1e-2 * np.abs(theirs).max()


def test_dropped_weights_get_no_gradient(network: Any) -> None:
    learning = copy.deepcopy(network).train()
    logits_of(learning, torch.randn(2, 3, 64, 64), KNOBS["all"]).square().mean().backward()
    stages = learning.segformer.stages
    assert stages[0].blocks[1].mlp.fc1.weight.grad is None
    gradient = stages[0].blocks[0].mlp.fc1.weight.grad.abs().sum(1)
    assert bool((gradient[:64] > 0).any())
    assert not gradient[64:].any()
    fuse = learning.decode_head.linear_fuse.weight.grad.abs().sum((1, 2, 3))
    assert bool((fuse[:40] > 0).any())
    assert not fuse[40:].any()


def test_means_at_the_border_are_of_what_is_there() -> None:
    grid = torch.arange(15.0).reshape(1, 1, 3, 5)
    assert average_pool(grid, 1).equal(grid)
    # Three rows and five columns by fours: one row is missing (below), three columns (one left, two right).
    pooled = average_pool(grid, 4)[0, 0]
    assert pooled.tolist() == [[float(grid[0, 0, :, :3].mean()), float(grid[0, 0, :, 3:].mean())]]
    assert average_pool(grid[..., :4], 2)[0, 0].tolist() == [[3.0, 5.0], [10.5, 12.5]]


def sampler(count: int, named: tuple[ExecutionPath, ...] = ()) -> PathSampler:
    return PathSampler(PathSpace((2, 3, 4, 2), 256), count, 64, named)


def test_random_paths_are_sandwiched() -> None:
    drawn = [path for step in range(200) for path in sampler(3).draw(step, np.random.default_rng(step))]
    assert {p.depths for p in drawn[::3]} == {(1, 2, 2, 1)}
    others = [p for number, p in enumerate(drawn) if number % 3]
    assert {d for p in others for d in [p.depths[2]]} == {2, 3, 4}
    assert {p.decoder_width for p in others} == set(range(64, 257, 32))
    assert sampler(0).draw(0, np.random.default_rng(0)) == []
    one = [sampler(1).draw(step, np.random.default_rng(step))[0].name for step in range(4)]
    assert one == ["random", "smallest", "random", "smallest"]
    assert [path.name for path in sampler(1).validated()] == ["full", "p1", "p2", "p3", "p4", "smallest"]
    assert [path.name for path in sampler(0).validated()] == ["full"]


def test_named_paths_are_trained_and_validated_all() -> None:
    space = PathSpace((2, 3, 4, 2), 256)
    named = (space.full(), space.first("half", (1, 2, 2, 1), 128), space.first("tiny", (1, 1, 1, 1), 64))
    found = sampler(2, named)
    drawn = [found.draw(step, np.random.default_rng(step)) for step in range(40)]
    assert {first.name for first, _ in drawn} == {"tiny"}
    assert {second.name for _, second in drawn} == {"half", "tiny"}
    assert [path.name for path in found.validated()] == ["full", "half", "tiny"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choice": "importance"}, "training keeps the first channels"),
        ({"compensation": "ridge"}, "compensation is fitted after training"),
        ({"classes": ("a", "b")}, "classes are cut when the bundle is made"),
    ],
)
def test_what_training_cannot_follow_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sampler(1, (replace(PathSpace((2, 3, 4, 2), 256).full(), name="odd", **change),))
    with pytest.raises(UsageError, match="is wider than the network's 64"):
        PathSampler(SPACE, 1, 96)


def test_missing_tensors_are_named_and_not_drawn_at_random(weights: segformer.SegformerWeights, tmp_path: Path) -> None:
    from converters.errors import WeightsError

    tensors = dict(weights.tensors)
    lost = next(name for name in tensors if "block" in name and name.endswith("weight"))
    del tensors[lost]
    write_checkpoint(replace(weights, tensors=tensors), tmp_path)
    with pytest.raises(WeightsError) as caught:
        load_network(tmp_path, ())
    assert lost in str(caught.value)
