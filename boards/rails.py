"""Power lines and energy counters: hwmon power monitors (INA2xx, INA3221, ACPI meters) and RAPL.

hwmon gives `powerN_input` in microwatts; the INA3221 driver gives only `inN_input` (mV) and `currN_input` (mA), which
are multiplied. Rails are told apart by their label, because hwmon numbers move between boots.
"""

from __future__ import annotations

import errno
import re
import time
from dataclasses import dataclass
from pathlib import Path

from boards.sensor import Reading, Sensor, SensorLost
from boards.sysfs import Clock, ScaledSensor, SysfsFile, numbered, read_once_int, read_once_word

# Labels of lines that feed the whole module (NVIDIA's device trees); see the table in the board documentation.
TOTAL_LABELS = ("VDD_IN", "POM_5V_IN")
# Chips whose voltage N and current N belong to one line. The INA3221's in4..in7 are shunt voltages, its curr4 a sum.
_PAIRED = {"ina3221": (1, 2, 3), "ina219": (1,), "ina220": (1,), "ina226": (1,), "ina230": (1,), "ina231": (1,)}
_INA2XX = {"ina219", "ina220", "ina226", "ina230", "ina231", "ina238"}
_MOST_WATTS = 5_000.0
_LONGEST_ROUND_MS = 50  # an INA3221's three channels with two conversions of 8.244 ms each
_MOST_AGE_MS = 50.0
# TI's data sheet of the INA3221 (SBOS576): shunt offset at most 80 uV, which is two steps of its register.
INA3221_OFFSET_STEPS = 2


@dataclass(frozen=True)
class Rail:
    """A power line; `total`: the whole board is behind it; `resolution_w` is 0 where the registers do not tell."""

    label: str
    sensor: Sensor
    path: Path
    chip: str
    total: bool
    resolution_w: float


class ProductSensor:
    """Watts as millivolts times milliamperes, dated when they held.

    That is `age_ns` before the current was handed over: the end of its read counts, because a driver that waits for a
    conversion hands over a fresh one. Where the age is unknown (None) it is the middle of the two reads.

    Less than `least_w` is not believed. An idle line may well read a step or two below zero, because the chip's offset
    does; to cut that off would bias every sum the line is part of.
    """

    def __init__(
        self, voltage_mv: SysfsFile, current_ma: SysfsFile, least_w: float = 0.0, age_ns: int | None = None
    ) -> None:
        self._voltage_mv = voltage_mv
        self._current_ma = current_ma
        self._least_w = least_w
        self._age_ns = age_ns

    def read(self) -> Reading:
        millivolts, first_ns = self._voltage_mv.read_int()
        milliamperes, second_ns = self._current_ma.read_int()
        watts = millivolts * milliamperes * 1e-6
        if not self._least_w <= watts <= _MOST_WATTS:
            raise SensorLost(f"{self._current_ma.path}: implausible power {millivolts} mV x {milliamperes} mA")
        held_ns = (first_ns + second_ns) // 2 if self._age_ns is None else self._current_ma.ended_ns - self._age_ns
        return Reading(watts, held_ns)

    def close(self) -> None:
        self._voltage_mv.close()
        self._current_ma.close()


def find_hwmon_rails(
    sys_root: Path, clock: Clock = time.monotonic_ns, passed_over: list[str] | None = None
) -> list[Rail]:
    """All power lines under `class/hwmon`; labels that collide are told apart by their chip's folder.

    Channels that are switched off (the driver answers ENODATA) are no lines; `passed_over` gets a sentence for each.
    """
    rails: list[Rail] = []
    for chip_folder in numbered(sys_root / "class/hwmon", "hwmon"):
        chip = read_once_word(chip_folder / "name") or chip_folder.name
        rails += _direct_rails(chip_folder, chip, clock) or _paired_rails(chip_folder, chip, clock, passed_over)
    return _mark_lone_monitor(unique_rails(rails))


def _direct_rails(folder: Path, chip: str, clock: Clock) -> list[Rail]:
    rails = []
    for number in _numbers(folder, r"power(\d+)_(?:input|average)"):
        path = folder / f"power{number}_input"
        if not path.exists():
            path = folder / f"power{number}_average"
        label = _label(folder, number, ("power", "in")) or (chip if number == 1 else f"{chip}-{number}")
        if usable_label(label):
            sensor = ScaledSensor(SysfsFile(path, clock), 1e-6, low=0.0, high=_MOST_WATTS)
            total = label in TOTAL_LABELS or chip == "power_meter"  # ACPI's meter sits at the machine's inlet
            rails.append(Rail(label, sensor, path, chip, total, _ina2xx_resolution_w(folder, chip)))
    return rails


