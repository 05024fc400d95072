"""Raspberry Pi boards: the firmware's flags, the Pi 5's rails, and an honest word where nothing measures.

Models 3, 4 and Zero 2 have no current sensor. Their energy is unavailable unless a HAT's monitor, a battery's gauge or
a calibration gives it.
"""

from __future__ import annotations

import time
from contextlib import suppress

from boards.assembly import SLOW_PERIOD_S, Assembly, SensorBoard, compatible, model_name
from boards.board import Alarm, Channel, Quantity
from boards.generic import LoadPercent, add_heat, add_load, add_power
from boards.mailbox import Ioctl, Mailbox, open_mailbox, system_ioctl
from boards.pmic import PMIC_CHANNEL, PMIC_PERIOD_S, find_pmic
from boards.roots import Roots
from boards.sensor import BoardError, Reading, SensorLost
from boards.supplies import add_supplies
from boards.supply_options import SupplyOptions
from boards.sysfs import Clock, ScaledSensor, SysfsFile, numbered, read_once_word
from boards.thermal import HIGHEST_C, LOWEST_C

UNDERVOLTAGE = 1 << 0
SLOWED = 1 << 1 | 1 << 2 | 1 << 3  # frequency capped, throttled, soft temperature limit: each holds the clock back
_SINCE_START = 16  # bits 16-19 say that bits 0-3 were up some time
_NAMES = {0: "undervoltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}

UNDERVOLTAGE_ALARM = Alarm(
    "critical",
    "undervoltage",
    "the supply sags below what the board needs: use a stronger supply or a better cable, or draw less",
    "the supply is back to normal",
)
THROTTLED_ALARM = Alarm(
    "warning",
    "throttled",
    "the firmware holds the processor's clock back, for heat or for a weak supply",
    "the processor runs at full clock again",
)


def is_raspberry_pi(roots: Roots) -> bool:
    """Whether this machine is a Raspberry Pi, by its device tree."""
    return any(name.startswith("raspberrypi,") for name in compatible(roots)) or (model_name(roots) or "").startswith(
        "Raspberry Pi"
    )


class FirmwareFlag:
    """1 while any of the bits of `mask` is up, or was up for a moment since the last read (bits 16-19), else 0."""

    def __init__(self, mailbox: Mailbox, mask: int) -> None:
        self._mailbox = mailbox
        self._mask = mask
        self._seen: int | None = None

    def read(self) -> Reading:
        bits, middle_ns = self._mailbox.throttled()
        past = bits >> _SINCE_START & self._mask
        # What was up before the first read is no news: the board's details tell it.
        news = 0 if self._seen is None else past & ~self._seen
        self._seen = past
        return Reading(float(bool(bits & self._mask or news)), middle_ns)

    def close(self) -> None:
        self._mailbox.close()


class FirmwareTemperature:
    """The processor's temperature in degrees Celsius from the firmware, where the kernel has no thermal zone."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def read(self) -> Reading:
        celsius, middle_ns = self._mailbox.temperature_c()
        if not LOWEST_C <= celsius <= HIGHEST_C:
            raise SensorLost(f"{self._mailbox.path}: implausible temperature {celsius} °C")
        return Reading(celsius, middle_ns)

    def close(self) -> None:
        self._mailbox.close()


def open_raspberry_pi(
    roots: Roots | None = None,
    *,
    clock: Clock = time.monotonic_ns,
    total: str | None = None,
    load_percent: LoadPercent | None = None,
    supplies: SupplyOptions | None = None,
    ioctl: Ioctl = system_ioctl,
) -> SensorBoard:
    """Sensors of a Raspberry Pi; `ioctl` stands in for the system call on the firmware's mailbox.

    A frame's energy is taken, in this order, from: the rail named `total`; a HAT's monitor behind which the whole board
    lies; the sum of the Pi 5's rails (not what hangs on its 5 V); the battery's discharge power. Where there is none of
    these the energy is unavailable, and `info.details` says what to do.

    Raises BoardError when `total` names a rail that is not there.
    """
    assembly = Assembly(roots or Roots(), clock)
    mailbox, told = open_mailbox(assembly.roots.dev, ioctl=ioctl, clock=clock)
    assembly.details["mailbox"] = told
    add_power(assembly, None if total == PMIC_CHANNEL else total)
    if mailbox is not None:
        _add_flags(assembly, mailbox)
        _add_pmic(assembly, mailbox, wanted=total == PMIC_CHANNEL)
    else:
        _add_hwmon_undervoltage(assembly)
    if total == PMIC_CHANNEL and not assembly.has(PMIC_CHANNEL):
        raise BoardError(f"there is no {PMIC_CHANNEL!r}: {assembly.details.get('pmic', told)}")
    before = set(assembly.names)
    add_heat(assembly)
    if mailbox is not None and not set(assembly.names) - before - {"throttled"}:
        sensor = FirmwareTemperature(mailbox)
        assembly.add(Channel("soc", Quantity.TEMPERATURE, sensor, SLOW_PERIOD_S, path=str(mailbox.path)))
    add_supplies(assembly, supplies)
    add_load(assembly, load_percent)
    if assembly.energy_channel is None and "energy" not in assembly.details:
        assembly.details["energy"] = (
            "unavailable: this board has no current sensor; measure it once with an external meter (joulepath "
            "calibrate), or fit a HAT with an INA219 or a battery gauge"
        )
    return assembly.board("raspberry-pi", model_name(assembly.roots) or "unknown Raspberry Pi")


def _add_flags(assembly: Assembly, mailbox: Mailbox) -> None:
    path = str(mailbox.path)
    for name, mask, alarm in (
        ("undervoltage", UNDERVOLTAGE, UNDERVOLTAGE_ALARM),
        ("throttled", SLOWED, THROTTLED_ALARM),
    ):
        sensor = FirmwareFlag(mailbox, mask)
        assembly.add(Channel(name, Quantity.FLAG, sensor, SLOW_PERIOD_S, path=path, alarm=alarm))
    with suppress(SensorLost):
        bits, _ = mailbox.throttled_by_command()
        past = [name for bit, name in _NAMES.items() if bits >> _SINCE_START + bit & 1]
        assembly.details["since the start of the board"] = ", ".join(past) or "neither undervoltage nor throttling"


def _add_pmic(assembly: Assembly, mailbox: Mailbox, *, wanted: bool) -> None:
    sensor, facts = find_pmic(mailbox)
    if sensor is None:
        # Every model before the Pi 5 refuses the command; there is nothing to tell a user of one.
        if wanted or _is_pi_5(assembly.roots):
            assembly.details |= facts
        return
    assembly.details |= facts
    use = wanted or assembly.energy_channel is None
    period_s = PMIC_PERIOD_S if use else SLOW_PERIOD_S
    channel = Channel(PMIC_CHANNEL, Quantity.POWER, sensor, period_s, path=str(mailbox.path))
    assembly.add(channel)
    if use:
        assembly.take_energy_from(PMIC_CHANNEL, sensor.rails, whole_board=False)
        assembly.details["energy"] = (
            f"from the sum of {len(sensor.rails)} rails, which is less than the board draws; "
            "joulepath calibrate fits the whole board's power to it"
        )


def _is_pi_5(roots: Roots) -> bool:
    return any(name == "brcm,bcm2712" for name in compatible(roots))


def _add_hwmon_undervoltage(assembly: Assembly) -> None:
    """The kernel's own poll of the firmware, every 2 s: it tells undervoltage to all users."""
    for folder in numbered(assembly.roots.sys / "class/hwmon", "hwmon"):
        path = folder / "in0_lcrit_alarm"
        if read_once_word(folder / "name") == "rpi_volt" and path.exists():
            sensor = ScaledSensor(SysfsFile(path, assembly.clock), 1.0, low=0.0, high=1.0)
            assembly.add(
                Channel("undervoltage", Quantity.FLAG, sensor, SLOW_PERIOD_S, path=str(path), alarm=UNDERVOLTAGE_ALARM)
            )
            return
