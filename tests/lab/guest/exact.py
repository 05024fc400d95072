"""Run by the package's interpreter: set each sensor to several values and read them back through our `boards`.

Prints one JSON list of [what, set, read].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import board as lab

from boards.detect import open_board


def main() -> None:
    opened = open_board("linux")
    channels = {channel.name: channel.sensor for channel in opened.channels}
    rows: list[list[object]] = []

    def note(what: str, wanted: float, channel: str) -> None:
        rows.append([what, wanted, channels[channel].read().value])

    for millivolts, milliamperes in ((5000, 1600), (4960, 8), (12000, 3200), (5000, 0)):
        lab.set_rail(1, millivolts, milliamperes)
        note("INA3221, W", millivolts * milliamperes / 1e6, "ina3221-1")
    lab.set_rail(2, 1000, 400)
    note("INA3221's second line, W", 0.4, "ina3221-2")
    for millivolts, milliamperes in ((5000, 1600), (5000, 4), (12000, 2000)):
        lab.set_monitor(millivolts, milliamperes)
        note("INA219, W", millivolts * milliamperes / 1e6, "ina219")
    for percent, gauge in ((80, 63), (17, 17), (0, 100)):
        lab.set_battery(capacity=percent)
        lab.set_gauge(3_800_000, gauge)
        note("two packs' charge, ratio", (percent + gauge) / 200, "battery")
    for online in ("on", "off"):
        lab.set_battery(ac_online=online)
        note("mains, flag", float(online == "on"), "mains")
    for celsius in (45.0, 81.234, -5.0):
        lab.set_temperature(celsius)
        note("zone, degrees", celsius, "cpu-thermal")
    opened.close()
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
