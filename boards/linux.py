"""Any Linux machine: what the kernel's generic classes tell, found under one root and read by label."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from boards.battery import ChargeSensor, DischargeSensor, RemainingEnergySensor, find_mains, find_packs
from boards.board import Activity, BoardInfo, Channel, Quantity
from boards.rails import Rail, RaplSensor, find_hwmon_rails, find_rapl
from boards.sensor import BoardError, Method, Reading, SensorLost
from boards.sysfs import Clock, read_once_word
from boards.thermal import find_throttle, find_zones

RAIL_PERIOD_S = 0.02  # 50 Hz for what a frame's energy is taken from
SIDE_RAIL_PERIOD_S = 0.1  # the other rails: some chips hold their reader for milliseconds
SLOW_PERIOD_S = 1.0
BATTERY_PERIOD_S = 5.0
RAPL_RESOLUTION_J = 2**-14  # the usual energy unit of Intel's packages, 61 uJ


@runtime_checkable
class _Closes(Protocol):
    def close(self) -> None: ...


class LoadSensor:
    """Share of all cores that was busy since the last read, 0..1, from psutil."""

    def __init__(self, percent: Callable[[], float], clock: Clock) -> None:
        self._percent = percent
        self._clock = clock

    def read(self) -> Reading:
        percent = self._percent()
        if not 0.0 <= percent <= 100.0:
            raise SensorLost(f"processor load: implausible {percent} %")
        return Reading(percent / 100.0, self._clock())


@dataclass
class _Found:
    """What the search turned up so far."""

    channels: list[Channel] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)
    energy_channel: str | None = None
    included: tuple[str, ...] = ()


class LinuxBoard:
    """Sensors of a Linux machine.

    A frame's energy is taken, in this order, from: the rail named `total`; RAPL's package counter where it may be read
    (the processor, not the screen or the disk); a rail behind which the whole board lies; the battery's discharge
    power. Where there is none of these the energy is unavailable, and `info.details` says why.

    Raises BoardError when `total` names a rail that is not there.
    """

    def __init__(
        self,
        sys_root: Path = Path("/sys"),
        *,
        clock: Clock = time.monotonic_ns,
        total: str | None = None,
        load_percent: Callable[[], float] | None = None,
    ) -> None:
        self._sys_root = sys_root
        self._clock = clock
        found = _Found()
        self._power(found, total)
        self._heat(found)
        self._supply(found)
        percent = _psutil_percent() if load_percent is None else load_percent
        load = LoadSensor(percent, clock)
        found.channels.append(Channel("load", Quantity.RATIO, load, SLOW_PERIOD_S, path="psutil"))
        if found.energy_channel is None:
            found.details["energy"] = (
                "unavailable: no rail behind which the whole board lies, no readable RAPL counter, no battery "
                "gauge with power; name a rail with linux:total=LABEL if one of those listed is the board's supply"
            )
        self._channels = tuple(found.channels)
        self._energy_channel = found.energy_channel
        self._info = BoardInfo("linux", _model(sys_root), found.included, found.details)

    @property
    def info(self) -> BoardInfo:
        return self._info

    @property
    def channels(self) -> tuple[Channel, ...]:
        return self._channels

    @property
    def energy_channel(self) -> str | None:
        return self._energy_channel

    def note(self, activity: Activity) -> None:
        """Real boards need not be told what they do."""

    def close(self) -> None:
        for channel in self._channels:
            if isinstance(channel.sensor, _Closes):
                channel.sensor.close()

    def _power(self, found: _Found, total: str | None) -> None:
        rails = find_hwmon_rails(self._sys_root, self._clock)
        if total is not None and total not in {rail.label for rail in rails}:
            known = ", ".join(rail.label for rail in rails) or "none"
            raise BoardError(f"linux: there is no rail {total!r} under {self._sys_root}/class/hwmon; found: {known}")
        domains, refused = find_rapl(self._sys_root)
        if refused:
            found.details["rapl"] = refused
        if domains:
            name = "rapl-package"
            sensor = RaplSensor(domains, self._clock)
            channel = Channel(
                name, Quantity.ENERGY, sensor, RAIL_PERIOD_S, Method.COUNTER, str(domains[0].path), RAPL_RESOLUTION_J
            )
            found.channels.append(channel)
            if total is None:
                found.energy_channel = name
                found.included = tuple(domain.name for domain in domains)
        chosen = next((rail for rail in rails if rail.label == total or (total is None and rail.total)), None)
        if chosen is not None and found.energy_channel is None:
            found.energy_channel = chosen.label
            found.included = (chosen.label,)
        found.channels += [_rail_channel(rail, rail.label == found.energy_channel) for rail in rails]

    def _heat(self, found: _Found) -> None:
        zones, ignored = find_zones(self._sys_root, self._clock)
        found.channels += [
            Channel(zone.name, Quantity.TEMPERATURE, zone.sensor, SLOW_PERIOD_S, path=str(zone.path)) for zone in zones
        ]
        if ignored:
            found.details["thermal zones ignored"] = "; ".join(ignored)
        throttle = find_throttle(self._sys_root, self._clock)
        if throttle is not None:
            path = str(self._sys_root / "class/thermal")
            found.channels.append(Channel("throttled", Quantity.FLAG, throttle, SLOW_PERIOD_S, path=path))

    def _supply(self, found: _Found) -> None:
        folder = str(self._sys_root / "class/power_supply")
        packs = find_packs(self._sys_root, self._clock)
        mains = find_mains(self._sys_root, self._clock)
        if mains is not None:
            found.channels.append(Channel("mains", Quantity.FLAG, mains, SLOW_PERIOD_S, path=folder))
        charge = ChargeSensor(packs, self._clock) if packs else None
        if charge is not None and (charge.basis != "capacity" or all(pack.has("capacity") for pack in packs)):
            found.channels.append(Channel("battery", Quantity.RATIO, charge, BATTERY_PERIOD_S, path=folder))
            found.details["battery"] = f"{', '.join(pack.name for pack in packs)}; charge from {charge.basis}"
        if RemainingEnergySensor.possible(packs):
            left = RemainingEnergySensor(packs, self._clock)
            method = Method.MODELLED if left.estimated else Method.MEASURED
            found.channels.append(Channel("battery_energy_j", Quantity.ENERGY, left, BATTERY_PERIOD_S, method, folder))
        if DischargeSensor.possible(packs):
            draw = DischargeSensor(packs, self._clock)
            found.channels.append(Channel("battery-discharge", Quantity.POWER, draw, SLOW_PERIOD_S, path=folder))
            if found.energy_channel is None:
                found.energy_channel = "battery-discharge"
                found.included = ("battery-discharge",)
                found.details["energy"] = "from the battery's gauge, so only while the battery carries the board"


def _rail_channel(rail: Rail, is_energy: bool) -> Channel:
    period_s = RAIL_PERIOD_S if is_energy else SIDE_RAIL_PERIOD_S
    return Channel(rail.label, Quantity.POWER, rail.sensor, period_s, path=str(rail.path), resolution=rail.resolution_w)


def _model(sys_root: Path) -> str:
    for place in ("firmware/devicetree/base/model", "class/dmi/id/product_name"):
        model = read_once_word(sys_root / place)
        if model:
            return model
    return "unknown Linux machine"


def _psutil_percent() -> Callable[[], float]:
    import psutil

    def percent() -> float:
        return float(psutil.cpu_percent(interval=None))

    with suppress(OSError):
        percent()  # the first call only sets the mark that the next one measures from
    return percent
