"""The Raspberry Pi 5's power chip: twelve rails with a current and a voltage each, all in one firmware command.

`pmic_read_adc` answers a line a value: `VDD_CORE_A current(7)=6.22421000A`, `VDD_CORE_V volt(15)=0.86173300V`. EXT5V
(the input) and BATT (the clock's battery) have a voltage only, so USB, HATs and the fan, which hang on the 5 V itself,
are in no rail. On a Pi 5 one call took 22.6 ms, nearly all of it in the firmware (zeus, pull request 274): hence the
rate below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from boards.mailbox import Mailbox
from boards.sensor import Reading, SensorLost

PMIC_CHANNEL = "pmic-rails"
PMIC_PERIOD_S = 0.1  # 10 Hz: faster, and the firmware would do little else
COMMAND = "pmic_read_adc"

_LINE = re.compile(r"\s*([A-Z0-9_]{1,24})_([AV])\s+(current|volt)\([0-9]{1,3}\)=([0-9]{1,3}\.[0-9]{1,12})([AV])\s*")
_KIND = {"A": "current", "V": "volt"}
_MOST = {"A": 40.0, "V": 6.0}


@dataclass(frozen=True)
class PmicSweep:
    """One reading of all rails: amperes and volts by rail."""

    amperes: dict[str, float]
    volts: dict[str, float]

    @property
    def rails(self) -> tuple[str, ...]:
        """Rails that have both, in the order of the firmware."""
        return tuple(rail for rail in self.amperes if rail in self.volts)

    def watts(self, rails: tuple[str, ...]) -> float:
        """The sum over `rails`. Raises KeyError where one is missing."""
        return sum(self.amperes[rail] * self.volts[rail] for rail in rails)


def parse_sweep(text: str) -> PmicSweep:
    """What `pmic_read_adc` said; lines of another form are passed over, which leaves their rail out.

    Raises SensorLost for a value that no Pi can have, and for a rail that is told twice.
    """
    found: dict[str, dict[str, float]] = {"A": {}, "V": {}}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[5] != match[2] or match[3] != _KIND[match[2]]:
            continue
        rail, kind, value = match[1], match[2], float(match[4])
        if rail in found[kind] or value > _MOST[kind]:
            raise SensorLost(f"{COMMAND}: implausible line {line.strip()!r}")
        found[kind][rail] = value
    return PmicSweep(found["A"], found["V"])


class PmicSensor:
    """Watts, summed over the rails that were there at the start; a sweep that lacks one of them gives no value."""

    def __init__(self, mailbox: Mailbox, rails: tuple[str, ...]) -> None:
        self.rails = rails
        self._mailbox = mailbox

    def read(self) -> Reading:
        text, middle_ns = self._mailbox.command(COMMAND)
        sweep = parse_sweep(text)
        missing = set(self.rails) - set(sweep.rails)
        if missing:
            raise SensorLost(f"{COMMAND}: no value of {', '.join(sorted(missing))}")
        return Reading(sweep.watts(self.rails), middle_ns)

    def close(self) -> None:
        self._mailbox.close()


def find_pmic(mailbox: Mailbox) -> tuple[PmicSensor | None, dict[str, str]]:
    """The rails' sum where the firmware tells rails, and facts for people: input voltage, or why there is no sensor."""
    try:
        sweep = parse_sweep(mailbox.command(COMMAND)[0])
    except SensorLost as error:
        return None, {"pmic": str(error)}
    if not sweep.rails:
        return None, {"pmic": f"{COMMAND} names no rail with a current and a voltage"}
    facts = {
        PMIC_CHANNEL: f"sum of {len(sweep.rails)} rails: {', '.join(sweep.rails)}; "
        "what hangs on the 5 V itself (USB, HATs, fan) is in none of them"
    }
    if "EXT5V" in sweep.volts:
        facts["input voltage"] = f"{sweep.volts['EXT5V']:.3f} V at the start"
    return PmicSensor(mailbox, sweep.rails), facts
