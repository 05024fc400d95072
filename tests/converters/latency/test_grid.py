"""A table for a search space holds every unit of every path of that space."""

from __future__ import annotations

from dataclasses import replace

from converters.families import segformer
from converters.latency.grid import name_of, some_paths, space_of, unit_networks
from converters.latency.keys import KeyOps
from converters.latency.measure import Networks

WEIGHTS = segformer.random_weights(segformer.SegformerConfig.b0(5), 0)
SIZE = (256, 320)


def keys(networks: Networks) -> set[str]:
    builds = [segformer.builders({"x": network}, size)["x"] for network, size in networks.values()]
    return {unit.key for build in builds for unit in KeyOps.of(build).units()}


def test_units_of_random_paths_are_all_among_the_grid() -> None:
    space = space_of(WEIGHTS, SIZE)
    space = replace(space, sizes=space.sizes[:2])
    grid = keys(unit_networks(WEIGHTS, space))
    assert keys(some_paths(WEIGHTS, space, 60, seed=9)) <= grid
    assert 150 < len(grid) < 400


def test_paths_are_drawn_alike_for_a_seed_and_start_with_the_full_one() -> None:
    space = space_of(WEIGHTS, SIZE)
    one, again, other = (list(some_paths(WEIGHTS, space, 6, seed)) for seed in (1, 1, 2))
    assert one == again != other
    assert one[0] == other[0] == name_of(space.full()) == "blocks 2/2/2/2, decoder 256"
