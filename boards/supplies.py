"""What feeds the board: batteries and mains of the `power_supply` class, as channels."""

from __future__ import annotations

from boards.assembly import BATTERY_PERIOD_S, SLOW_PERIOD_S, Assembly
from boards.battery import ChargeSensor, DischargeSensor, RemainingEnergySensor, find_mains, find_packs
from boards.board import Channel, Quantity
from boards.sensor import Method


def add_supplies(assembly: Assembly) -> None:
    """``mains``, ``battery``, ``battery_energy_j`` and ``battery-discharge``, each where the kernel tells it.

    The packs' discharge power is taken for frames' energy when nothing better was found before.
    """
    sys_root, clock = assembly.roots.sys, assembly.clock
    folder = str(sys_root / "class/power_supply")
    packs = find_packs(sys_root, clock)
    mains = find_mains(sys_root, clock)
    if mains is not None:
        assembly.add(Channel("mains", Quantity.FLAG, mains, SLOW_PERIOD_S, path=folder))
    charge = ChargeSensor(packs, clock) if packs else None
    if charge is not None and (charge.basis != "capacity" or all(pack.has("capacity") for pack in packs)):
        assembly.add(Channel("battery", Quantity.RATIO, charge, BATTERY_PERIOD_S, path=folder))
        assembly.details["battery"] = f"{', '.join(pack.name for pack in packs)}; charge from {charge.basis}"
    if RemainingEnergySensor.possible(packs):
        left = RemainingEnergySensor(packs, clock)
        method = Method.MODELLED if left.estimated else Method.MEASURED
        assembly.add(Channel("battery_energy_j", Quantity.ENERGY, left, BATTERY_PERIOD_S, method, folder))
    if DischargeSensor.possible(packs):
        draw = DischargeSensor(packs, clock)
        assembly.add(Channel("battery-discharge", Quantity.POWER, draw, SLOW_PERIOD_S, path=folder))
        if assembly.energy_channel is None:
            assembly.take_energy_from("battery-discharge", ("battery-discharge",))
            assembly.details["energy"] = "from the battery's gauge, so only while the battery carries the board"
