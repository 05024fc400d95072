"""NVIDIA Jetson modules."""

from __future__ import annotations

import time

from boards.assembly import Assembly, SensorBoard, compatible, model_name
from boards.generic import LoadPercent, add_heat, add_load, add_power
from boards.roots import Roots
from boards.supplies import add_supplies
from boards.sysfs import Clock


def is_jetson(roots: Roots) -> bool:
    """Whether this machine is a Jetson: its device tree says tegra, or L4T left its release file."""
    return any("tegra" in name for name in compatible(roots)) or (roots.etc / "nv_tegra_release").exists()


def open_jetson(
    roots: Roots | None = None,
    *,
    clock: Clock = time.monotonic_ns,
    total: str | None = None,
    jtop: bool | None = None,
    load_percent: LoadPercent | None = None,
) -> SensorBoard:
    """Sensors of a Jetson."""
    assembly = Assembly(roots or Roots(), clock)
    add_power(assembly, total)
    add_heat(assembly)
    add_supplies(assembly)
    add_load(assembly, load_percent)
    return assembly.board("jetson", model_name(assembly.roots) or "unknown Jetson")
