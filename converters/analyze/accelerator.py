"""Energy of a network on a weight-stationary CNN accelerator: a model, counted by hand, never a measurement.

The paper behind this project (Sreedhar et al., arXiv 2212.02687) takes its energies from MAGNet, an accelerator
generator whose mapper and per-access energies are not public. This model keeps the idea, every access at every level
of the memory hierarchy counted and multiplied by a published constant, on an array that can be checked with a pencil:

- the array holds ``rows x columns`` weights; inputs pass along the rows, partial sums down the columns;
- a layer is a matrix product of `positions` x `length` by `length` x `outputs` (a convolution after im2col), in
  ``ceil(length / rows) * ceil(outputs / columns)`` tiles of weights, all positions streamed through each;
- between tiles along `length`, partial sums wait in the global buffer;
- tensors larger than half the global buffer live in DRAM, and are fetched as often as the better of two loop orders
  needs; smaller activations never leave the chip, weights always come from DRAM once;
- norms, activations, additions and resizes are post-processing: the buffer is read and written once, no DRAM.

Not counted: leakage, clocks, control, idle rows and columns, compression and zero skipping.

Constants. Relative energies of one 16-bit access are those of Eyeriss (Chen, Emer, Sze, "Eyeriss: A Spatial
Architecture for Energy-Efficient Dataflow for Convolutional Neural Networks", ISCA 2016, table of normalised energy
costs, 65 nm): register file 1, neighbour to neighbour in the array 2, global buffer 6, DRAM 200, all in units of one
multiply-accumulate. The unit is from Horowitz ("Computing's Energy Problem (and what we can do about it)", ISSCC 2014,
45 nm, 0.9 V): a 16-bit floating-point multiplication 1.1 pJ and addition 0.4 pJ. As a check, DRAM then is 300 pJ for
16 bits; Horowitz gives 1.3 to 2.6 nJ for 64 bits, which is 325 to 650.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from converters.latency.keys import Node, Unit

METHOD = "modelled"
_POST_PROCESSED = "post-processing"


@dataclass(frozen=True)
class Accelerator:
    """An array with its memories; energies in pJ for one word of two bytes."""

    rows: int = 32
    columns: int = 32
    buffer_bytes: int = 512 << 10
    word_bytes: int = 2
    mac_pj: float = 1.1 + 0.4
    register_share: float = 1.0
    array_share: float = 2.0
    buffer_share: float = 6.0
    dram_share: float = 200.0

    @property
    def half_buffer_words(self) -> int:
        """Half for what stays, half for what streams."""
        return self.buffer_bytes // 2 // self.word_bytes


@dataclass(frozen=True)
class Product:
    """`groups` matrix products of (positions, length) by (length, outputs); `inputs` are the distinct input words.

    A convolution reads each input up to kernel-size times, hence `inputs` beside `positions` times `length`. `stored`
    says that the second factor is weights from DRAM, not activations.
    """

    positions: int
    length: int
    outputs: int
    inputs: int
    groups: int = 1
    stored: bool = True

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.groups * self.positions * self.length * self.outputs


@dataclass(frozen=True)
class Energy:
    """What a layer takes, in pJ by level, and the words behind it. Always modelled."""

    macs: int = 0
    registers: int = 0
    array: int = 0
    buffer: int = 0
    dram: int = 0
    mac_pj: float = 0.0
    register_pj: float = 0.0
    array_pj: float = 0.0
    buffer_pj: float = 0.0
    dram_pj: float = 0.0

    @property
    def total_pj(self) -> float:
        """Of all levels."""
        return self.mac_pj + self.register_pj + self.array_pj + self.buffer_pj + self.dram_pj

    def __add__(self, other: Energy) -> Energy:
        return Energy(*(getattr(self, name) + getattr(other, name) for name in Energy.__dataclass_fields__))


def energy_of(accesses: Accesses, machine: Accelerator) -> Energy:
    """Accesses times their constants."""
    return Energy(
        macs=accesses.macs,
        registers=accesses.registers,
        array=accesses.array,
        buffer=accesses.buffer,
        dram=accesses.dram,
        mac_pj=accesses.macs * machine.mac_pj,
        register_pj=accesses.registers * machine.mac_pj * machine.register_share,
        array_pj=accesses.array * machine.mac_pj * machine.array_share,
        buffer_pj=accesses.buffer * machine.mac_pj * machine.buffer_share,
        dram_pj=accesses.dram * machine.mac_pj * machine.dram_share,
    )


@dataclass(frozen=True)
class Accesses:
    """Words of two bytes moved at each level."""

    macs: int = 0
    registers: int = 0
    array: int = 0
    buffer: int = 0
    dram: int = 0


def accesses(product: Product, machine: Accelerator) -> Accesses:
    """Words that a matrix product moves at each level of `machine`.

    Registers: each multiply-accumulate reads its weight, each weight is written once. Array: each multiply-accumulate
    takes its input and its partial sum from a neighbour. Buffer: every weight once; every input of every position once
    for each tile of columns; every partial sum written for each tile of rows and read again for all but the first.
    What comes from or goes to DRAM passes through the buffer.
    """
    weights = product.groups * product.length * product.outputs
    streamed = product.groups * product.positions * product.length
    results = product.groups * product.positions * product.outputs
    row_tiles, column_tiles = math.ceil(product.length / machine.rows), math.ceil(product.outputs / machine.columns)
    dram = _dram(product, weights, results, machine)
    return Accesses(
        macs=product.macs,
        registers=product.macs + weights,
        array=2 * product.macs,
        buffer=weights + streamed * column_tiles + results * (2 * row_tiles - 1) + dram,
        dram=dram,
    )


def _dram(product: Product, weights: int, results: int, machine: Accelerator) -> int:
    room = machine.half_buffer_words
    resident = product.inputs <= room
    written = results if results > room else 0
    if not product.stored:
        # The second factor is activations: on the chip when they fit, fetched like inputs when they do not.
        return (0 if resident else product.inputs) + (weights if weights > room else 0) + written
    if resident:
        return weights + written
    weights_first = weights + product.inputs * math.ceil(weights / room)
    inputs_first = product.inputs + weights * math.ceil(product.inputs / room)
    return min(weights_first, inputs_first) + written


def unit_energy(unit: Unit, machine: Accelerator) -> Energy:
    """A layer of a recorded network (`KeyOps.units("layer")`)."""
    products = products_of(unit.nodes[0])
    if products:
        parts = [energy_of(accesses(product, machine), machine) for product in products]
        return sum(parts[1:], parts[0])
    words = math.prod(unit.output.shape) + sum(math.prod(node.shape) for node in unit.inputs)
    return energy_of(Accesses(buffer=words), machine)


def products_of(node: Node) -> tuple[Product, ...]:
    """The matrix products of one operation, none for those that multiply no matrices."""
    if node.operation not in ("conv", "depthwise", "linear", "attention"):
        return ()
    positions, words = math.prod(node.shape[:-1]), math.prod(node.sources[0].shape)
    if node.operation == "attention":
        query, key, value = node.sources
        heads, reached = node.arguments[3], math.prod(key.shape[:-1])
        depth, width = query.shape[-1] // heads, value.shape[-1] // heads
        return (
            Product(positions, depth, reached, words, groups=heads, stored=False),
            Product(positions, reached, width, heads * positions * reached, groups=heads, stored=False),
        )
    weight = node.arguments[1].weight.shape
    if node.operation == "depthwise":
        return (Product(positions, weight[0] * weight[1], 1, words, groups=weight[2]),)
    return (Product(positions, math.prod(weight[:-1]), weight[-1], words),)


def total(parts: Sequence[Energy]) -> Energy:
    """The sum; nothing for nothing."""
    return sum(parts, Energy())
