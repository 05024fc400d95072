"""NVIDIA Jetson modules: their power monitors, heat, over-current protection, GPU and fan."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from boards.assembly import (
    RAIL_PERIOD_S,
    SIDE_RAIL_PERIOD_S,
    SLOW_PERIOD_S,
    Assembly,
    SensorBoard,
    compatible,
    model_name,
)
from boards.board import Channel, Quantity
from boards.generic import LoadPercent, add_heat, add_load
from boards.ina3221_iio import find_iio_rails
from boards.jtop import add_jtop
from boards.l4t import is_module, module_facts
from boards.overcurrent import add_overcurrent
from boards.rails import Rail, find_hwmon_rails
from boards.roots import Roots
from boards.sensor import BoardError, Sensor
from boards.summed import SummedRails, fitting_period_s
from boards.supplies import add_supplies
from boards.supply_options import SupplyOptions
from boards.sysfs import Clock, ScaledSensor, SysfsFile, numbered, read_once_int, read_once_word

SUM_NAME = "rails-total"
# The first of these sets whose labels are all there is what a frame's energy is taken from. NVIDIA's developer guides:
# VDD_IN and POM_5V_IN feed the whole module. The AGX modules have two inlets (high and medium voltage) and no meter at
# either: on AGX Xavier the six rails are disjoint; on AGX Orin VDDQ_VDD2_1V8AO is a part of VIN_SYS_5V0, so it is left
# out. VIN is the inlet of a Thor developer kit, carrier board included.
_TOTALS: tuple[tuple[str, ...], ...] = (
    ("VIN",),
    ("VDD_IN",),
    ("POM_5V_IN",),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
)
# TI's data sheet of the INA3221 (SBOS576): gain error at most 0.25 % for the shunt's and for the bus's voltage each.
_CHIP_ERROR = math.hypot(0.0025, 0.0025)
_AGX_XAVIER = "p2888"
_AGX_XAVIER_SHUNT_ERROR = 0.01  # NVIDIA's design guide DG-09840, figure 5-14; other modules' are not published
_GPU_DEVICE = re.compile(r"[0-9a-f]+\.(gpu|gm20b|gp10b|gv11b|ga10b|gb10b)")
_GPU_LOADS = ("devices/gpu.0/load", "devices/platform/gpu.0/load", "devices/platform/bus@0/17000000.gpu/load")
_LONGEST_CYCLE_MS = 50  # three channels, two conversions of 8.244 ms each: more can only count averaging in


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
    supplies: SupplyOptions | None = None,
) -> SensorBoard:
    """Sensors of a Jetson.

    A frame's energy is taken from the rail named `total` (or from several, as ``VDD_IN+VDD_MUX``), else from the rails
    that make up the module's supply. `jtop`: None uses jetson-stats where it is installed and its service runs, True
    demands it, False leaves it alone.

    Raises BoardError when `total` names a rail that is not there, or when jtop is demanded and cannot be had.
    """
    assembly = Assembly(roots or Roots(), clock)
    assembly.details.update(module_facts(assembly.roots))
    _add_rails(assembly, total)
    add_heat(assembly)
    add_overcurrent(assembly)
    _add_gpu(assembly)
    _add_fan(assembly)
    add_jtop(assembly, jtop)
    add_supplies(assembly, supplies)
    add_load(assembly, load_percent)
    if assembly.energy_channel is None and "energy" not in assembly.details:
        assembly.details["energy"] = (
            "unavailable: no rail that feeds the whole module was found; name one, or several that are disjoint, with "
            "jetson:total=LABEL or jetson:total=LABEL+LABEL"
        )
    return assembly.board("jetson", model_name(assembly.roots) or "unknown Jetson")


def _add_rails(assembly: Assembly, total: str | None) -> None:
    passed_over: list[str] = []
    rails = [_by_its_role(rail) for rail in find_hwmon_rails(assembly.roots.sys, assembly.clock, passed_over)]
    known = {rail.label for rail in rails}
    rails += [rail for rail in find_iio_rails(assembly.roots.sys, assembly.clock) if rail.label not in known]
    if passed_over:
        assembly.details["rails passed over"] = "; ".join(passed_over)
    summed = _chosen(rails, total, assembly.roots.sys)
    if len(summed) == 1:
        _add_rail(assembly, summed[0], fitting_period_s(summed[0].sensor, assembly.clock, RAIL_PERIOD_S))
        # The carrier board is fed beside the module, so no rail of the module is all that a battery gives.
        assembly.take_energy_from(summed[0].label, (summed[0].label,), whole_board=False)
    elif summed:
        _add_sum(assembly, summed)
    for rail in rails:
        if not assembly.has(rail.label):
            _add_rail(assembly, rail, SIDE_RAIL_PERIOD_S)
    _tell_of_averaging(assembly, rails)


def _by_its_role(rail: Rail) -> Rail:
    """Thor's INA238 has no label of its own; it sits at the developer kit's inlet."""
    return replace(rail, label="VIN") if rail.chip == "ina238" and rail.label == rail.chip else rail


def _chosen(rails: Sequence[Rail], total: str | None, sys_root: Path) -> list[Rail]:
    by_label = {rail.label: rail for rail in rails}
    if total is None:
        labels = next((labels for labels in _TOTALS if by_label.keys() >= set(labels)), ())
        return [by_label[label] for label in labels]
    wanted = dict.fromkeys(total.split("+"))
    missing = [label for label in wanted if label not in by_label]
    if missing:
        known = ", ".join(by_label) or "none"
        raise BoardError(f"there is no rail {missing[0]!r} under {sys_root}; found: {known}")
    return [by_label[label] for label in wanted]


def _add_sum(assembly: Assembly, rails: Sequence[Rail]) -> None:
    together = SummedRails(rails, assembly.clock)
    labels = tuple(rail.label for rail in rails)
    period_s = fitting_period_s(together, assembly.clock, RAIL_PERIOD_S)
    assembly.add(
        Channel(
            SUM_NAME,
            Quantity.POWER,
            together,
            period_s,
            path=" + ".join(str(rail.path) for rail in rails),
            resolution=together.resolution_w,
            relative_error=max(_relative_error(assembly.roots, rail) for rail in rails),
        )
    )
    assembly.take_energy_from(SUM_NAME, labels, whole_board=False)
    if period_s > RAIL_PERIOD_S:
        assembly.details["sampling"] = (
            f"the {len(rails)} rails of the total are read every {period_s * 1e3:.0f} ms: a round takes that long here"
        )
    for rail in rails:
        _add_rail(assembly, replace(rail, sensor=together.part(rail.label)), max(SIDE_RAIL_PERIOD_S, period_s))


def _add_rail(assembly: Assembly, rail: Rail, period_s: float) -> None:
    assembly.add(
        Channel(
            rail.label,
            Quantity.POWER,
            rail.sensor,
            period_s,
            path=str(rail.path),
            resolution=rail.resolution_w,
            relative_error=_relative_error(assembly.roots, rail),
        )
    )


def _relative_error(roots: Roots, rail: Rail) -> float:
    """The chip's gain error, and the shunt's tolerance where NVIDIA publishes it; 0 for other chips: unknown."""
    if not rail.chip.startswith("ina3221"):
        return 0.0
    return math.hypot(_CHIP_ERROR, _AGX_XAVIER_SHUNT_ERROR) if is_module(roots, _AGX_XAVIER) else _CHIP_ERROR


def _tell_of_averaging(assembly: Assembly, rails: Sequence[Rail]) -> None:
    """The INA3221 averages by a filter of first order: with 512 samples, as some JetPacks set it, seconds long."""
    for folder in dict.fromkeys(rail.path.parent for rail in rails if rail.chip == "ina3221"):
        samples, interval_ms = read_once_int(folder / "samples"), read_once_int(folder / "update_interval")
        if samples and interval_ms and samples > 1 and interval_ms > 0:
            lag_s = averaging_lag_s(samples, interval_ms)
            assembly.details["power averaging"] = (
                f"{folder}: the chip averages {samples} samples, so a step of power takes {lag_s:.1f} s to show by two "
                "thirds: energy of single frames and of short paths is smeared that far, their sum over longer times "
                f"is right; as root, echo 1 > {folder}/samples ends it (and makes the warning limit act at once)"
            )


def averaging_lag_s(samples: int, interval_ms: int) -> float:
    """Time constant of the INA3221's averaging: `samples` rounds of conversions.

    `update_interval` is one round, but `samples` of them in drivers before Linux 5.14; such a driver is known by an
    interval that no round can take.
    """
    return interval_ms * (1 if interval_ms > _LONGEST_CYCLE_MS else samples) * 1e-3


def _add_gpu(assembly: Assembly) -> None:
    path = find_gpu_load(assembly.roots.sys)
    if path is not None:
        sensor = ScaledSensor(SysfsFile(path, assembly.clock), 1e-3, low=0.0, high=1.0)
        assembly.add(Channel("gpu_load", Quantity.RATIO, sensor, SLOW_PERIOD_S, path=str(path)))


def find_gpu_load(sys_root: Path) -> Path | None:
    """The file with the integrated GPU's load in thousandths. Thor has none: there only NVML, and so jtop, knows."""
    try:
        devices = sorted(entry for entry in (sys_root / "class/devfreq").iterdir() if _GPU_DEVICE.fullmatch(entry.name))
    except OSError:
        devices = []
    places = [*(device / "device/load" for device in devices), *(sys_root / place for place in _GPU_LOADS)]
    return next((path for path in places if read_once_int(path) is not None), None)


def _add_fan(assembly: Assembly) -> None:
    for chip in numbered(assembly.roots.sys / "class/hwmon", "hwmon"):
        path = chip / "pwm1"
        if read_once_word(chip / "name") == "pwmfan" and read_once_int(path) is not None:
            sensor: Sensor = ScaledSensor(SysfsFile(path, assembly.clock), 1 / 255, low=0.0, high=1.0)
            assembly.add(Channel("fan", Quantity.RATIO, sensor, SLOW_PERIOD_S, path=str(path)))
            return
