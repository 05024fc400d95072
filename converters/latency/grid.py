"""Every unit that the paths of a search space can be made of: few, since a path is a choice of units.

A unit depends on the knobs of its own stage and on the input size, not on what is cut elsewhere; so a path for each
rung of each knob, at each size, holds all units of all paths.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from converters.families import segformer
from converters.families.segformer.structure import Bridge
from converters.latency.measure import Networks
from converters.layers import Linear
from converters.paths import ExecutionPath
from converters.search.space import SearchSpace
from converters.workshop import Workshop

FITTED = 12  # whole networks that the sum of units is fitted to


def space_of(weights: segformer.SegformerWeights, size: tuple[int, int]) -> SearchSpace:
    """The search's space with nothing chosen by images: latency does not depend on which channels are kept."""
    config = weights.config
    return SearchSpace.of(config.depths, config.decoder_width, size, choice="first", compensation="none")


def unit_networks(weights: segformer.SegformerWeights, space: SearchSpace, *, all_sizes: bool = True) -> Networks:
    """Networks that hold every unit of the space's paths between them, by name."""
    workshop = Workshop(weights, [], space.size)
    found: dict[str, tuple[segformer.Network, tuple[int, int]]] = {}
    sizes = space.sizes if all_sizes else space.sizes[:1]
    for number, rungs in enumerate(_rungs(space)):
        network = workshop.network(space.path_of(rungs))
        for one in (network, *_bridged(network, rungs)):
            for size in sizes:
                found[f"{number} {size} {len(found)}"] = (one, size)
    return found


def some_paths(
    weights: segformer.SegformerWeights, space: SearchSpace, count: int, seed: int, *, all_sizes: bool = True
) -> Networks:
    """`count` distinct paths drawn evenly over all rungs, with the full path first, by name."""
    workshop, drawn = Workshop(weights, [], space.size), random.Random(seed)
    chosen: dict[ExecutionPath, None] = {space.full(): None}
    while len(chosen) < count:
        genes = [gene for gene in space.genes() if all_sizes or gene.name != "size"]
        # Most cuts are left out of most paths, or no drawn path would resemble those that a search keeps.
        rungs = {gene.name: drawn.randrange(gene.count) for gene in genes if drawn.random() < 0.4}
        chosen[space.path_of(rungs)] = None
    return {name_of(path): (workshop.network(path), path.size or space.size) for path in chosen}


def name_of(path: ExecutionPath) -> str:
    """A path's cuts in words."""
    words = [f"blocks {'/'.join(map(str, path.depths))}", f"decoder {path.decoder_width}"]
    words += [f"ffn {'/'.join(f'{share:g}' for share in path.ffn)}"] if path.ffn else []
    words += [f"pool {'/'.join(map(str, path.pool))}"] if path.pool else []
    words += [f"merge {'/'.join(map(str, path.merge))}"] if path.merge else []
    words += [f"decoder stride {path.decoder_stride}"] if path.decoder_stride > 1 else []
    words += ["decoder chain"] if path.decoder_chain else []
    words += [f"{path.size[0]}x{path.size[1]}"] if path.size else []
    return ", ".join(words)


def _rungs(space: SearchSpace) -> Iterator[dict[str, int]]:
    genes = {gene.name: gene.count for gene in space.genes() if gene.name != "size"}
    yield {}
    for stage, depth in enumerate(space.depths, start=1):
        if space.skips:
            yield {f"skip_{stage}_{block}": 1 for block in range(1, depth + 1)}
        for merge in range(genes.get(f"merge_{stage}", 1)):
            merged = {f"merge_{stage}": merge}
            # One block alone and several are not grouped alike where positions are merged.
            for skipped in {0, depth - 1} if merge and space.skips else {0}:
                few = merged | {f"skip_{stage}_{block}": 1 for block in range(1, skipped + 1)}
                yield from ({**few, f"ffn_{stage}": rung} for rung in range(genes.get(f"ffn_{stage}", 1)))
                yield from ({**few, f"pool_{stage}": rung} for rung in range(genes.get(f"pool_{stage}", 1)))
    for stride, chain, width in product(*(range(genes.get(gene, 1)) for gene in ("stride", "chain", "decoder"))):
        yield {"decoder": width, "stride": stride, "chain": chain}


def _bridged(network: segformer.Network, rungs: dict[str, int]) -> Iterator[segformer.Network]:
    """The uncut and the merged networks again, with a linear map in the place of each first block, and of all."""
    if any(not name.startswith("merge") for name, rung in rungs.items() if rung):
        return
    for keep in (1, 0):
        yield replace(
            network,
            stages=tuple(
                replace(
                    stage, blocks=(_bridge(stage), *stage.blocks[len(stage.blocks) - keep :]) if stage.blocks else ()
                )
                for stage in network.stages
            ),
        )


def _bridge(stage: segformer.structure.Stage) -> Bridge:
    channels = stage.patch.weight.shape[-1]
    return Bridge(Linear(np.eye(channels, dtype=np.float32), np.zeros(channels, np.float32)))
