from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boards.assembly import SensorBoard
from boards.linux import open_linux
from boards.nut import Nut, UnknownUps
from boards.roots import Roots
from boards.sensor import BoardError, Method, SensorLost
from boards.supply_options import NutAddress, supply_options
from tests.boards.conftest import FakeClock

BACK_UPS = {
    "battery.charge": "87",
    "battery.runtime": "1470",
    "battery.voltage.nominal": "12.0",
    "device.mfr": 'Big "B" \\ Sons',
    "ups.load": "9",
    "ups.realpower": "27.4",
    "ups.status": "OL CHRG",
}


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Server:
    """upsd on a real port, with one UPS; `say` may answer otherwise."""

    def __init__(self, name: str, variables: dict[str, str]) -> None:
        self.name = name
        self.variables = variables
        self.say: Callable[[str], bytes] = self.answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def answer(self, question: str) -> bytes:
        if question == "LIST UPS":
            lines = [f'UPS {self.name} "A UPS, they say"']
        elif question == f"LIST VAR {self.name}":
            lines = [f"VAR {self.name} {key} {quoted(value)}" for key, value in self.variables.items()]
        else:
            return b"ERR UNKNOWN-UPS\n"
        return "\n".join([f"BEGIN {question}", *lines, f"END {question}", ""]).encode()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5.0)
                try:
                    question = connection.recv(4096).decode().strip()
                    connection.sendall(self.say(question))
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)  # until the client has read it all
                except OSError:
                    continue


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine may need longer than a board would."""
    monkeypatch.setattr("boards.nut._TIMEOUT_S", 20.0)


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server("su700", dict(BACK_UPS))
    yield serving
    serving.close()


def ups(server: Server, name: str = "su700") -> Nut:
    return Nut(NutAddress(name, "127.0.0.1", server.port))


def opened(roots: Roots, server: Server, clock: FakeClock, name: str = "su700", **options: str) -> SensorBoard:
    supplies = supply_options("linux", {"nut": f"{name}@127.0.0.1:{server.port}", **options})
    return open_linux(roots, clock=clock, load_percent=lambda: 25.0, supplies=supplies)


def values(board: SensorBoard) -> dict[str, float]:
    return {channel.name: channel.sensor.read().value for channel in board.channels}


def test_a_ups_that_is_stated(server: Server, clock: FakeClock, roots_of: Callable[[str], Roots]) -> None:
    board = opened(roots_of("raspberry-pi-3"), server, clock, pack_wh="84")
    assert values(board) == {
        "cpu-thermal": 52.078,
        "battery": 0.87,
        "battery_energy_j": pytest.approx(0.87 * 84 * 3600),
        "mains": 1.0,
        "battery-low": 0.0,
        "load": 0.25,
    }
    found = {channel.name: channel for channel in board.channels}
    assert found["battery_energy_j"].method is Method.MODELLED
    # A value that is asked each 5 s may not be sampled as if it were fresh each second.
    assert {found[name].period_s for name in ("battery", "battery_energy_j", "mains", "battery-low")} == {5.0}
    alarm = found["battery-low"].alarm
    assert alarm is not None
    assert (alarm.level, alarm.kind) == ("critical", "battery_critical")
    assert board.info.details["nut"].startswith("battery.charge 87.0, battery.runtime 1470.0, ups.realpower 27.4")
    assert board.energy_channel is None  # what a UPS feeds is not this board alone
    board.close()


def test_a_stated_ups_comes_before_the_kernels_battery(
    server: Server, clock: FakeClock, roots_of: Callable[[str], Roots]
) -> None:
    board = opened(roots_of("hat-max17040"), server, clock)
    assert values(board)["battery"] == 0.87
    board.close()


@pytest.mark.parametrize(
    ("status", "on_mains", "low"),
    [
        ("OL", 1.0, 0.0),
        ("OB DISCHRG", 0.0, 0.0),
        ("OB LB", 0.0, 1.0),
        ("OL CHRG LB", 1.0, 1.0),
        ("FSD OL", 1.0, 1.0),
        ("WAIT", None, None),
        ("", None, None),
    ],
)
def test_what_the_status_says(server: Server, status: str, on_mains: float | None, low: float | None) -> None:
    server.variables["ups.status"] = status
    answer = ups(server).ask()
    assert (answer.get("on_mains"), answer.get("battery_low")) == (on_mains, low)


def test_values_are_unquoted(server: Server) -> None:
    assert ups(server).variables() == BACK_UPS
    assert ups(server).names() == ["su700"]
    assert ups(server).ask() == {
        "battery.charge": 87.0,
        "battery.runtime": 1470.0,
        "ups.load": 9.0,
        "ups.realpower": 27.4,
        "on_mains": True,
        "battery_low": False,
    }


@pytest.mark.parametrize("number", ["1e2", "0x57", "87,5", "nan", "", "٨٧", "8 7", "--8"])
def test_what_is_no_number_by_the_guide_is_left_out(server: Server, number: str) -> None:
    server.variables["battery.charge"] = number
    assert "battery.charge" not in ups(server).ask()


def test_a_name_that_the_server_does_not_have(
    server: Server, clock: FakeClock, roots_of: Callable[[str], Roots]
) -> None:
    with pytest.raises(UnknownUps, match="UNKNOWN-UPS"):
        ups(server, "other").ask()
    with pytest.raises(BoardError, match=r"NUT other@127\.0\.0\.1.*the server has: su700"):
        opened(roots_of("raspberry-pi-3"), server, clock, name="other")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"ERR DRIVER-NOT-CONNECTED\n", "refuses: DRIVER-NOT-CONNECTED"),
        (b"ERR ACCESS-DENIED\n", "refuses: ACCESS-DENIED"),
        (b"", "before the end of the list"),
        (b'BEGIN LIST VAR su700\nVAR su700 battery.charge "87"\n', "before the end of the list"),
        (b"BEGIN LIST VAR other\nEND LIST VAR other\n", "answers something else"),
        (b"END LIST VAR su700\n", "answers something else"),
        (b'BEGIN LIST VAR su700\nVAR su700 battery.charge "87\n', "none of the protocol's"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers something else"),
        (b"BEGIN LIST VAR su700\n" + b'VAR su700 x "y"\n' * 9_000, "longer than 65536 bytes"),
    ],
)
def test_answers_that_are_none(server: Server, said: bytes, why: str) -> None:
    server.say = lambda question: said
    with pytest.raises(SensorLost, match=why):
        ups(server).ask()


def test_a_server_that_is_not_there_may_come_later(
    server: Server, clock: FakeClock, roots_of: Callable[[str], Roots]
) -> None:
    server.say = lambda question: b"ERR DATA-STALE\n"
    board = opened(roots_of("raspberry-pi-3"), server, clock)
    assert "DATA-STALE" in board.info.details["nut"]
    battery = next(channel for channel in board.channels if channel.name == "battery").sensor
    with pytest.raises(SensorLost, match="DATA-STALE"):
        battery.read()
    board.close()
    server.close()
    with pytest.raises(SensorLost, match="refused"):
        ups(server).ask()
    server._listening = socket.create_server(("127.0.0.1", 0))  # so that the fixture has something to close


def test_a_host_that_is_no_name() -> None:
    with pytest.raises(SensorLost, match=r"ups@a\.\.b:3493"):
        Nut(NutAddress("ups", "a..b")).ask()


def test_a_server_that_never_answers_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boards.nut._TIMEOUT_S", 0.3)
    done = Event()

    def silent(question: str) -> bytes:
        done.wait(20.0)
        return b""

    server.say = silent
    with pytest.raises(SensorLost, match=r"no answer within 0\.3 s"):
        ups(server).ask()
    done.set()


_LINE = st.one_of(
    st.binary(max_size=60),
    st.builds("VAR su700 {} {}".format, st.sampled_from(list(BACK_UPS)), st.text(max_size=12).map(quoted)).map(
        str.encode
    ),
    st.builds('VAR su700 battery.charge "{}"'.format, st.floats() | st.integers()).map(str.encode),
    st.sampled_from([b"BEGIN LIST VAR su700", b"END LIST VAR su700", b"ERR", b"VAR", b'"', b"\\"]),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(_LINE, max_size=8), framed=st.booleans())
def test_whatever_the_server_says_no_number_is_invented(server: Server, lines: list[bytes], framed: bool) -> None:
    head, tail = (b"BEGIN LIST VAR su700\n", b"\nEND LIST VAR su700\n") if framed else (b"", b"\n")
    server.say = lambda question: head + b"\n".join(lines) + tail
    try:
        answer = ups(server).ask()
    except SensorLost:
        return
    for value in answer.values():
        assert isinstance(value, float | bool)
        assert math.isfinite(value)