def _paired_rails(folder: Path, chip: str, clock: Clock, passed_over: list[str] | None) -> list[Rail]:
    rails = []
    for number in _PAIRED.get(chip, ()):
        voltage, current = folder / f"in{number}_input", folder / f"curr{number}_input"
        if not (voltage.exists() and current.exists()):
            continue
        label = _label(folder, number, ("in", "curr")) or f"{chip}-{number}"
        if not usable_label(label):
            continue
        if _switched_off(folder, number):
            if passed_over is not None:
                passed_over.append(f"{label} ({voltage}): switched off")
            continue
        resolution_w = _pair_resolution_w(folder, chip, number, read_once_int(voltage))
        least_w = -INA3221_OFFSET_STEPS * resolution_w
        age_ns = _age_ns(folder, chip)
        sensor = ProductSensor(SysfsFile(voltage, clock), SysfsFile(current, clock), least_w, age_ns)
        rails.append(Rail(label, sensor, current, chip, label in TOTAL_LABELS, resolution_w))
    return rails


def _numbers(folder: Path, pattern: str) -> list[int]:
    try:
        matches = [re.fullmatch(pattern, entry.name) for entry in folder.iterdir()]
    except OSError:
        return []
    return sorted({int(match[1]) for match in matches if match})


def _label(folder: Path, number: int, stems: tuple[str, ...]) -> str | None:
    for stem in stems:
        label = read_once_word(folder / f"{stem}{number}_label")
        if label:
            return label
    return None


def _switched_off(folder: Path, number: int) -> bool:
    if read_once_int(folder / f"in{number}_enable") == 0:
        return True
    file = SysfsFile(folder / f"in{number}_input")
    try:
        file.read_int()
    except SensorLost as error:
        return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENODATA
    finally:
        file.close()
    return False


def usable_label(label: str) -> bool:
    """Whether a label names a line, not a pin that is not connected or a sum of unlike things."""
    return "NC" not in label.split("_") and label != "NC" and label.lower() != "sum of shunt voltages"


def _ina2xx_resolution_w(folder: Path, chip: str) -> float:
    """Power register step of the INA219 and INA226 families, from the shunt (as the kernel's ina2xx driver sets them).

    The driver fixes the calibration so that the current step is 10 uV (INA219) or 2.5 uV (INA226) over the shunt; the
    power step is 20 or 25 current steps times one volt.
    """
    shunt_uohm = read_once_int(folder / "shunt_resistor")
    if chip not in _INA2XX or not shunt_uohm or shunt_uohm <= 0:
        return 0.0
    microvolts, factor = (10.0, 20.0) if chip in {"ina219", "ina220"} else (2.5, 25.0)
    return factor * microvolts / shunt_uohm


def _pair_resolution_w(folder: Path, chip: str, number: int, millivolts: int | None) -> float:
    if chip != "ina3221":
        return 0.0
    return ina3221_resolution_w(read_once_int(folder / f"shunt{number}_resistor"), millivolts)


def ina3221_resolution_w(shunt_uohm: int | None, millivolts: int | None) -> float:
    """The current step, 40 uV over the shunt, times the present voltage; 0 where either is unknown."""
    if not shunt_uohm or shunt_uohm <= 0 or not millivolts or millivolts <= 0:
        return 0.0
    return 40.0 / shunt_uohm * millivolts * 1e-3


def _age_ns(folder: Path, chip: str) -> int | None:
    """How old an INA3221's current is when it is read, on average; None where the driver does not tell its times."""
    interval_ms, samples = read_once_int(folder / "update_interval"), read_once_int(folder / "samples")
    if chip != "ina3221" or interval_ms is None or interval_ms <= 0 or samples is None or samples <= 0:
        return None
    # Before Linux 5.14 the interval counts the samples in, which shows where no round of conversions is that long.
    round_ms = interval_ms if interval_ms <= _LONGEST_ROUND_MS else interval_ms / samples
    channels = sum(read_once_int(folder / f"in{number}_enable") != 0 for number in _PAIRED[chip])
    return round(1e6 * ina3221_age_ms(round_ms, max(1, channels), samples))


def ina3221_age_ms(round_ms: float, channels: int, samples: int) -> float:
    """Mean age of an INA3221's register in ms.

    A channel's result is the mean over its own conversion, so it is half of that old when it comes, and half a round
    older when somebody looks. Averaging is a filter of first order, whose output lags by another `samples` - 1 rounds.
    More than 50 ms are not taken off: a value that is dated further back would count as stale.
    """
    return min(round_ms * (0.5 + 0.25 / channels + samples - 1), _MOST_AGE_MS)


