"""Joules of known courses of power, metered through the kernel's own INA3221 driver with a chip that takes its time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.energy.cases import CASES, Case, Outcome, meter
from tests.lab.energy.counted import LABELS, PATIENCE_S, CountedMachine
from tests.lab.fixtures import lab_system

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

STEPS = next(case for case in CASES if case.name == "steps")


@pytest.fixture(scope="module")
def kept() -> Iterator[list[dict[str, Any]]]:
    """What was found; written to the file that JOULEPATH_LAB_RECORD names, once all is done."""
    found: list[dict[str, Any]] = []
    yield found
    if place := os.environ.get("JOULEPATH_LAB_RECORD"):
        Path(place).write_text(json.dumps(found, indent=1) + "\n")


# A machine whose time is counted never rests, so each goes as soon as its class is done.
@pytest.fixture(scope="class")
def amd64(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedMachine]:
    """Continuous mode, no device tree: no labels."""
    with CountedMachine(lab_system("amd64"), tmp_path_factory.mktemp("energy-amd64")) as machine:
        machine.start()
        yield machine


@pytest.fixture(scope="class")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedMachine]:
    """Continuous mode, rails by the device tree's labels."""
    with CountedMachine(lab_system("arm64"), tmp_path_factory.mktemp("energy-arm64")) as machine:
        machine.start()
        yield machine


@pytest.fixture(scope="class")
def single_shot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedMachine]:
    """The driver makes each read wait, under its lock, for a conversion of all three channels."""
    folder = tmp_path_factory.mktemp("energy-single")
    with CountedMachine(lab_system("arm64"), folder, single_shot=True) as machine:
        machine.start()
        yield machine


def show(outcome: Outcome) -> None:
    """What a reader of the test's output wants to know."""
    rates = {name: round(outcome.rate_hz(name), 2) for name in outcome.stats}
    ratios = {length: round(found.ratio, 2) for length, found in outcome.by_length.items()}
    print(outcome.case, outcome.score, "stated/true by frame ms:", ratios, "reads a second:", rates)


def assert_what_is_asked(outcome: Outcome, total: str, least_hz: float) -> None:
    """Run within 2 %, 95 % of frames covered at a median of at most three errors, rates reached."""
    show(outcome)
    assert outcome.score.unavailable == 0
    assert abs(outcome.score.sum_error) <= 0.02
    assert outcome.score.coverage >= 0.95
    assert outcome.worst_ratio <= 3.0
    assert outcome.rate_hz(total) >= least_hz
    others = [name for name in outcome.stats if name != total]
    assert len(others) == 2
    assert all(outcome.rate_hz(name) >= 4.9 for name in others)


class TestByLabel:
    """arm64, where a device tree names the rails."""

    def test_steps(self, arm64: CountedMachine, kept: list[dict[str, Any]]) -> None:
        outcome = meter(arm64, STEPS)
        kept.append({"where": "arm64, device tree"} | outcome.record())
        assert tuple(outcome.stats) == LABELS
        assert_what_is_asked(outcome, arm64.total, 49.5)

    def test_a_level_reads_as_the_chip_rounds_it(self, arm64: CountedMachine) -> None:
        for microvolt, microampere, millivolts, milliamperes in (
            (5_003_000, 1_234_000, 5000, 1232),  # 625.4 steps of 8 mV; 154.25 steps of 40 uV over 5 mOhm
            (5_005_000, 1_237_000, 5008, 1240),
            (12_000_000, 0, 12000, 0),
            (4_997_000, -21_000, 5000, -24),  # 624.6 steps; -2.6 steps
        ):
            arm64.hold(2, microvolt, microampere)
            read = arm64.ok(f"cat {arm64.chip}/in2_input {arm64.chip}/curr2_input", PATIENCE_S).split()
            assert (int(read[0]), int(read[1])) == (millivolts, milliamperes), (microvolt, microampere)

    def test_a_warning_limit_raises_its_alarm(self, arm64: CountedMachine) -> None:
        arm64.ok(f"echo 1000 > {arm64.chip}/curr3_max", PATIENCE_S)
        seen = []
        for microampere in (900_000, 1_100_000, 900_000):
            arm64.hold(3, 5_000_000, microampere)
            seen.append(arm64.ok(f"cat {arm64.chip}/curr3_max_alarm", PATIENCE_S))
        assert seen == ["0", "1", "0"]

    def test_an_unplugged_chip_gives_no_value_and_comes_back(self, arm64: CountedMachine) -> None:
        unplugged = "/sys/module/jp_ina3221/parameters/unplugged"
        arm64.ok(f"echo 1 > {unplugged}", PATIENCE_S)
        assert "No such device or address" in arm64.run(f"cat {arm64.chip}/curr1_input", PATIENCE_S).out
        arm64.ok(f"echo 0 > {unplugged} && cat {arm64.chip}/curr1_input", PATIENCE_S)


class TestWhereEveryReadWaits:
    """arm64, single-shot mode by the device tree: what drivers before Linux 5.14 do in every mode, and longer."""

    def test_steps(self, single_shot: CountedMachine, kept: list[dict[str, Any]]) -> None:
        read = f"[open('{single_shot.chip}/curr1_input').read() for _ in range(20)]"
        waits_s = single_shot.ok(
            f'python3 -c "import time; t = time.monotonic(); {read}; print((time.monotonic() - t) / 20)"', PATIENCE_S
        )
        assert float(waits_s) >= 0.0065  # a round of the chip, whose clock is 0.7 % fast
        outcome = meter(single_shot, STEPS)
        kept.append({"where": "arm64, every read waits", "wait_s": float(waits_s)} | outcome.record())
        # Two waits for each rail leave the bus next to no spare time at these rates.
        assert_what_is_asked(outcome, single_shot.total, 47.0)


class TestWithoutDeviceTree:
    """amd64: the same chip and driver, rails by number."""

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_course(self, amd64: CountedMachine, case: Case, kept: list[dict[str, Any]]) -> None:
        outcome = meter(amd64, case)
        kept.append({"where": "amd64"} | outcome.record())
        if case is STEPS:
            assert_what_is_asked(outcome, amd64.total, 49.5)
        else:
            show(outcome)
            assert outcome.score.unavailable == 0
            assert abs(outcome.score.sum_error) <= 0.02
            assert outcome.score.coverage >= 0.93  # 95 %, less three times the scatter of a share over 900 frames
