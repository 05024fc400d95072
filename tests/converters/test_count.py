"""Multiply-accumulates and shapes against published figures and hand counts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from converters.errors import ConvertError
from converters.families import segformer
from converters.ops.count import Cost, CountOps
from converters.paths import ExecutionPath


def cost(
    config: segformer.SegformerConfig, size: tuple[int, int], *, folded: bool, path: ExecutionPath | None = None
) -> Cost:
    weights = segformer.random_weights(config, 0)
    network = segformer.network(weights, path or weights.space.full())
    ops = CountOps()
    segformer.build(ops, segformer.folded(network) if folded else network, size)
    return ops.cost()


@pytest.mark.parametrize(
    ("config", "size", "giga"),
    [
        (segformer.SegformerConfig.b0(150), (512, 512), 8.39),
        (segformer.SegformerConfig.b2(150), (512, 512), 62.34),
        (segformer.SegformerConfig.b2(19), (1024, 1024), 289.5),
    ],
)
def test_published_networks_cost_what_is_known(
    config: segformer.SegformerConfig, size: tuple[int, int], giga: float
) -> None:
    assert cost(config, size, folded=False).macs / 1e9 == pytest.approx(giga, rel=1e-3)


def test_parameters_of_b0_are_those_of_the_checkpoint() -> None:
    # 3.75 million as published for 150 classes; four batch norm vectors count as two, and the input's mean adds three.
    weights = segformer.random_weights(segformer.SegformerConfig.b0(150), 0)
    stored = sum(tensor.size for tensor in weights.tensors.values())
    assert cost(weights.config, (512, 512), folded=False).parameters == stored - 2 * 256 + 3


def test_folding_removes_the_fuse_convolution_and_one_head_projections() -> None:
    config = segformer.SegformerConfig.b0(150)
    published, folded = (cost(config, (512, 512), folded=flag).macs for flag in (False, True))
    fuse = 128 * 128 * 1024 * 256
    one_head = 2 * 128 * 128 * 32 * 32
    assert published - folded == fuse + one_head


def test_every_default_path_is_cheaper_than_the_one_before() -> None:
    config = segformer.SegformerConfig.b0(11)
    space = segformer.random_weights(config, 0).space
    macs = [cost(config, (240, 320), folded=True, path=path).macs for path in space.default_set()]
    assert macs == sorted(macs, reverse=True)
    assert len(set(macs)) == len(macs)


def test_weights_used_twice_count_once() -> None:
    ops, shared = CountOps(), np.ones(8, np.float32)
    x = ops.input("x", (1, 2, 2, 8))
    ops.output("y", ops.shift(ops.shift(x, shared), shared))
    assert ops.cost() == Cost(macs=0, parameters=8, activation_bytes=2 * 2 * 2 * 8 * 4)
    assert ops.outputs == {"y": (1, 2, 2, 8)}


def test_a_size_that_attention_cannot_reduce_is_refused() -> None:
    with pytest.raises(ConvertError, match=r"size 24x64: stage 1 .* use 32x32 or more"):
        cost(segformer.SegformerConfig.b0(3), (24, 64), folded=True)


def test_counting_needs_no_tensorflow() -> None:
    # A fresh interpreter, for others in this one may have imported it.
    code = (
        "import sys; from converters.families import segformer as s; from converters.ops.count import CountOps;"
        "w = s.random_weights(s.SegformerConfig.b0(3), 0); o = CountOps();"
        "s.build(o, s.folded(s.network(w, w.space.full())), (32, 32));"
        "sys.exit('tensorflow' in sys.modules or o.macs == 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
