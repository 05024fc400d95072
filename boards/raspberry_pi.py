"""Raspberry Pi boards."""

from __future__ import annotations

import time

from boards.assembly import Assembly, SensorBoard, compatible, model_name
from boards.generic import LoadPercent, add_heat, add_load, add_power
from boards.roots import Roots
from boards.supplies import add_supplies
from boards.sysfs import Clock


def is_raspberry_pi(roots: Roots) -> bool:
    """Whether this machine is a Raspberry Pi, by its device tree."""
    return any(name.startswith("raspberrypi,") for name in compatible(roots)) or (model_name(roots) or "").startswith(
        "Raspberry Pi"
    )


def open_raspberry_pi(
    roots: Roots | None = None,
    *,
    clock: Clock = time.monotonic_ns,
    total: str | None = None,
    load_percent: LoadPercent | None = None,
) -> SensorBoard:
    """Sensors of a Raspberry Pi."""
    assembly = Assembly(roots or Roots(), clock)
    add_power(assembly, total)
    add_heat(assembly)
    add_supplies(assembly)
    add_load(assembly, load_percent)
    return assembly.board("raspberry-pi", model_name(assembly.roots) or "unknown Raspberry Pi")
