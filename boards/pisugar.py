"""PiSugar 2 and 3 by the socket of pisugar-server: a line asks, a line answers.

    get battery          battery: 84.25                  percent
    get battery_v        battery_v: 3.98                 volts
    get battery_power_plugged  battery_power_plugged: true

The server makes the percentage from the cell's voltage by a table, so it is a model. Lines such as `single` come in
between when the board's button is pressed. `battery_i` is left alone: what it means differs between the models. One
connection is kept: versions of the server were seen to spin on a connection that its client closed. Models S have no
data. Source: PiSugar/pisugar-power-manager-rs, README and pisugar-server/src.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from boards.polled import Answer
from boards.sensor import SensorLost

SOCKET_NAME = "pisugar-server.sock"
PERIOD_S = 5.0

_TIMEOUT_S = 0.5
_MOST_BYTES = 4096
_MOST_EVENTS = 100
_EVENTS = {"single", "double", "long"}
_NUMBER = re.compile(r"-?[0-9]{1,6}(?:\.[0-9]{1,17})?")
_ASKED = {"battery": "number", "battery_v": "number", "battery_power_plugged": "flag"}


class PiSugar:
    """A connection that is opened when needed and dropped after any failure."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket: socket.socket | None = None
        self._rest = b""
        self._refused: set[str] = set()  # questions that this version of the server does not know

    def ask(self) -> Answer:
        """Percent, volts, and whether a charger is plugged in; what the server does not tell is left out.

        Raises SensorLost where the server cannot be reached, or tells no percentage.
        """
        found: dict[str, float | bool | str] = {}
        for name, kind in _ASKED.items():
            if name in self._refused:
                continue
            text = self._get(name)
            if kind == "number" and _NUMBER.fullmatch(text):
                found[name] = float(text)
            elif kind == "flag" and text in {"true", "false"}:
                found[name] = text == "true"
            elif name == "battery":
                raise SensorLost(f"{self.path}: the server tells no charge: {text[:60]!r}")
        return found

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._rest = b""

    def _get(self, name: str) -> str:
        """What the server says of `name`, "" for something else. A bare number says nothing of what it counts."""
        try:
            connection = self._socket = self._socket or _connected(self.path)
            connection.sendall(f"get {name}\n".encode())
            line = self._answer(connection)
        except OSError as error:
            self.close()
            raise SensorLost(f"{self.path}: {_why(error)}") from error
        label, colon, text = line.partition(":")
        if not colon or label != name:
            # An answer to something else, perhaps of several lines: what comes next would be out of step.
            self.close()
            if name == "battery":
                raise SensorLost(f"{self.path}: the server tells no charge: {line[:60]!r}")
            self._refused.add(name)
            return ""
        return text.strip()

    def _answer(self, connection: socket.socket) -> str:
        for _ in range(_MOST_EVENTS):
            line = self._line(connection)
            if line not in _EVENTS:
                return line
        raise ConnectionAbortedError("the server tells of its button and of nothing else")

    def _line(self, connection: socket.socket) -> str:
        while b"\n" not in self._rest:
            received = connection.recv(1024)
            if not received:
                raise ConnectionResetError("the server closed the connection")
            self._rest += received
            if len(self._rest) > _MOST_BYTES:
                raise ConnectionAbortedError("the server's answer has no end")
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace").strip()


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT_S:g} s"
    return error.strerror or str(error) or type(error).__name__
