"""Any Linux machine: what the kernel's generic classes tell, found under one root and read by label."""

from __future__ import annotations

import time

from boards.assembly import Assembly, SensorBoard, model_name
from boards.generic import LoadPercent, add_heat, add_load, add_power
from boards.roots import Roots
from boards.supplies import add_supplies
from boards.supply_options import SupplyOptions
from boards.sysfs import Clock


def open_linux(
    roots: Roots | None = None,
    *,
    clock: Clock = time.monotonic_ns,
    total: str | None = None,
    load_percent: LoadPercent | None = None,
    supplies: SupplyOptions | None = None,
) -> SensorBoard:
    """Sensors of a Linux machine.

    A frame's energy is taken, in this order, from: the rail named `total`; RAPL's package counter where it may be read
    (the processor, not the screen or the disk); a rail behind which the whole board lies; the battery's discharge
    power. Where there is none of these the energy is unavailable, and `info.details` says why.

    Raises BoardError when `total` names a rail that is not there.
    """
    assembly = Assembly(roots or Roots(), clock)
    add_power(assembly, total)
    add_heat(assembly)
    add_supplies(assembly, supplies)
    add_load(assembly, load_percent)
    if assembly.energy_channel is None and "energy" not in assembly.details:
        assembly.details["energy"] = (
            "unavailable: no rail behind which the whole board lies, no readable RAPL counter, no battery "
            "gauge with power; name a rail with linux:total=LABEL if one of those listed is the board's supply"
        )
    return assembly.board("linux", model_name(assembly.roots) or "unknown Linux machine")
