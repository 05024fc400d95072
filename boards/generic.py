"""What any Linux kernel may offer a board: hwmon rails, RAPL, thermal zones, throttling, processor load."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from boards.assembly import RAIL_PERIOD_S, SIDE_RAIL_PERIOD_S, SLOW_PERIOD_S, Assembly
from boards.board import Channel, Quantity
from boards.rails import Rail, RaplSensor, find_hwmon_rails, find_rapl
from boards.sensor import BoardError, Method, Reading, SensorLost
from boards.sysfs import Clock
from boards.thermal import find_throttle, find_zones

RAPL_RESOLUTION_J = 2**-14  # the usual energy unit of Intel's packages, 61 uJ
LoadPercent = Callable[[], float]


def add_power(assembly: Assembly, total: str | None = None) -> None:
    """hwmon rails and RAPL. Energy is taken from the rail named `total`, else RAPL, else a rail that feeds all.

    Raises BoardError when there is no rail named `total`.
    """
    rails = find_hwmon_rails(assembly.roots.sys, assembly.clock)
    if total is not None and total not in {rail.label for rail in rails}:
        known = ", ".join(rail.label for rail in rails) or "none"
        raise BoardError(f"there is no rail {total!r} under {assembly.roots.sys}/class/hwmon; found: {known}")
    chosen = next((rail for rail in rails if rail.label == total or (total is None and rail.total)), None)
    _add_rapl(assembly, and_use=total is None)
    use_rail = chosen is not None and assembly.energy_channel is None
    for rail in rails:
        add_rail(assembly, rail, fast=use_rail and rail is chosen)
    if chosen is not None and use_rail:
        assembly.take_energy_from(chosen.label, (chosen.label,))


def add_rail(assembly: Assembly, rail: Rail, *, fast: bool) -> None:
    """One rail, at the rate of the energy channel or of a side channel."""
    assembly.add(
        Channel(
            rail.label,
            Quantity.POWER,
            rail.sensor,
            RAIL_PERIOD_S if fast else SIDE_RAIL_PERIOD_S,
            path=str(rail.path),
            resolution=rail.resolution_w,
        )
    )


def _add_rapl(assembly: Assembly, *, and_use: bool) -> None:
    domains, refused = find_rapl(assembly.roots.sys)
    if refused:
        assembly.details["rapl"] = refused
    if not domains:
        return
    sensor = RaplSensor(domains, assembly.clock)
    path = str(domains[0].path)
    name = "rapl-package"
    assembly.add(Channel(name, Quantity.ENERGY, sensor, RAIL_PERIOD_S, Method.COUNTER, path, RAPL_RESOLUTION_J))
    if and_use:
        assembly.take_energy_from(name, tuple(domain.name for domain in domains), whole_board=False)


def add_heat(assembly: Assembly) -> None:
    """Thermal zones, the processor's first, and the flag ``throttled`` where a cooling device tells."""
    zones, ignored = find_zones(assembly.roots.sys, assembly.clock)
    for zone in zones:
        assembly.add(Channel(zone.name, Quantity.TEMPERATURE, zone.sensor, SLOW_PERIOD_S, path=str(zone.path)))
    if ignored:
        assembly.details["thermal zones ignored"] = "; ".join(ignored)
    throttle = None if assembly.has("throttled") else find_throttle(assembly.roots.sys, assembly.clock)
    if throttle is not None:
        path = str(assembly.roots.sys / "class/thermal")
        assembly.add(Channel("throttled", Quantity.FLAG, throttle, SLOW_PERIOD_S, path=path))


class LoadSensor:
    """Share of all cores that was busy since the last read, 0..1, from psutil."""

    def __init__(self, percent: LoadPercent, clock: Clock) -> None:
        self._percent = percent
        self._clock = clock

    def read(self) -> Reading:
        percent = self._percent()
        if not 0.0 <= percent <= 100.0:
            raise SensorLost(f"processor load: implausible {percent} %")
        return Reading(percent / 100.0, self._clock())


def add_load(assembly: Assembly, percent: LoadPercent | None = None) -> None:
    """Processor load; `percent` stands in for psutil's figure."""
    sensor = LoadSensor(_psutil_percent() if percent is None else percent, assembly.clock)
    assembly.add(Channel("load", Quantity.RATIO, sensor, SLOW_PERIOD_S, path="psutil"))


def _psutil_percent() -> LoadPercent:
    import psutil

    def percent() -> float:
        return float(psutil.cpu_percent(interval=None))

    with suppress(OSError):
        percent()  # the first call only sets the mark that the next one measures from
    return percent