def unique_rails(rails: list[Rail]) -> list[Rail]:
    """The same label on two chips gets the chip's folder, which is all that tells them apart."""
    labels = [rail.label for rail in rails]
    return [
        rail
        if labels.count(rail.label) == 1
        else Rail(f"{rail.label}@{rail.path.parent.name}", rail.sensor, rail.path, rail.chip, False, rail.resolution_w)
        for rail in rails
    ]


def _mark_lone_monitor(rails: list[Rail]) -> list[Rail]:
    """A single INA2xx on a machine is a power HAT's monitor: the board is behind it. Several without labels are not."""
    monitors = [rail for rail in rails if rail.chip in _INA2XX]
    if len(monitors) != 1 or any(rail.total for rail in rails):
        return rails
    lone = monitors[0]
    return [
        Rail(rail.label, rail.sensor, rail.path, rail.chip, True, rail.resolution_w) if rail is lone else rail
        for rail in rails
    ]


@dataclass(frozen=True)
class RaplDomain:
    """One RAPL package: where its counter is and at which value it wraps."""

    name: str
    path: Path
    max_range_uj: int


class RaplSensor:
    """Joules since the first read, summed over packages; follows wrap-around, refuses jumps no package can make.

    A counter that falls has wrapped at `max_energy_range_uj` or was reset by a driver; the two look alike. If the wrap
    would mean more power than `most_watts`, the reading is lost and counting starts anew from there: nothing is
    invented.
    """

    def __init__(
        self, domains: list[RaplDomain], clock: Clock = time.monotonic_ns, most_watts: float = 2_000.0
    ) -> None:
        self._files = [(SysfsFile(domain.path, clock), domain) for domain in domains]
        self._last: list[tuple[int, int]] | None = None  # (raw uJ, monotonic ns) of each package
        self._most_watts = most_watts
        self._total_uj = 0

    def read(self) -> Reading:
        try:
            now = [file.read_int() for file, _ in self._files]
        except SensorLost:
            self._last = None
            raise
        if any(raw < 0 for raw, _ in now):
            self._last = None
            raise SensorLost(f"{self._files[0][0].path}: negative energy counter")
        last, self._last = self._last, now
        if last is not None:
            self._total_uj += sum(
                self._step_uj(new, old, domain) for new, old, (_, domain) in zip(now, last, self._files, strict=True)
            )
        return Reading(self._total_uj * 1e-6, sum(at for _, at in now) // len(now))

    def close(self) -> None:
        for file, _ in self._files:
            file.close()

    def _step_uj(self, new: tuple[int, int], old: tuple[int, int], domain: RaplDomain) -> int:
        step_uj = new[0] - old[0]
        if step_uj < 0:
            step_uj += domain.max_range_uj
        elapsed_s = max((new[1] - old[1]) * 1e-9, 1e-3)
        if not 0 <= step_uj <= self._most_watts * 1e6 * elapsed_s:
            raise SensorLost(f"{domain.path}: counter jumped from {old[0]} to {new[0]} uJ in {elapsed_s:.3f} s")
        return step_uj


def find_rapl(sys_root: Path) -> tuple[list[RaplDomain], str | None]:
    """The readable package domains, and, where there is RAPL that cannot be read, one sentence that says why."""
    domains: list[RaplDomain] = []
    refused: str | None = None
    for folder in numbered(sys_root / "class/powercap", "intel-rapl:"):
        name = read_once_word(folder / "name") or folder.name
        if not name.startswith("package"):
            continue
        path = folder / "energy_uj"
        probe = SysfsFile(path)
        try:
            probe.read_int()
        except SensorLost as error:
            refused = _why_refused(error)
            continue
        finally:
            probe.close()
        max_range_uj = read_once_int(folder / "max_energy_range_uj")
        if max_range_uj is None or max_range_uj <= 0:
            refused = f"{folder}/max_energy_range_uj: unreadable, so wrap-around could not be followed"
            continue
        domains.append(RaplDomain(name, path, max_range_uj))
    return domains, refused


def _why_refused(error: SensorLost) -> str:
    if not isinstance(error.__cause__, PermissionError):
        return str(error)
    return (
        f"{error}: since CVE-2020-8694 only root reads RAPL counters; run as root, or let a udev rule or tmpfiles "
        "entry give the service's group read access to energy_uj"
    )
