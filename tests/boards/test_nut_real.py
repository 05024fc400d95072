"""Against NUT itself: its server and its dummy driver, started here on a free port."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from boards.nut import Nut, UnknownUps
from boards.sensor import SensorLost
from boards.supply_options import NutAddress

PROGRAMS = Path(os.environ.get("JOULEPATH_NUT", "/lib/nut"))
pytestmark = pytest.mark.skipif(
    not (PROGRAMS / "upsd").exists() or not (PROGRAMS / "dummy-ups").exists(),
    reason=f"no upsd and dummy-ups in {PROGRAMS}: apt-get install nut-server (or set JOULEPATH_NUT)",
)
VARIABLES = {"battery.charge": "63", "battery.runtime": "900", "ups.realpower": "31", "ups.status": "OB DISCHRG"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _until_it_tells(ups: Nut) -> None:
    # The server answers before its driver does; the status is WAIT until then.
    for _ in range(100):
        with suppress(SensorLost):
            if "battery.charge" in ups.ask():
                return
        time.sleep(0.2)
    pytest.fail("upsd told no charge within 20 s")


def _ask_on(ups: Nut) -> None:
    for _ in range(100):
        ups.ask()
        time.sleep(0.2)


class RealUps:
    """A dummy UPS named `ours`, and the server that has it."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o750)
        port = _free_port()
        (folder / "ours.dev").write_text("".join(f"{name}: {value}\n" for name, value in VARIABLES.items()))
        (folder / "ups.conf").write_text(
            f'[ours]\n driver = dummy-ups\n port = {folder}/ours.dev\n desc = "A \\"UPS\\""\n'
        )
        (folder / "upsd.conf").write_text(f"LISTEN 127.0.0.1 {port}\n")
        (folder / "upsd.users").touch()
        places = ("NUT_CONFPATH", "NUT_STATEPATH", "NUT_ALTPIDPATH", "NUT_PIDPATH")
        self._environment = os.environ | dict.fromkeys(places, str(folder))
        self.driver = self._start("dummy-ups", "-a", "ours")
        self.server = self._start("upsd", "-P", str(folder))
        self.ups = Nut(NutAddress("ours", "127.0.0.1", port))

    def close(self) -> None:
        for process in (self.server, self.driver):
            process.terminate()
            process.wait(timeout=10)

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(PROGRAMS / program), "-u", getpass.getuser(), "-D", *arguments]
        return subprocess.Popen(
            command,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture
def real(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealUps]:
    monkeypatch.setattr("boards.nut._TIMEOUT_S", 20.0)
    running = RealUps(tmp_path_factory.mktemp("nut"))
    try:
        _until_it_tells(running.ups)
        yield running
    finally:
        running.close()


def test_nut_itself_is_understood(real: RealUps) -> None:
    assert real.ups.names() == ["ours"]
    assert VARIABLES.items() <= real.ups.variables().items()
    assert real.ups.ask() == {
        "battery.charge": 63.0,
        "battery.runtime": 900.0,
        "ups.realpower": 31.0,
        "on_mains": False,
        "battery_low": False,
    }
    with pytest.raises(UnknownUps):
        Nut(NutAddress("other", real.ups.address.host, real.ups.address.port)).ask()


def test_a_driver_that_dies_is_told(real: RealUps) -> None:
    real.driver.kill()
    real.driver.wait()
    with pytest.raises(SensorLost, match=r"DRIVER-NOT-CONNECTED|DATA-STALE"):
        _ask_on(real.ups)
