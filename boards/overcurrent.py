"""Over-current protection of Jetsons, as flags: event counters of the SoC, and the limits of the power monitors.

Orin and Thor (hwmon `soctherm_oc`, `ocN_event_cnt`): OC1 counts undervoltage at the module's inlet, OC2 an average and
OC3 an instantaneous current above the limit. TX2 and Xavier (`ocN_irq_cnt`) give their numbers other meanings, which
NVIDIA does not document, so there any of them raises one flag. Each event makes the SoC slow itself down for a moment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from boards.assembly import SLOW_PERIOD_S, Assembly
from boards.board import Alarm, Channel, Quantity
from boards.sensor import Reading, SensorLost
from boards.sysfs import Clock, SysfsFile, numbered, read_once_int, read_once_word
from boards.thermal import ThrottleSensor

_CHIP = "soctherm_oc"
# Undervoltage makes the controller step down once for as long as it lasts, so it must not last past its cause; the
# firmware hands its counts over every two seconds. In MAXN modes OC3 counts several a second, for hours: one event.
UNDERVOLTAGE_HOLD_S = 5.0
OVERCURRENT_HOLD_S = 60.0
_SLOWED = "the module slows itself down for a moment each time"


class CountFlag:
    """1 while a count has grown within the last `hold_s`, else 0. What was counted before the first read is history."""

    def __init__(self, files: Sequence[SysfsFile], hold_s: float, clock: Clock) -> None:
        self._files = tuple(files)
        self._hold_ns = round(hold_s * 1e9)
        self._clock = clock
        self._last: list[int] | None = None
        self._grown_ns: int | None = None

    def read(self) -> Reading:
        counts = [file.read_int()[0] for file in self._files]
        if min(counts) < 0:
            raise SensorLost(f"{self._files[0].path}: negative count")
        now_ns = self._clock()
        if self._last is not None and any(new > old for new, old in zip(counts, self._last, strict=True)):
            self._grown_ns = now_ns
        self._last = counts
        raised = self._grown_ns is not None and now_ns - self._grown_ns < self._hold_ns
        return Reading(float(raised), now_ns)

    def close(self) -> None:
        for file in self._files:
            file.close()


def add_overcurrent(assembly: Assembly) -> None:
    """Flags of the SoC's counters and of the power monitors' limits, each where the kernel shows it.

    ``undervoltage``, ``over-current-average`` and ``over-current-peak``, or ``over-current``; ``rail-critical`` and
    ``rail-warning``.
    """
    chips = numbered(assembly.roots.sys / "class/hwmon", "hwmon")
    for chip in chips:
        if read_once_word(chip / "name") == _CHIP:
            _add_counters(assembly, chip)
    monitors = [chip for chip in chips if read_once_word(chip / "name") == "ina3221"]
    _add_limit(assembly, monitors, "rail-critical", "crit", "a rail's current is above its critical limit")
    _add_limit(assembly, monitors, "rail-warning", "max", "a rail's mean current is above its warning limit")


def _add_counters(assembly: Assembly, chip: Path) -> None:
    events = [chip / f"oc{number}_event_cnt" for number in (1, 2, 3)]
    counts = {path: read_once_int(path) for path in (*events, *_irq_counts(chip))}
    known = {path: count for path, count in counts.items() if count is not None}
    if not known:
        return
    told = ", ".join(f"{path.name.split('_')[0].upper()} {count}" for path, count in known.items())
    assembly.details["over-current events before"] = f"{told} (since boot)"
    if events[0] in known:
        sagged = f"the module's supply sagged (OC1): {_SLOWED}"
        alarm = Alarm("warning", "undervoltage", sagged, "the supply holds again")
        _add(assembly, "undervoltage", [events[0]], UNDERVOLTAGE_HOLD_S, alarm)
    for path, name, level, what in (
        (events[1], "over-current-average", "warning", "the module's mean supply current is above its limit (OC2)"),
        (events[2], "over-current-peak", "info", "peaks of the supply current are above the limit (OC3)"),
    ):
        if path in known:
            alarm = Alarm(level, "over_current", f"{what}: {_SLOWED}", f"{name}: none for {OVERCURRENT_HOLD_S:.0f} s")
            _add(assembly, name, [path], OVERCURRENT_HOLD_S, alarm)
    others = [path for path in known if path not in events]
    if others:
        alarm = Alarm(
            "warning",
            "over_current",
            f"the SoC's over-current protection acted: {_SLOWED}",
            f"over-current: none for {OVERCURRENT_HOLD_S:.0f} s",
        )
        _add(assembly, "over-current", others, OVERCURRENT_HOLD_S, alarm)


def _add(assembly: Assembly, name: str, paths: Sequence[Path], hold_s: float, alarm: Alarm) -> None:
    if assembly.has(name):
        return
    clock = assembly.clock
    sensor = CountFlag([SysfsFile(path, clock) for path in paths], hold_s, clock)
    path = str(paths[0] if len(paths) == 1 else paths[0].parent)
    assembly.add(Channel(name, Quantity.FLAG, sensor, SLOW_PERIOD_S, path=path, alarm=alarm))


def _add_limit(assembly: Assembly, chips: Sequence[Path], name: str, kind: str, what: str) -> None:
    # currN_crit_alarm and currN_max_alarm of the three channels; curr4 is the sum of unlike rails.
    files = [chip / f"curr{number}_{kind}_alarm" for chip in chips for number in (1, 2, 3)]
    files = [path for path in files if read_once_int(path) is not None]
    if not files:
        return
    clock = assembly.clock
    sensor = ThrottleSensor([SysfsFile(path, clock) for path in files], clock)
    alarm = Alarm("warning", "over_current", what, f"{name}: all currents are within their limits")
    path = str(files[0].parent if len(chips) == 1 else files[0].parent.parent)
    assembly.add(Channel(name, Quantity.FLAG, sensor, SLOW_PERIOD_S, path=path, alarm=alarm))


def _irq_counts(chip: Path) -> list[Path]:
    try:
        return sorted(path for path in chip.iterdir() if re.fullmatch(r"oc\d_irq_cnt", path.name))
    except OSError:
        return []
