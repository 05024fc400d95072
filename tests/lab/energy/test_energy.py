"""Joules of known courses of power, metered through the kernel's own INA3221 driver with a chip that takes its time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.energy.cases import CASES, Case, Outcome, meter
from tests.lab.energy.counted import LABELS, PATIENCE_S, CountedMachine
from tests.lab.fixtures import lab_system

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

STEPS = next(case for case in CASES if case.name == "steps")


@pytest.fixture(scope="module")
def amd64(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedMachine]:
    """Continuous mode, no device tree: no labels."""
    with CountedMachine(lab_system("amd64"), tmp_path_factory.mktemp("energy-amd64")) as machine:
        machine.start()
        yield machine


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedMachine]:
    """Continuous mode, rails by the device tree's labels."""
    with CountedMachine(lab_system("arm64"), tmp_path_factory.mktemp("energy-arm64")) as machine:
        machine.start()
        yield machine


@pytest.fixture(scope="module")
def single_shot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedMachine]:
    """The driver makes each read wait, under its lock, for a conversion of all three channels."""
    folder = tmp_path_factory.mktemp("energy-single")
    with CountedMachine(lab_system("arm64"), folder, single_shot=True) as machine:
        machine.start()
        yield machine


def assert_what_issue_asks(outcome: Outcome, machine: CountedMachine, least_hz: float) -> None:
    """Run within 2 %, 95 % of frames covered at a median of at most three errors, rates reached."""
    print(outcome.case, outcome.score, {name: outcome.rate_hz(name) for name in outcome.stats})
    assert outcome.score.unavailable == 0
    assert abs(outcome.score.sum_error) <= 0.02
    assert outcome.score.coverage >= 0.95
    assert outcome.score.ratio <= 3.0
    assert outcome.rate_hz(machine.total) >= least_hz
    others = [name for name in outcome.stats if name != machine.total]
    assert len(others) == 2
    assert all(outcome.rate_hz(name) >= 4.95 for name in others)


def test_steps_by_a_device_trees_label(arm64: CountedMachine) -> None:
    outcome = meter(arm64, STEPS)
    assert tuple(outcome.stats) == LABELS
    assert_what_issue_asks(outcome, arm64, 49.5)


def test_steps_where_every_read_waits(single_shot: CountedMachine) -> None:
    read = f"[open('{single_shot.chip}/curr1_input').read() for _ in range(20)]"
    waits_s = single_shot.ok(
        f'python3 -c "import time; t = time.monotonic(); {read}; print((time.monotonic() - t) / 20)"', PATIENCE_S
    )
    assert float(waits_s) >= 0.0065  # a round of the chip, whose clock is 0.7 % fast
    assert_what_issue_asks(meter(single_shot, STEPS), single_shot, 49.0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_courses_without_a_device_tree(amd64: CountedMachine, case: Case) -> None:
    outcome = meter(amd64, case)
    if case is STEPS:
        assert_what_issue_asks(outcome, amd64, 49.5)
    else:
        print(outcome.case, outcome.score)
        assert outcome.score.unavailable == 0
        assert abs(outcome.score.sum_error) <= 0.02
        assert outcome.score.coverage >= 0.93  # 95 %, less three times the scatter of a share over 900 frames


def test_a_level_reads_as_the_chip_rounds_it(arm64: CountedMachine) -> None:
    for microvolt, microampere, millivolts, milliamperes in (
        (5_003_000, 1_234_000, 5000, 1232),  # 625.4 steps of 8 mV; 154.25 steps of 40 uV over 5 mOhm
        (5_005_000, 1_237_000, 5008, 1240),
        (12_000_000, 0, 12000, 0),
        (4_997_000, -21_000, 5000, -24),  # 624.6 steps; -2.6 steps
    ):
        arm64.hold(2, microvolt, microampere)
        read = arm64.ok(f"cat {arm64.chip}/in2_input {arm64.chip}/curr2_input", PATIENCE_S).split()
        assert (int(read[0]), int(read[1])) == (millivolts, milliamperes), (microvolt, microampere)


def test_a_warning_limit_raises_its_alarm(arm64: CountedMachine) -> None:
    arm64.ok(f"echo 1000 > {arm64.chip}/curr3_max", PATIENCE_S)
    seen = []
    for microampere in (900_000, 1_100_000, 900_000):
        arm64.hold(3, 5_000_000, microampere)
        seen.append(arm64.ok(f"cat {arm64.chip}/curr3_max_alarm", PATIENCE_S))
    assert seen == ["0", "1", "0"]


def test_a_chip_that_is_unplugged_gives_no_value_and_comes_back(arm64: CountedMachine) -> None:
    unplugged = "/sys/module/jp_ina3221/parameters/unplugged"
    arm64.ok(f"echo 1 > {unplugged}", PATIENCE_S)
    assert "No such device or address" in arm64.run(f"cat {arm64.chip}/curr1_input", PATIENCE_S).out
    arm64.ok(f"echo 0 > {unplugged} && cat {arm64.chip}/curr1_input", PATIENCE_S)
