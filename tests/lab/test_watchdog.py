"""A board whose kernel hangs is switched off by its hardware watchdog, with the configuration that the image ships."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cache import REPOSITORY
from tests.lab.fixtures import lab_system
from tests.lab.machine import Machine, Settings

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

CONFIGURATION = REPOSITORY / "systemd/image/root/etc/systemd/system.conf.d/joulepath-image.conf"
WATCHDOG_S = 14
STATE = "/sys/class/watchdog/watchdog0/state"


@pytest.fixture
def watched(lab_folder: Path) -> Iterator[Machine]:
    """A bare amd64 machine with a watchdog, whose kernel stays where it is after a panic."""
    watchdog = ("-device", "i6300esb", "-action", "watchdog=poweroff")
    settings = Settings(memory_mib=512, extra=watchdog, kernel_words="panic=0")
    with Machine(lab_system("amd64"), lab_folder / "watchdog", settings) as machine:
        machine.boot()
        machine.ok("modprobe i6300esb")
        yield machine


def test_a_hung_kernel_is_switched_off_and_a_busy_one_is_not(watched: Machine) -> None:
    assert f"RuntimeWatchdogSec={WATCHDOG_S}s" in CONFIGURATION.read_text()
    assert watched.ok(f"cat {STATE}") == "inactive"
    place = watched.put(CONFIGURATION)
    watched.ok(
        f"mkdir -p /etc/systemd/system.conf.d && cp {place} /etc/systemd/system.conf.d && systemctl daemon-reexec"
    )
    watched.wait_for(f"grep -qx active {STATE}", timeout_s=30)
    time.sleep(2 * WATCHDOG_S)
    assert watched.ok("echo alive") == "alive"
    began = time.monotonic()
    watched.run("(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &")
    watched.wait_off(timeout_s=10 * WATCHDOG_S)
    print(f"off {time.monotonic() - began:.0f} s after the panic")
    assert time.monotonic() - began > 2, "the panic itself ended the machine"
