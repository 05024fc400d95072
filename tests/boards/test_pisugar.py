from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from boards.assembly import SensorBoard
from boards.linux import open_linux
from boards.pisugar import SOCKET_NAME, PiSugar
from boards.polled import Polled, PolledValue
from boards.roots import Roots
from boards.sensor import Method, SensorLost
from boards.supply_options import supply_options
from tests.boards.conftest import FakeClock

PISUGAR_3 = {"battery": "84.25", "battery_v": "3.98", "battery_power_plugged": "false"}


class Server:
    """A pisugar-server on a real socket: one answer a line, from `answers` or by `say`."""

    def __init__(self, path: Path, answers: dict[str, str]) -> None:
        self.path = path
        self.answers = answers
        self.say: Callable[[str], bytes] = self._answer
        self.connections = 0
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        self._open: list[socket.socket] = []
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            connection.close()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _answer(self, question: str) -> bytes:
        name = question.removeprefix("get ")
        if name in self.answers:
            return f"{name}: {self.answers[name]}\n".encode()
        return b"error: unrecognized subcommand\nHint: use 'help' to see all available commands\n"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            while received := connection.recv(4096):
                for question in received.decode().splitlines():
                    connection.sendall(self.say(question))
        except OSError:
            return


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine may need longer than a board would."""
    monkeypatch.setattr("boards.pisugar._TIMEOUT_S", 20.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "tmp").mkdir()
    serving = Server(tmp_path / "tmp" / SOCKET_NAME, dict(PISUGAR_3))
    yield serving
    serving.close()


@pytest.fixture
def client(server: Server) -> Iterator[PiSugar]:
    asking = PiSugar(server.path)
    yield asking
    asking.close()


def opened(server: Server, clock: FakeClock, **options: str) -> SensorBoard:
    supplies = supply_options("linux", options)
    return open_linux(Roots.under(server.path.parents[1]), clock=clock, load_percent=lambda: 25.0, supplies=supplies)


def test_a_pisugar_is_found_by_its_socket(server: Server, clock: FakeClock) -> None:
    board = opened(server, clock, pack_wh="18.5")
    found = {channel.name: channel for channel in board.channels}
    assert {name: channel.sensor.read().value for name, channel in found.items()} == {
        "battery": pytest.approx(0.8425),
        "battery_energy_j": pytest.approx(0.8425 * 18.5 * 3600),
        "mains": 0.0,
        "load": 0.25,
    }
    assert found["battery"].method is Method.MODELLED
    assert found["battery_energy_j"].method is Method.MODELLED
    assert {found[name].period_s for name in ("battery", "battery_energy_j", "mains")} == {5.0}
    assert "voltage table" in board.info.details["battery"]
    board.close()


def test_one_connection_serves_all_questions(server: Server, client: PiSugar) -> None:
    answers = [client.ask() for _ in range(3)]
    assert answers == [{"battery": 84.25, "battery_v": 3.98, "battery_power_plugged": False}] * 3
    assert server.connections == 1


def test_a_pressed_button_is_no_answer(server: Server, client: PiSugar) -> None:
    server.say = lambda question: b"single\nlong\n" + server._answer(question)
    assert client.ask()["battery"] == 84.25


def test_an_older_server_that_does_not_know_a_question(server: Server, client: PiSugar) -> None:
    del server.answers["battery_power_plugged"]
    assert client.ask() == {"battery": 84.25, "battery_v": 3.98}
    assert client.ask() == {"battery": 84.25, "battery_v": 3.98}
    assert server.connections == 2  # dropped once, and never asked again


def test_a_model_s_has_no_data(server: Server, client: PiSugar) -> None:
    server.answers["battery"] = "Require initialization"
    with pytest.raises(SensorLost, match="tells no charge: 'Require initialization'"):
        client.ask()


def test_a_server_that_goes_and_comes_back(server: Server, client: PiSugar) -> None:
    client.ask()
    server.close()
    for _ in range(2):
        with pytest.raises(SensorLost, match=SOCKET_NAME):
            client.ask()
    again = Server(server.path, {"battery": "12"})
    assert client.ask() == {"battery": 12.0}
    again.close()
    server._listening = socket.socket()  # so that the fixture has something to close
    server._listening.bind(("127.0.0.1", 0))
    server._listening.listen()


def test_a_server_that_never_answers_is_not_waited_for(
    server: Server, client: PiSugar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boards.pisugar._TIMEOUT_S", 0.5)
    server.say = lambda question: b""
    with pytest.raises(SensorLost, match=r"no answer within 0\.5 s"):
        client.ask()


def test_a_board_opens_before_its_server_answers(server: Server, clock: FakeClock) -> None:
    server.answers["battery"] = "I2C error"
    board = opened(server, clock)
    battery = next(channel for channel in board.channels if channel.name == "battery")
    with pytest.raises(SensorLost, match="I2C error"):
        battery.sensor.read()
    assert "I2C error" in board.info.details["pisugar"]
    board.close()


def test_it_can_be_left_alone(server: Server, clock: FakeClock) -> None:
    board = opened(server, clock, pisugar="no")
    assert [channel.name for channel in board.channels] == ["load"]
    assert server.connections == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(texts=[b"0"])
@given(texts=st.lists(st.binary(max_size=80) | st.text(max_size=40).map(str.encode), min_size=1, max_size=3))
def test_whatever_the_server_says_no_number_is_invented(server: Server, texts: list[bytes]) -> None:
    said = iter(texts * 3)
    server.say = lambda question: next(said, b"") + b"\n"
    client = PiSugar(server.path)
    polled = Polled("pisugar", client.ask, 5.0, on_close=client.close)
    polled.refresh()
    try:
        value = PolledValue(polled, "battery", low=0.0, high=100.0, scale=0.01).read().value
    except SensorLost:
        return
    finally:
        polled.close()
    assert math.isfinite(value)
    assert 0.0 <= value <= 1.0
    assert any(b"battery:" in text for text in texts)


def test_a_button_that_never_ends_is_cut_off(server: Server, client: PiSugar) -> None:
    server.say = lambda question: b"single\n" * 200
    with pytest.raises(SensorLost, match="of its button and of nothing else"):
        client.ask()


def test_an_endless_line_is_cut_off(server: Server, client: PiSugar) -> None:
    server.say = lambda question: b"x" * 10_000
    with pytest.raises(SensorLost, match="no end"):
        client.ask()


# -- asked in the background ----------------------------------------------------------------------------------


def test_an_old_answer_is_none(clock: FakeClock) -> None:
    polled = Polled("service", lambda: {"value": 7.0}, 5.0, clock=clock)
    value = PolledValue(polled, "value", low=0.0, high=10.0)
    with pytest.raises(SensorLost, match="not asked yet"):
        value.read()
    polled.refresh()
    clock.forward(15.0)
    assert value.read().value == 7.0
    assert value.read().monotonic_ns == 1_000_000_000  # when it held, not when it was read
    clock.forward(0.1)
    with pytest.raises(SensorLost, match="the last answer is 15 s old"):
        value.read()


def test_a_value_out_of_bounds_and_one_that_is_not_there(clock: FakeClock) -> None:
    polled = Polled("service", lambda: {"value": 700.0, "word": "x"}, 5.0, clock=clock)
    polled.refresh()
    for key, why in (("value", "implausible value 700"), ("word", "no word"), ("other", "no other")):
        with pytest.raises(SensorLost, match=why):
            PolledValue(polled, key, low=0.0, high=100.0).read()


def test_the_reader_never_waits_for_the_service() -> None:
    asked, answer = Event(), Event()

    def slow() -> dict[str, float]:
        asked.set()
        answer.wait(10.0)
        return {"value": 1.0}

    polled = Polled("slow", slow, 0.001)
    polled.start()
    assert asked.wait(10.0)
    with pytest.raises(SensorLost, match="not asked yet"):
        polled.latest()
    answer.set()
    polled.close()
    polled.close()
