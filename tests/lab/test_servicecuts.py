"""Power cuts (SIGKILL of qemu) of a machine on which the whole service runs under systemd."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.lab.cuts import COMMIT_S
from tests.lab.fixtures import MEMORY_MIB, installed_system
from tests.lab.machine import Machine, Settings
from tests.lab.subject import COMMIT_INTERVAL_S, Subject

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

SEED = 20
SERVICE_CUTS = 3


def test_the_whole_service_comes_back_from_a_cut(lab_folder: Path) -> None:
    moments = random.Random(SEED)
    settings = Settings(memory_mib=MEMORY_MIB, cache="writeback")
    with Machine(installed_system("amd64"), lab_folder / "service-cuts", settings) as machine:
        subject = Subject(machine)
        _boot(subject)
        for _ in range(SERVICE_CUTS):
            subject.frames_flow(20 + moments.randrange(20))
            given = subject.status()["frames"]
            machine.cut_power()
            _boot(subject)
            _check_after_cut(subject, given)


def _boot(subject: Subject) -> None:
    subject.machine.boot()
    subject.machine.call("board.load_all", timeout_s=120)
    subject.until("frames, by itself", lambda s: s["frames"] > 3)


def _check_after_cut(subject: Subject, given: int) -> None:
    assert subject.journal("integrity") == "ok"
    subject.until_true("the cut run to be told", lambda: subject.journal("runs")[-2]["outcome"] == "interrupted")
    cut = subject.journal("runs")[-2]
    assert given - cut["frames"] <= 10 * (COMMIT_INTERVAL_S + COMMIT_S)
    assert cut["frames"] > 0
    print(f"service: {given} frames served, {cut['frames']} in the journal")
