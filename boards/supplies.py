"""What feeds the board: batteries, UPSes and mains, as channels.

What a user states comes first (`pack=`, `nut=`), then the kernel's `power_supply` class, then a PiSugar's server where
its socket is there. psutil is no further source: its sensors_battery reads the same class, only the first pack of it.
"""

from __future__ import annotations

from collections.abc import Callable

from boards.assembly import BATTERY_PERIOD_S, RAIL_PERIOD_S, SIDE_RAIL_PERIOD_S, SLOW_PERIOD_S, Assembly
from boards.battery import ChargeSensor, DischargeSensor, LowSensor, Pack, RemainingEnergySensor, find_mains, find_packs
from boards.board import Alarm, Channel, Quantity
from boards.nut import PERIOD_S as NUT_PERIOD_S
from boards.nut import Nut, UnknownUps
from boards.pisugar import PERIOD_S as PISUGAR_PERIOD_S
from boards.pisugar import SOCKET_NAME, PiSugar
from boards.polled import Answer, Polled, PolledValue
from boards.rails import find_hwmon_rails
from boards.sensor import BoardError, Method, Sensor, SensorLost
from boards.stated_pack import CurveChargeSensor, CurveEnergySensor, PackDrawSensor, StatedEnergySensor, find_monitor
from boards.supply_options import NutAddress, StatedPack, SupplyOptions

BATTERY_LOW_ALARM = Alarm(
    "critical", "battery_critical", "the battery says that it is nearly empty", "the battery is no longer nearly empty"
)


def add_supplies(assembly: Assembly, options: SupplyOptions | None = None) -> None:
    """``mains``, ``battery``, ``battery_energy_j``, ``battery-discharge`` and ``battery-low``, each where known.

    The packs' discharge power is taken for frames' energy when nothing better was found before. Raises BoardError
    where a stated monitor or UPS is not there.
    """
    stated = options or SupplyOptions()
    if stated.pack is not None:
        _add_stated_pack(assembly, stated.pack, stated)
    if stated.nut is not None:
        _add_nut(assembly, stated.nut, stated)
    _add_kernel(assembly, stated)
    if stated.pisugar and not assembly.has("battery"):
        _add_pisugar(assembly, stated)
    if stated.pack_wh is not None and not assembly.has("battery_energy_j"):
        raise BoardError("pack_wh= is stated, but nothing tells the pack's charge; state pack= too, or remove it")


def _add_kernel(assembly: Assembly, stated: SupplyOptions) -> None:
    sys_root, clock = assembly.roots.sys, assembly.clock
    folder = str(sys_root / "class/power_supply")
    mains = find_mains(sys_root, clock)
    if mains is not None and not assembly.has("mains"):
        assembly.add(Channel("mains", Quantity.FLAG, mains, SLOW_PERIOD_S, path=folder))
    packs = find_packs(sys_root, clock)
    if not packs or assembly.has("battery"):
        return
    if ChargeSensor.possible(packs):
        charge = ChargeSensor(packs, clock)
        assembly.add(Channel("battery", Quantity.RATIO, charge, BATTERY_PERIOD_S, path=folder))
        assembly.details["battery"] = f"{', '.join(pack.name for pack in packs)}; charge from {charge.basis}"
        _add_kernel_energy(assembly, packs, charge, stated)
    elif LowSensor.possible(packs):
        low = LowSensor(packs, clock)
        assembly.add(Channel("battery-low", Quantity.FLAG, low, BATTERY_PERIOD_S, path=folder, alarm=BATTERY_LOW_ALARM))
        assembly.details["battery"] = "its driver tells the level in words only, so its charge is unknown"
    if DischargeSensor.possible(packs):
        draw = DischargeSensor(packs, clock)
        assembly.add(Channel("battery-discharge", Quantity.POWER, draw, SLOW_PERIOD_S, path=folder))
        if assembly.energy_channel is None:
            assembly.take_energy_from("battery-discharge", ("battery-discharge",))
            assembly.details["energy"] = "from the battery's gauge, so only while the battery carries the board"


def _add_kernel_energy(assembly: Assembly, packs: list[Pack], charge: ChargeSensor, stated: SupplyOptions) -> None:
    left = RemainingEnergySensor(packs, assembly.clock)
    folder = str(assembly.roots.sys / "class/power_supply")
    if RemainingEnergySensor.possible(packs) and not (left.estimated and stated.pack_wh is not None):
        method = Method.MODELLED if left.estimated else Method.MEASURED
        assembly.add(Channel("battery_energy_j", Quantity.ENERGY, left, BATTERY_PERIOD_S, method, folder))
        if stated.pack_wh is not None:
            assembly.details["pack_wh"] = "not used: the battery's gauge counts energy itself"
    else:
        _add_stated_energy(assembly, charge, stated, folder)


def _add_stated_energy(assembly: Assembly, charge: Sensor, stated: SupplyOptions, path: str) -> None:
    if stated.pack_wh is None:
        assembly.details["battery energy"] = "unknown; state the full pack's energy with pack_wh=WATT_HOURS"
        return
    left = StatedEnergySensor(charge, stated.pack_wh)
    assembly.add(Channel("battery_energy_j", Quantity.ENERGY, left, BATTERY_PERIOD_S, Method.MODELLED, path))


