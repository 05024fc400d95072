"""Networks as units: what is grouped, what a key says, and that units rebuild what they were made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from converters.families import segformer
from converters.latency.keys import KeyOps, total
from converters.layers import Conv, Linear
from converters.ops import Ops
from converters.ops.count import CountOps
from converters.paths import ExecutionPath
from converters.workshop import Workshop

SIZE = (64, 96)
WEIGHTS = segformer.random_weights(segformer.SegformerConfig.b0(11), 0)


def builder(network: segformer.Network) -> Callable[[Ops[Any]], None]:
    return segformer.builders({"x": network}, SIZE)["x"]


def folded(*depths: int, width: int = 256) -> segformer.Network:
    return segformer.folded(segformer.network(WEIGHTS, WEIGHTS.space.first("x", depths, width)))


def linear(inputs: int, outputs: int, bias: bool = True) -> Linear:
    return Linear(np.ones((inputs, outputs), np.float32), np.ones(outputs, np.float32) if bias else None)


def test_a_segformer_falls_into_embeddings_attentions_feed_forwards_norms_and_a_decoder() -> None:
    kinds = [unit.kind for unit in KeyOps.of(builder(folded(2, 1, 1, 2))).units()]
    assert kinds == [
        *("embedding", "attention", "feed-forward", "attention", "feed-forward", "norm"),
        *("embedding", "attention", "feed-forward", "norm"),
        *("embedding", "attention", "feed-forward", "norm"),
        *("embedding", "attention", "feed-forward", "attention", "feed-forward", "norm"),
        *("decoder", "linear"),
    ]


def test_blocks_of_a_stage_share_their_keys_and_stages_do_not() -> None:
    counts = total(KeyOps.of(builder(folded(2, 2, 2, 2))).units())
    assert Counter(counts.values()) == {2: 8, 1: 10}


def test_a_key_says_operations_and_shapes_and_nothing_of_weights() -> None:
    def build(ops: Ops[Any]) -> None:
        conv = Conv(np.ones((3, 3, 3, 8), np.float32), None, stride=2, padding=1)
        ops.output("y", ops.relu(ops.conv(ops.input("x", (1, 8, 10, 3)), conv)))

    (unit,) = KeyOps.of(build).units("layer")
    assert unit.key == "i0=1x8x10x3;conv(i0,{weight:<3x3x3x8>,stride:2,padding:1});relu(t0)"


def test_a_shape_makes_another_key_and_a_bias_does_not() -> None:
    def key(inputs: int, outputs: int, bias: bool) -> str:
        def build(ops: Ops[Any]) -> None:
            ops.output("y", ops.linear(ops.input("x", (1, 4, 4, inputs)), linear(inputs, outputs, bias)))

        return KeyOps.of(build).units()[0].key

    assert len({key(3, 4, True), key(3, 5, True), key(4, 4, True)}) == 3
    assert key(3, 4, True) == key(3, 4, False)


@pytest.mark.parametrize("grain", ["block", "layer"])
def test_units_hold_every_operation_once_and_compute_as_much_as_the_network(grain: Any) -> None:
    network = folded(2, 1, 0, 2, width=64)
    recorded, counted = KeyOps.of(builder(network)), CountOps()
    segformer.build(counted, network, SIZE)
    units = recorded.units(grain)
    nodes = [node for unit in units for node in unit.nodes]
    assert sorted(nodes, key=lambda node: node.number) == [n for n in recorded.nodes if n.operation != "input"]
    macs = 0
    for unit in units:
        alone = CountOps()
        unit.build(alone)
        assert alone.outputs["y"] == unit.output.shape
        macs += alone.macs
    assert macs == counted.macs


def test_a_unit_rebuilt_has_its_own_key() -> None:
    for unit in KeyOps.of(builder(folded(1, 1, 1, 1))).units():
        (again,) = KeyOps.of(unit.build).units()[-1:] if unit.kind != "decoder" else (unit,)
        assert again.key == unit.key


def test_units_can_run_in_order() -> None:
    done: set[Any] = set()
    for unit in KeyOps.of(builder(folded(2, 2, 2, 2))).units():
        assert all(node in done or node.operation == "input" for node in unit.inputs)
        done.add(unit.output)


def test_an_activation_belongs_to_what_it_follows_unless_that_is_read_elsewhere() -> None:
    def build(ops: Ops[Any]) -> None:
        x = ops.linear(ops.input("x", (1, 4, 4, 3)), linear(3, 4))
        ops.output("y", ops.add(ops.relu(x), x))

    assert [unit.kind for unit in KeyOps.of(build).units("layer")] == ["linear", "relu", "add"]


def test_merged_positions_pooled_keys_and_a_missing_stage_have_units_too() -> None:
    path = ExecutionPath("x", ((0, 1), (0,), (), (0,)), 96, None, (0.5, 0.75, 1, 0.5), (1, 2, 1, 1), (1, 2, 1, 2), 2)
    network = Workshop(WEIGHTS, [], (128, 192)).network(path)
    units = KeyOps.of(segformer.builders({"x": network}, (128, 192))["x"]).units()
    kinds = Counter(unit.kind for unit in units)
    assert kinds["attention"] == 4
    assert kinds["feed-forward"] == 4
    assert kinds["spreading"] == 2
    assert kinds["decoder"] == 1
