"""Recordings of others: what the parsers make of real lines, of damaged ones, and of anything at all."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards import jetson
from boards.board import Quantity
from boards.recording import PLAUSIBLE, Recording, Series, summed
from boards.recordings import tegrastats
from boards.recordings.files import read_recording
from boards.recordings.lines import rising
from boards.sensor import BoardError

DATA = Path(os.environ.get("JOULEPATH_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "traces"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"no traces at {DATA} (set JOULEPATH_DATA)")

SPL = "Time,03-03-2021 00:53:{second:02d}.184,Watts,{watts},Volts,249.110000,Amps,0.029200,PF,0.407400,Mark,x_testing\n"
JETPACK_4 = (
    "RAM 896/7859MB (lfb 26x4MB) SWAP 0/3929MB (cached 0MB) CPU [4%@2035,4%@345,off,0%@2035] EMC_FREQ 0% GR3D_FREQ 7% "
    "PLL@34.5C MCPU@34.5C PMIC@100C Tboard@29C GPU@31C BCPU@34.5C thermal@32.8C VDD_SYS_GPU 153/153 "
    "VDD_SYS_SOC 383/383 VDD_4V0_WIFI 0/0 VDD_IN 1840/1790 VDD_SYS_CPU 306/306 VDD_SYS_DDR 269/269\n"
)
JETPACK_5 = (
    "11-20-2026 12:00:{second:02d} RAM 3213/30697MB (lfb 4x4MB) SWAP 0/15348MB (cached 0MB) "
    "CPU [10%@729,20%@729,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 42%@[114,114] VIC_FREQ 729 APE 174 CV0@-256C CPU@47.5C "
    "SOC2@43.562C tj@47.5C VDD_GPU_SOC 3150mW/2971mW VDD_CPU_CV 787mW/787mW VIN_SYS_5V0 4020mW/3969mW "
    "VDDQ_VDD2_1V8AO 402mW/402mW\n"
)


def written(folder: Path, text: str | bytes, name: str = "recording") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def spl(watts: list[float]) -> str:
    return "".join(SPL.format(second=second, watts=value) for second, value in enumerate(watts))


def series(recording: Recording, name: str) -> Series:
    found = recording.find(name)
    assert found is not None, [each.name for each in recording.series]
    return found


# -- what each kind of file says ------------------------------------------------------------------------------------


def test_watts_of_a_power_log(tmp_path: Path) -> None:
    recording = read_recording(written(tmp_path, spl([2.96, 3.09, 3.17])))
    wall = series(recording, "wall")
    assert wall.times_s.tolist() == pytest.approx([0.0, 1.0, 2.0])
    assert wall.values.tolist() == [2.96, 3.09, 3.17]
    assert (recording.energy, recording.rails_included, recording.kind) == ("wall", ("wall",), "MLPerf power log")
    assert recording.began_utc_s == 1614732780.184  # 2021-03-03 00:53:00.184, month first
    assert recording.duration_s == pytest.approx(3.0)
    assert wall.total == pytest.approx(2.96 + 3.09 + 3.17)


def test_a_jetpack_4_line(tmp_path: Path) -> None:
    recording = read_recording(written(tmp_path, JETPACK_4 * 2), interval_s=0.5)
    assert {each.name: (each.quantity, each.values[0]) for each in recording.series} == {
        "VDD_IN": (Quantity.POWER, 1.84), "VDD_SYS_GPU": (Quantity.POWER, 0.153),
        "VDD_SYS_SOC": (Quantity.POWER, 0.383), "VDD_4V0_WIFI": (Quantity.POWER, 0.0),
        "VDD_SYS_CPU": (Quantity.POWER, 0.306), "VDD_SYS_DDR": (Quantity.POWER, 0.269),
        "MCPU": (Quantity.TEMPERATURE, 34.5), "BCPU": (Quantity.TEMPERATURE, 34.5),
        "GPU-thermal": (Quantity.TEMPERATURE, 31.0), "thermal": (Quantity.TEMPERATURE, 32.8),
        "PLL": (Quantity.TEMPERATURE, 34.5), "Tboard": (Quantity.TEMPERATURE, 29.0),
        "ram": (Quantity.RATIO, 896 / 7859), "load": (Quantity.RATIO, 8 / 3 / 100), "gpu-load": (Quantity.RATIO, 0.07),
    }  # fmt: skip
    assert recording.series[0].name == "VDD_IN"
    assert next(each.name for each in recording.series if each.quantity is Quantity.TEMPERATURE) == "MCPU"
    assert recording.series[0].times_s.tolist() == [0.0, 0.5]
    assert (recording.energy, recording.began_utc_s) == ("VDD_IN", None)


def test_a_jetpack_5_line_and_its_time_stamp(tmp_path: Path) -> None:
    text = "".join(JETPACK_5.format(second=second) for second in (1, 2, 3))
    recording = read_recording(written(tmp_path, text))
    assert recording.energy == "rails-total"
    assert recording.rails_included == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
    assert series(recording, "rails-total").values.tolist() == pytest.approx([3.15 + 0.787 + 4.02] * 3)
    assert series(recording, "CPU-thermal").values[0] == 47.5
    assert series(recording, "SOC2").values[0] == 43.562
    assert series(recording, "load").values[0] == pytest.approx(0.15)  # of the cores that are on
    assert series(recording, "gpu-load").values[0] == 0.42
    assert recording.find("CV0") is None  # -256: switched off
    assert recording.began_utc_s == 1795176001.0  # 2026-11-20 12:00:01


def test_a_board_and_its_recording_are_summed_alike() -> None:
    assert tegrastats.TOTALS == jetson._TOTALS
    assert tegrastats.SUM == jetson.SUM_NAME


def test_lines_within_one_second_are_spread_over_it(tmp_path: Path) -> None:
    text = "".join(JETPACK_5.format(second=second) for second in (1, 1, 2, 2, 3, 3))
    times_s = series(read_recording(written(tmp_path, text)), "rails-total").times_s
    assert times_s.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


def test_rails_of_which_nobody_knows_the_whole_give_no_energy(tmp_path: Path) -> None:
    recording = read_recording(written(tmp_path, "RAM 1/2MB VDD_SOMETHING 100mW/100mW\n" * 2))
    assert recording.energy is None
    assert "unavailable" in recording.notes["energy"]


def test_a_csv_with_units_in_its_names(tmp_path: Path) -> None:
    text = (
        "time_s, VDD_IN_mw ,temperature_c,battery_percent,battery_energy_j,throttled_flag,voltage_v,comment\n"
        "10,3000,40.5,50,36000,0,12.1,a\n11.5,3500,,49.5,35000,1,12.0,b\n"
    )
    recording = read_recording(written(tmp_path, text))
    assert {each.name: (each.quantity, each.times_s.tolist(), each.values.tolist()) for each in recording.series} == {
        "VDD_IN": (Quantity.POWER, [0.0, 1.5], [3.0, 3.5]),
        "temperature": (Quantity.TEMPERATURE, [0.0], [40.5]),
        "battery": (Quantity.RATIO, [0.0, 1.5], [0.5, 0.495]),
        "battery_energy_j": (Quantity.ENERGY, [0.0, 1.5], [36000.0, 35000.0]),
        "throttled": (Quantity.FLAG, [0.0, 1.5], [0.0, 1.0]),
    }
    assert recording.energy == "VDD_IN"
    assert recording.began_utc_s is None
    assert recording.notes["voltage"] == "a voltage, which no channel shows; cells=N makes the charge of it"
    assert recording.notes["columns not used"].startswith("comment")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2026-11-20T12:00:00Z", "2026-11-20T13:00:01+01:00"),
        ("2026-11-20 12:00:00", "2026-11-20 12:00:01.000"),
        ("11-20-2026 12:00:00", "11-20-2026 12:00:01"),
    ],
)
def test_csv_time_stamps(tmp_path: Path, first: str, second: str) -> None:
    recording = read_recording(written(tmp_path, f"time,power_w\n{first},1\n{second},2\n"))
    assert recording.began_utc_s == 1795176000.0
    assert series(recording, "power").times_s.tolist() == [0.0, 1.0]


def test_of_several_powers_somebody_must_say_which_is_the_whole(tmp_path: Path) -> None:
    recording = read_recording(written(tmp_path, "time_s,cpu_w,gpu_w\n0,1,2\n1,1,2\n"))
    assert recording.energy is None
    assert "cpu, gpu" in recording.notes["energy"]
    assert read_recording(written(tmp_path, "time_s,cpu_w,total_w\n0,1,2\n1,1,2\n")).energy == "total"


def test_volts_become_a_charge_when_the_cells_are_known(tmp_path: Path) -> None:
    path = written(
        tmp_path, '"Date Time        ","Adjusted vBatt"\n2024-04-02 07:18:40,12.6\n2024-04-02 07:18:46,9.0\n'
    )
    assert series(read_recording(path, cells=3), "battery").values.tolist() == [1.0, 0.0]
    with pytest.raises(BoardError, match=r"nothing to replay in it \(battery voltage: a voltage"):
        read_recording(path)
    with pytest.raises(BoardError, match="cells must be from 1 to 100"):
        read_recording(path, cells=0)


def test_a_column_that_is_nowhere_else_does_not_stop_the_sum() -> None:
    first = Series("a", Quantity.POWER, np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0]))
    second = Series("b", Quantity.POWER, np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]))
    total = summed("t", [first, second])
    assert total is not None
    assert (total.times_s.tolist(), total.values.tolist()) == ([1.0, 2.0], [12.0, 23.0])
    assert summed("t", [first, Series("c", Quantity.POWER, np.array([9.0]), np.array([1.0]))]) is None


# -- damage ---------------------------------------------------------------------------------------------------------


def test_damaged_lines_are_left_out_and_told_by_number(tmp_path: Path) -> None:
    lines = spl([3.0] * 20).splitlines(keepends=True)
    lines[4] = "Time,03-03-2021 00:53:04.184,Wa\n"
    lines[9] = lines[9].replace("3.0", "three")
    recording = read_recording(written(tmp_path, "".join(lines)))
    wall = series(recording, "wall")
    assert len(wall.values) == 18
    assert 4.0 not in wall.times_s.round(3)
    assert recording.notes["lines skipped"].startswith("2 (line 5, 10; the first: not 'Time,")


def test_one_stamp_that_leaps_ahead_costs_one_line(tmp_path: Path) -> None:
    lines = spl([3.0] * 20).splitlines(keepends=True)
    lines[7] = lines[7].replace("2021", "2081", 1)
    recording = read_recording(written(tmp_path, "".join(lines)))
    assert len(series(recording, "wall").values) == 19
    assert recording.notes["lines skipped"] == "1 (line 8; the first: its time stamp does not fit those around it)"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no recording that is known"),
        (b"\x00\xff\x00", "no recording that is known"),
        (b"hello\nworld\n", "no recording that is known"),
        (b"time_s,power_w\n", "no line of it can be used"),
        (b"time_s,power_w\n0,nan\n1,inf\n", "no line of it can be used; line 2: implausible power: 'nan'"),
        (b"time_s,power_w\n" + b"0,1\n1,1\n2,x\n3,y\n4,-1\n5,z\n6,1\n", "4 of 7 lines .*first is line 4: .* no number"),
        (spl([-1.0] * 9).encode(), "implausible watts: '-1.0'"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, text: bytes, why: str) -> None:
    with pytest.raises(BoardError, match=why):
        read_recording(written(tmp_path, text))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"cannot be read \(No such file or directory\); check file=PATH"):
        read_recording(tmp_path / "nothing")
    with pytest.raises(BoardError, match="cannot be read"):
        read_recording(tmp_path)


def test_an_interval_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="interval must be"):
        read_recording(written(tmp_path, JETPACK_4), interval_s=0.0)


# -- anything at all ------------------------------------------------------------------------------------------------

HEADS = {
    "spl": spl([3.0, 3.1, 3.2, 3.3, 3.2, 3.1]).encode(),
    "jetpack 4": (JETPACK_4 * 5).encode(),
    "jetpack 5": "".join(JETPACK_5.format(second=second) for second in range(5)).encode(),
    "csv": b"time_s,power_w,temperature_c,battery_percent\n0,3,40,50\n1,3.1,40,50\n2,3.2,41,49\n3,3.1,41,49\n",
    "iso": b"time,power_w\n2026-11-20T12:00:00,3\n2026-11-20T12:00:01,4\n2026-11-20T12:00:02,5\n",
}


def require_sound(recording: Recording) -> None:
    assert recording.series
    assert recording.energy is None or recording.find(recording.energy) is not None
    for each in recording.series:
        low, high = PLAUSIBLE[each.quantity]
        most = 4 * high if each.name == "rails-total" else high
        assert (each.values >= low).all()
        assert (each.values <= most).all()
        assert (np.diff(each.times_s) > 0).all()
        assert np.isfinite(each.total)
        assert (each.ends_s > each.times_s).all()


def parse_or_refuse(path: Path) -> None:
    with suppress(BoardError):
        require_sound(read_recording(path, cells=3))


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=400))
def test_any_bytes_are_a_recording_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    parse_or_refuse(written(tmp_path_factory.getbasetemp(), content, "any"))


@settings(max_examples=600, deadline=None)
@given(
    head=st.sampled_from(sorted(HEADS)),
    cuts=st.lists(
        st.tuples(
            st.integers(0, 3000),
            st.integers(0, 12),
            st.one_of(st.binary(max_size=6), st.sampled_from([b"-", b"1e999", b"nan", b"9" * 30, b"\n", b",", b'"'])),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_real_lines_with_holes_in_them_are_a_recording_or_refused(
    tmp_path_factory: pytest.TempPathFactory, head: str, cuts: list[tuple[int, int, bytes]]
) -> None:
    content = HEADS[head]
    for place, length, instead in cuts:
        at = place % max(1, len(content))
        content = content[:at] + instead + content[at + length :]
    parse_or_refuse(written(tmp_path_factory.getbasetemp(), content, "holes"))


@settings(deadline=None)
@given(times=st.lists(st.integers(0, 12), min_size=1, max_size=10))
def test_the_rising_part_is_a_longest_one(times: list[int]) -> None:
    kept = rising(np.array(times, dtype=np.float64))
    values = [times[index] for index in kept]
    assert all(a < b for a, b in pairwise(values))
    assert all(a < b for a, b in pairwise(kept))
    best = [1] * len(times)
    for at in range(len(times)):
        best[at] = 1 + max((best[i] for i in range(at) if times[i] < times[at]), default=0)
    assert len(values) == max(best)


# -- size -----------------------------------------------------------------------------------------------------------


def test_a_day_at_ten_a_second_keeps_little_memory(tmp_path: Path) -> None:
    drawn = random.Random(1)
    rows = 100_000  # a ninth of that day: the test must stay quick; cost is the same for every line
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write("time_s,power_w,temperature_c\n")
        file.writelines(f"{i / 10:.1f},{drawn.uniform(2, 6):.3f},{drawn.uniform(40, 70):.2f}\n" for i in range(rows))
    began = time.process_time()
    recording = read_recording(path)
    spent_s = time.process_time() - began
    assert [len(each.values) for each in recording.series] == [rows, rows]
    assert sum(each.values.nbytes for each in recording.series) == 16 * rows
    assert recording.series[0].times_s is recording.series[1].times_s
    assert spent_s < 20  # some 0.3 s of processor time on a desktop: this only tells a quadratic reader


# -- the real files -------------------------------------------------------------------------------------------------


@real
@pytest.mark.parametrize(
    ("name", "rows", "mean_w"),
    [
        ("rpi4-fan-off", 652, 5.658),
        ("rpi4-fan-on", 654, 6.529),
        ("xavier-nx-resnet50", 634, 11.76),
        ("agx-xavier-mode2-resnet50", 650, 7.744),
    ],
)
def test_the_power_logs_of_mlperf(name: str, rows: int, mean_w: float) -> None:
    recording = read_recording(DATA / name / "spl.txt")
    wall = series(recording, "wall")
    assert len(wall.values) == rows
    assert "lines skipped" not in recording.notes
    assert wall.values.mean() == pytest.approx(mean_w, abs=0.01)


@real
def test_the_tegrastats_of_a_tx2() -> None:
    recording = read_recording(DATA / "tegrastats-tx2/sample_log.txt")
    assert recording.energy == "VDD_IN"
    assert len(series(recording, "VDD_IN").values) == 432
    assert recording.notes["lines skipped"].startswith("1 (line 1;")  # the date above it
    assert series(recording, "VDD_IN").values[[0, -1]].tolist() == [1.84, 1.879]


@real
def test_the_discharges_of_a_robot() -> None:
    for name, rows in (("2024-03-21_batteryLife.csv", 2288), ("2024-04-02_batteryLife.csv", 2597)):
        battery = series(read_recording(DATA / "battery-pi5-robot" / name, cells=3), "battery")
        assert len(battery.values) == rows
        assert battery.step_s == 6.0
        assert battery.values[0] > 0.9
        assert battery.values[-1] == 0.0
