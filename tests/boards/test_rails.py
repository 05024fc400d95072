from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from boards.rails import find_hwmon_rails, ina3221_age_ms

MS = 1_000_000


@dataclass
class Ticking:
    """A clock that goes on by a millisecond at each look: a read takes one, and its middle is in between."""

    now_ns: int = 0

    def __call__(self) -> int:
        self.now_ns += MS
        return self.now_ns


def chip(root: Path, **files: object) -> None:
    folder = root / "class/hwmon/hwmon0"
    folder.mkdir(parents=True)
    told = {"name": "ina3221", "in1_input": 5000, "curr1_input": 1200, "in1_label": "VDD_IN", "shunt1_resistor": 5000}
    for name, value in (told | files).items():
        (folder / name).write_text(f"{value}\n")


def test_the_age_of_a_register_is_half_its_conversion_and_half_a_round() -> None:
    assert ina3221_age_ms(6.6, 3, 1) == pytest.approx(3.3 + 0.55)
    assert ina3221_age_ms(2.2, 1, 1) == pytest.approx(1.1 + 0.55)
    assert ina3221_age_ms(6.6, 3, 4) == pytest.approx(3.85 + 3 * 6.6)  # a filter's output lags
    assert ina3221_age_ms(7.0, 3, 1024) == 50.0


def test_watts_of_an_ina3221_are_dated_when_they_held(tmp_path: Path) -> None:
    chip(tmp_path, update_interval=6, samples=1)
    clock = Ticking()
    (rail,) = find_hwmon_rails(tmp_path, clock)
    begun_ns = clock.now_ns
    reading = rail.sensor.read()
    assert reading.value == pytest.approx(6.0)
    assert reading.monotonic_ns == begun_ns + 4 * MS - round(3.5 * MS)  # two looks a file: the last is the end


def test_averaging_that_an_old_driver_counts_in_is_not_counted_twice(tmp_path: Path) -> None:
    chip(tmp_path, update_interval=106, samples=16, in1_enable=1, in2_enable=0, in3_enable=0)
    clock = Ticking()
    (rail,) = find_hwmon_rails(tmp_path, clock)
    begun_ns = clock.now_ns
    assert rail.sensor.read().monotonic_ns == begun_ns + 4 * MS - 50 * MS


@pytest.mark.parametrize("files", [{}, {"update_interval": 7}, {"update_interval": 0, "samples": 1}])
def test_without_a_conversion_time_watts_hold_at_the_middle_of_the_reads(
    tmp_path: Path, files: dict[str, object]
) -> None:
    chip(tmp_path, **files)
    clock = Ticking()
    (rail,) = find_hwmon_rails(tmp_path, clock)
    begun_ns = clock.now_ns
    assert rail.sensor.read().monotonic_ns == begun_ns + 5 * MS // 2
