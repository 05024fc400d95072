"""A UPS by NUT, the Network UPS Tools: `LIST VAR ups` over TCP, as `upsc` asks it.

    LIST VAR su700
    BEGIN LIST VAR su700
    VAR su700 battery.charge "100"
    VAR su700 ups.status "OL CHRG"
    END LIST VAR su700

Values stand in double quotes, with backslashes before quotes and backslashes. `ERR MESSAGE` is a refusal. Source: the
NUT developer guide, chapter network protocol, and its list of variable names.
"""

from __future__ import annotations

import re
import shlex
import socket
import time
from collections.abc import Callable, Iterator

from boards.polled import Answer
from boards.sensor import SensorLost
from boards.supply_options import NutAddress

PERIOD_S = 5.0

_TIMEOUT_S = 1.0  # for all of an answer, however slowly it drips
_MOST_BYTES = 65_536
_NUMBER = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?")  # the guide forbids exponents, commas and hexadecimals
_NUMBERS = ("battery.charge", "battery.runtime", "ups.realpower", "ups.load")


class UnknownUps(SensorLost):
    """The server has no UPS of that name."""


class Nut:
    """A UPS of a server; each question is a connection of its own, as `upsc` does."""

    def __init__(self, address: NutAddress) -> None:
        self.address = address
        self.place = f"NUT {address.name}@{address.host}:{address.port}"

    def ask(self) -> Answer:
        """The numbers that this project knows, and the flags ``on_mains`` and ``battery_low`` from `ups.status`.

        Raises SensorLost where there is no answer, UnknownUps where the server has no such UPS.
        """
        variables = self.variables()
        found: dict[str, float | bool | str] = {
            name: float(variables[name]) for name in _NUMBERS if _NUMBER.fullmatch(variables.get(name, ""))
        }
        status = variables.get("ups.status", "").split()
        if "OB" in status or "OL" in status:
            found["on_mains"] = "OB" not in status
            # FSD is a forced shutdown: to be taken like a battery that ends, says the guide.
            found["battery_low"] = "LB" in status or "FSD" in status
        return found

    def variables(self) -> dict[str, str]:
        """All variables of the UPS as texts."""
        lines = self._conversation(f"LIST VAR {self.address.name}")
        return {words[2]: words[3] for words in lines if len(words) == 4 and words[:2] == ["VAR", self.address.name]}

    def names(self) -> list[str]:
        """The names of the UPSes that the server has."""
        return [words[1] for words in self._conversation("LIST UPS") if len(words) == 3 and words[0] == "UPS"]

    def _conversation(self, question: str) -> list[list[str]]:
        try:
            with socket.create_connection((self.address.host, self.address.port), timeout=_TIMEOUT_S) as connection:
                connection.sendall(f"{question}\n".encode("ascii"))
                return list(_answered(question, self._words(_lines(connection))))
        except (OSError, UnicodeError) as error:  # a host's name may be one that cannot be encoded
            why = (
                f"no answer within {_TIMEOUT_S:g} s"
                if isinstance(error, TimeoutError)
                else getattr(error, "strerror", None) or error
            )
            raise SensorLost(f"{self.place}: {why}") from error

    def _words(self, lines: Iterator[str]) -> Iterator[list[str]]:
        for line in lines:
            try:
                words = shlex.split(line)
            except ValueError as error:
                raise SensorLost(f"{self.place}: a line that is none of the protocol's: {line[:60]!r}") from error
            if words[:1] == ["ERR"]:
                kind = UnknownUps if words[1:2] == ["UNKNOWN-UPS"] else SensorLost
                raise kind(f"{self.place}: the server refuses: {' '.join(words[1:])}")
            yield words


def _answered(question: str, lines: Iterator[list[str]]) -> Iterator[list[str]]:
    """The words of each line between BEGIN and END of the list that was asked for."""
    head = question.split()
    begun = False
    for words in lines:
        if words == ["END", *head] and begun:
            return
        if begun:
            yield words
        elif words != ["BEGIN", *head]:
            raise ConnectionAbortedError(f"the server answers something else: {' '.join(words)[:60]!r}")
        begun = True
    raise ConnectionAbortedError("the server closed the connection before the end of the list")


def _lines(connection: socket.socket, clock: Callable[[], float] = time.monotonic) -> Iterator[str]:
    until, rest, seen = clock() + _TIMEOUT_S, b"", 0
    while True:
        left_s = until - clock()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        received = connection.recv(4096)
        if not received:
            return
        seen += len(received)
        if seen > _MOST_BYTES:
            raise ConnectionAbortedError(f"the server's answer is longer than {_MOST_BYTES} bytes")
        *lines, rest = (rest + received).split(b"\n")
        yield from (line.decode("utf-8", "replace").rstrip("\r") for line in lines if line.strip())