def _add_stated_pack(assembly: Assembly, pack: StatedPack, stated: SupplyOptions) -> None:
    monitor = find_monitor(find_hwmon_rails(assembly.roots.sys, assembly.clock), stated.monitor, assembly.clock)
    path = str(monitor.voltage.path)
    charge = CurveChargeSensor(pack, monitor)
    assembly.add(Channel("battery", Quantity.RATIO, charge, BATTERY_PERIOD_S, Method.MODELLED, path))
    assembly.details["battery"] = (
        f"{pack.cells} cells of {pack.curve.name} in series at {monitor.rail}; charge by the curve of its voltage: "
        f"{pack.curve.source}"
    )
    if stated.pack_wh is not None:
        left = CurveEnergySensor(charge, pack, stated.pack_wh)
        assembly.add(Channel("battery_energy_j", Quantity.ENERGY, left, BATTERY_PERIOD_S, Method.MODELLED, path))
    else:
        assembly.details["battery energy"] = "unknown; state the full pack's energy with pack_wh=WATT_HOURS"
    # The monitor sits at the pack, so its unsigned watts are the board's only while the pack discharges.
    at_pack = assembly.energy_channel in {None, monitor.rail}
    if pack.discharge_sign is None or monitor.current is None:
        if at_pack:
            assembly.energy_channel, assembly.rails_included = None, ()
            assembly.details["energy"] = (
                f"unavailable: {monitor.rail} sees charging as well; state pack_discharge=negative or positive, the "
                "sign of its current while the pack feeds the board"
            )
        return
    draw = PackDrawSensor(pack.discharge_sign, monitor)
    period_s = RAIL_PERIOD_S if at_pack else SIDE_RAIL_PERIOD_S
    assembly.add(Channel("battery-discharge", Quantity.POWER, draw, period_s, path=str(monitor.current.path)))
    if at_pack:
        assembly.take_energy_from("battery-discharge", ("battery-discharge",))
        assembly.details["energy"] = (
            f"from {monitor.rail} at the pack, so only while the pack carries the board; its converter's loss is in it"
        )


def _add_pisugar(assembly: Assembly, stated: SupplyOptions) -> None:
    path = assembly.roots.tmp / SOCKET_NAME
    if not path.exists():
        return
    client = PiSugar(path)
    polled = _polled(assembly, f"pisugar-server at {path}", client.ask, PISUGAR_PERIOD_S, client.close)
    try:
        answer, _ = polled.latest()
    except SensorLost as error:
        # A socket that is there belongs to a PiSugar, so its server may come later.
        assembly.details["pisugar"] = str(error)
        answer = {}
    charge = PolledValue(polled, "battery", low=0.0, high=100.0, scale=0.01)
    assembly.add(Channel("battery", Quantity.RATIO, charge, BATTERY_PERIOD_S, Method.MODELLED, str(path)))
    assembly.details["battery"] = "PiSugar; charge by its server's voltage table"
    _add_stated_energy(assembly, charge, stated, str(path))
    if "battery_power_plugged" in answer and not assembly.has("mains"):
        mains = PolledValue(polled, "battery_power_plugged", low=0.0, high=1.0)
        assembly.add(Channel("mains", Quantity.FLAG, mains, BATTERY_PERIOD_S, path=str(path)))
    polled.start()


def _add_nut(assembly: Assembly, address: NutAddress, stated: SupplyOptions) -> None:
    ups = Nut(address)
    try:
        said = ups.ask()
        assembly.details["nut"] = ", ".join(f"{name} {value}" for name, value in said.items()) or "tells nothing known"
    except UnknownUps as error:
        known = ", ".join(ups.names()) or "none"
        raise BoardError(f"{error}; the server has: {known}") from error
    except SensorLost as error:
        # It may start after us.
        assembly.details["nut"] = str(error)
    polled = _polled(assembly, ups.place, ups.ask, NUT_PERIOD_S)
    if not assembly.has("battery"):
        charge = PolledValue(polled, "battery.charge", low=0.0, high=100.0, scale=0.01)
        assembly.add(Channel("battery", Quantity.RATIO, charge, BATTERY_PERIOD_S, path=ups.place))
        assembly.details["battery"] = ups.place
        _add_stated_energy(assembly, charge, stated, ups.place)
    mains = PolledValue(polled, "on_mains", low=0.0, high=1.0)
    assembly.add(Channel("mains", Quantity.FLAG, mains, BATTERY_PERIOD_S, path=ups.place))
    low = PolledValue(polled, "battery_low", low=0.0, high=1.0)
    assembly.add(Channel("battery-low", Quantity.FLAG, low, BATTERY_PERIOD_S, path=ups.place, alarm=BATTERY_LOW_ALARM))
    polled.start()


def _polled(
    assembly: Assembly,
    name: str,
    query: Callable[[], Answer],
    period_s: float,
    on_close: Callable[[], None] = lambda: None,
) -> Polled:
    """A service that was asked once, so that what it tells is known before its channels are made."""
    polled = Polled(name, query, period_s, clock=assembly.clock, on_close=on_close)
    polled.refresh()
    return polled
