"""The paper's headline savings, recomputed with the model of `converters.analyze.accelerator`.

Sreedhar et al. (arXiv 2212.02687): 28 % of SegFormer-B2's energy for 1.4 points on ADE20K without training, by fewer
channels into the decoder's fuse convolution and fewer encoder blocks; 53 % of ResNet-50's for 3.3 points by switching
between Once-For-All subnets. Accuracies are the paper's and OFA's; energies here are modelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from converters.analyze import resnet
from converters.analyze.accelerator import Accelerator, Energy, accesses, energy_of, total, unit_energy
from converters.families import segformer
from converters.families.segformer.structure import Decoder
from converters.latency.keys import KeyOps
from converters.layers import Linear

PAPER_SEGFORMER, PAPER_RESNET = 0.28, 0.53
SIZE, CLASSES = (512, 512), 150
WHY = (
    "Why not the paper's figures: its energies come from MAGNet's mapper and a 16 nm, 8-bit process whose constants "
    "are not public, these from 45 and 65 nm constants at 16 bits and one fixed mapping; its exact paths, and OFA's "
    "choices stage by stage, are not printed, so uniform ones stand for them. Savings are ratios and move less than "
    "millijoules do."
)


@dataclass(frozen=True)
class Point:
    """One network; `saving` is against the first of its table, `note` says what is known of it otherwise."""

    name: str
    macs: int
    energy: Energy
    saving: float
    note: str = ""


def segformer_points(machine: Accelerator) -> tuple[Point, ...]:
    """SegFormer-B2 at 512x512 with 150 classes: published, with fewer fuse channels, and folded."""
    weights = segformer.random_weights(segformer.SegformerConfig.b2(CLASSES), 0)
    published = segformer.network(weights, weights.space.full())
    full = weights.config.decoder_width
    widths = range(full, 63, -64)
    found = [(f"published, {4 * width} channels into fuse", _narrowed(published, width)) for width in widths]
    found.append(("folded: exact, no fuse convolution", segformer.folded(published)))
    half = weights.space.first("half", weights.space.depths, full // 2)
    found.append(("folded, decoder half as wide", segformer.folded(segformer.network(weights, half))))
    return tuple(_points([(name, _energy(network, machine)) for name, network in found]))


def resnet_points(machine: Accelerator) -> tuple[Point, ...]:
    """The published subnets of OFA's ResNet-50, each by the uniform choice nearest in multiply-accumulates."""
    found, notes = [], []
    for giga, top1 in resnet.PUBLISHED:
        net = resnet.nearest(giga)
        parts = [energy_of(accesses(one, machine), machine) for one in net.products()]
        found.append((f"published {giga} G", total(parts)))
        notes.append(
            f"top-1 {top1} % ({top1 - resnet.PUBLISHED[0][1]:+.1f}); stood for by depth {net.depth}, expand "
            f"{net.expand}, width {net.width}, {net.resolution} px"
        )
    return tuple(replace(p, note=note) for p, note in zip(_points(found), notes, strict=True))


def at_saving(points: tuple[Point, ...], saving: float) -> Point:
    """The first point that saves at least so much."""
    return next(point for point in points if point.saving >= saving)


def sentences(b2: tuple[Point, ...], subnets: tuple[Point, ...]) -> tuple[str, ...]:
    """What the recomputation says, beside the paper's words."""
    path, folded = at_saving(b2, PAPER_SEGFORMER), next(p for p in b2 if p.name.startswith("folded"))
    fold_and_cut, subnet = b2[-1], at_saving(subnets, PAPER_RESNET)
    cut = f"{100 * path.saving:.0f} % of energy, {100 * (1 - path.macs / b2[0].macs):.0f} % of multiply-accumulates"
    return (
        f"SegFormer-B2: the paper saves {100 * PAPER_SEGFORMER:.0f} % for 1.4 points. Here (modelled) the first cut "
        f"that saves as much is '{path.name}': {cut}.",
        f"The exact fold alone saves {100 * folded.saving:.0f} % (modelled) and loses nothing; after it there is no "
        f"fuse convolution to cut, and half a decoder brings it to {100 * fold_and_cut.saving:.0f} %.",
        f"OFA ResNet-50: the paper saves {100 * PAPER_RESNET:.0f} % for 3.3 points. Here (modelled) the first subnet "
        f"that saves as much is '{subnet.name}' with {subnet.note.split(';')[0]}: {100 * subnet.saving:.0f} %.",
        WHY,
    )


def _points(found: list[tuple[str, Energy]]) -> Iterator[Point]:
    first = found[0][1].total_pj
    for name, energy in found:
        yield Point(name, energy.macs, energy, 1 - energy.total_pj / first)


def _energy(network: segformer.Network, machine: Accelerator) -> Energy:
    units = KeyOps.of(lambda ops: segformer.build(ops, network, SIZE)).units("layer")
    return total([unit_energy(unit, machine) for unit in units])


def _narrowed(network: segformer.Network, width: int) -> segformer.Network:
    """The published decoder with the first `width` channels of each stage's projection: the paper's cut."""
    decoder = network.decoder
    assert isinstance(decoder, Decoder)
    projections = tuple(
        Linear(p.weight[:, :width], None if p.bias is None else p.bias[:width]) for p in decoder.projections
    )
    parts = np.split(decoder.fuse.weight, len(projections), axis=0)
    fuse = Linear(np.concatenate([part[:width] for part in parts]), decoder.fuse.bias)
    return replace(network, decoder=replace(decoder, projections=projections, fuse=fuse))
