"""The energy model against layers that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from converters.analyze.accelerator import (
    Accelerator,
    Accesses,
    Energy,
    Product,
    accesses,
    energy_of,
    products_of,
    total,
    unit_energy,
)
from converters.latency.keys import KeyOps
from converters.layers import Conv, Depthwise, Linear

TOY = Accelerator(rows=2, columns=2, buffer_bytes=64, word_bytes=2, mac_pj=1.0)  # half the buffer: 16 words


def test_a_toy_layer_that_fits_counted_by_hand() -> None:
    # 4 positions, 3 inputs each, 5 outputs: 60 multiply-accumulates, 15 weights, tiles of 2x2: 2 along the length and
    # 3 along the outputs. Inputs 12 words fit, results 20 do not.
    product = Product(positions=4, length=3, outputs=5, inputs=12)
    dram = 15 + 20
    assert accesses(product, TOY) == Accesses(
        macs=60,
        registers=60 + 15,
        array=120,
        buffer=15 + 12 * 3 + 20 * 3 + dram,
        dram=dram,
    )
    energy = energy_of(accesses(product, TOY), TOY)
    assert energy.total_pj == 60 + 75 + 2 * 120 + 6 * 146 + 200 * 35


def test_what_does_not_fit_is_fetched_by_the_better_loop_order() -> None:
    # 40 input words and 20 weights, room for 16. Weights first: 20 + 40 * 2; inputs first: 40 + 20 * 3.
    product = Product(positions=10, length=4, outputs=5, inputs=40)
    assert accesses(product, TOY).dram == min(20 + 80, 40 + 60) + 50


def test_products_of_activations_take_no_weights_from_dram() -> None:
    product = Product(positions=4, length=2, outputs=4, inputs=8, groups=2, stored=False)
    assert accesses(product, TOY).dram == 32  # 32 results do not fit; 16 words of the second factor do
    assert accesses(product, TOY).macs == 64


def test_constants_are_the_published_ones() -> None:
    machine = Accelerator()
    one = energy_of(Accesses(macs=1, registers=1, array=1, buffer=1, dram=1), machine)
    assert (one.mac_pj, one.register_pj, one.array_pj, one.buffer_pj, one.dram_pj) == (1.5, 1.5, 3.0, 9.0, 300.0)
    # Horowitz: 1.3 to 2.6 nJ for 64 bits of DRAM; Eyeriss' ratio comes out just below.
    assert one.dram_pj == pytest.approx(325, rel=0.1)


def test_operations_become_products() -> None:
    recorded = KeyOps()
    x = recorded.input("x", (1, 8, 8, 6))
    conv = recorded.conv(x, Conv(np.ones((3, 3, 6, 10), np.float32), None, stride=2, padding=1))
    depthwise = recorded.depthwise(x, Depthwise(np.ones((3, 3, 6), np.float32)))
    linear = recorded.linear(x, Linear(np.ones((6, 7), np.float32)))
    around = recorded.input("k", (1, 2, 2, 6))
    attention = recorded.attention(x, around, around, 2, None)
    assert products_of(conv) == (Product(16, 54, 10, 384),)
    assert products_of(depthwise) == (Product(64, 9, 1, 384, groups=6),)
    assert products_of(linear) == (Product(64, 6, 7, 384),)
    assert products_of(attention) == (
        Product(64, 3, 4, 384, groups=2, stored=False),
        Product(64, 4, 3, 512, groups=2, stored=False),
    )
    assert products_of(recorded.gelu(x)) == ()


def test_post_processing_touches_the_buffer_alone() -> None:
    recorded = KeyOps()
    x = recorded.input("x", (1, 2, 2, 3))
    recorded.add(x, recorded.input("y", (1, 2, 2, 3)))
    (unit,) = recorded.units("layer")
    energy = unit_energy(unit, Accelerator())
    assert (energy.buffer, energy.dram, energy.macs) == (36, 0, 0)
    assert energy.total_pj == 36 * 9.0


def test_energies_add_up_level_by_level() -> None:
    parts = [Energy(macs=1, mac_pj=1.5, dram_pj=2.0), Energy(macs=2, mac_pj=3.0, buffer_pj=1.0)]
    assert total(parts) == Energy(macs=3, mac_pj=4.5, buffer_pj=1.0, dram_pj=2.0)
    assert total([]).total_pj == 0
