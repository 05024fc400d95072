"""The Raspberry Pi firmware's mailbox, by ioctl on `/dev/vcio`: no process is started for a value.

A property message is one buffer of little-endian 32-bit words: its size in bytes, a request code (0, the reply has
0x80000000), then a tag (id, room for the value in bytes, length with bit 31 set in the reply), the value, and a zero
word at the end. `vcgencmd` speaks the tag GET_GENCMD_RESULT: an error word, then a text of at most 1,020 bytes.

Kernels of 2026 add `/dev/vcio_gencmd`, which lets only that one tag through, and their images leave `/dev/vcio` to
root: so both nodes are tried, and what a property tag tells is asked as a command where tags are refused. Sources: the
kernel's drivers/char/broadcom/vcio.c and vcgencmd.c of raspberrypi/utils.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from boards.sensor import SensorLost
from boards.sysfs import Clock

GET_TEMPERATURE = 0x0003_0006
GET_THROTTLED = 0x0003_0046
GET_GENCMD_RESULT = 0x0003_0080
# _IOWR(100, 0, char *); the size of a pointer is part of the number, so 32-bit systems have another one.
IOCTL_MBOX_PROPERTY = (3 << 30) | (struct.calcsize("P") << 16) | (100 << 8)

_RESPONSE = 0x8000_0000
_ROOM = 1024  # what vcgencmd declares for the error word and the text
_COMMAND = re.compile(r"[a-z0-9_ ]{1,64}")
_THROTTLED = re.compile(r"throttled=0x([0-9a-fA-F]{1,8})")
_TEMPERATURE = re.compile(r"temp=(-?[0-9]{1,3}(?:\.[0-9]{1,3})?)'C")

Ioctl = Callable[[int, int, bytearray], object]


def system_ioctl(descriptor: int, request: int, buffer: bytearray) -> object:
    """The real ioctl: the kernel writes the reply into `buffer`. Raises OSError."""
    return fcntl.ioctl(descriptor, request, buffer, True)


class Mailbox:
    """One open node. Calls are serialised; every failure is a SensorLost, and the node is opened anew after one."""

    def __init__(
        self, path: Path, *, tags: bool = True, ioctl: Ioctl = system_ioctl, clock: Clock = time.monotonic_ns
    ) -> None:
        """`tags`: whether the node lets property tags through besides GET_GENCMD_RESULT."""
        self.path = path
        self.tags = tags
        self._ioctl = ioctl
        self._clock = clock
        self._fd: int | None = None
        self._lock = Lock()

    def property(self, tag: int, request: bytes, length: int) -> tuple[bytes, int]:
        """The `length` bytes that the firmware answers to a tag, and the time (monotonic ns) of the middle of the call.

        Raises SensorLost where the firmware does not know the tag or answers less.
        """
        buffer = _message(tag, request, length, spare=0)
        middle_ns = self._exchange(buffer)
        (indicator,) = struct.unpack_from("<I", buffer, 16)
        if not indicator & _RESPONSE:
            raise SensorLost(f"{self.path}: the firmware does not answer tag {tag:#010x}")
        if indicator & ~_RESPONSE < length:
            raise SensorLost(f"{self.path}: tag {tag:#010x}: {indicator & ~_RESPONSE} bytes, expected {length}")
        return bytes(buffer[20 : 20 + length]), middle_ns

    def command(self, command: str) -> tuple[str, int]:
        """The firmware's text for a `vcgencmd` command, and the monotonic time in ns at the middle of the call.

        Raises SensorLost where the firmware refuses the command, and ValueError for one that is no plain word.
        """
        if _COMMAND.fullmatch(command) is None:
            raise ValueError(f"{command!r} is no firmware command")
        buffer = _message(GET_GENCMD_RESULT, bytes(4) + command.encode() + b"\0", _ROOM, spare=4)
        middle_ns = self._exchange(buffer)
        (error,) = struct.unpack_from("<I", buffer, 20)
        text = bytes(buffer[24 : 24 + _ROOM]).partition(b"\0")[0].decode("ascii", "replace")
        if error or text.startswith("error="):
            raise SensorLost(f"{self.path}: the firmware refuses {command}: {text[:80].strip() or error}")
        return text, middle_ns

    def throttled(self) -> tuple[int, int]:
        """The bits of `get_throttled`, and the time. 0 undervoltage, 1 frequency capped, 2 throttled, 3 soft
        temperature limit; 16-19 the same since they were last cleared."""
        if not self.tags:
            return self.throttled_by_command()
        # A value of 0 clears none of the bits 16-19.
        value, middle_ns = self.property(GET_THROTTLED, struct.pack("<I", 0), 4)
        return struct.unpack("<I", value)[0], middle_ns

    def throttled_by_command(self) -> tuple[int, int]:
        """The same bits as `vcgencmd` tells them: its bits 16-19 hold since the start of the board."""
        text, middle_ns = self.command("get_throttled")
        found = _THROTTLED.fullmatch(text.strip())
        if found is None:
            raise SensorLost(f"{self.path}: get_throttled answers {text[:40]!r}")
        return int(found[1], 16), middle_ns

    def temperature_c(self) -> tuple[float, int]:
        """The processor's temperature in degrees Celsius, as the firmware has it, and the time."""
        if not self.tags:
            text, middle_ns = self.command("measure_temp")
            found = _TEMPERATURE.fullmatch(text.strip())
            if found is None:
                raise SensorLost(f"{self.path}: measure_temp answers {text[:40]!r}")
            return float(found[1]), middle_ns
        value, middle_ns = self.property(GET_TEMPERATURE, struct.pack("<II", 0, 0), 8)
        return struct.unpack("<Ii", value)[1] / 1000.0, middle_ns

    def close(self) -> None:
        with self._lock:
            self._close()

    def _exchange(self, buffer: bytearray) -> int:
        size = len(buffer)
        with self._lock:
            try:
                if self._fd is None:
                    self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                before_ns = self._clock()
                self._ioctl(self._fd, IOCTL_MBOX_PROPERTY, buffer)
                after_ns = self._clock()
            except OSError as error:
                self._close()
                raise SensorLost(why_closed(self.path, error)) from error
        if len(buffer) != size:
            raise SensorLost(f"{self.path}: the reply is {len(buffer)} bytes, not {size}")
        told, code = struct.unpack_from("<II", buffer)
        if told != size or code != _RESPONSE:
            raise SensorLost(f"{self.path}: the firmware failed: size {told} of {size}, code {code:#010x}")
        return (before_ns + after_ns) // 2

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def open_mailbox(
    dev: Path, *, ioctl: Ioctl = system_ioctl, clock: Clock = time.monotonic_ns
) -> tuple[Mailbox | None, str]:
    """The mailbox that answers, or None; and one sentence that says which it is, or what is missing and what to do."""
    refused = []
    for name, tags in (("vcio", True), ("vcio_gencmd", False)):
        mailbox = Mailbox(dev / name, tags=tags, ioctl=ioctl, clock=clock)
        if not mailbox.path.exists():
            continue
        try:
            mailbox.throttled()
        except SensorLost as error:
            mailbox.close()
            refused.append(str(error))
            continue
        return mailbox, str(mailbox.path)
    if refused:
        return None, "; ".join(refused)
    return None, (
        f"no {dev}/vcio: only Raspberry Pi's own kernel has it, Debian's has not; without it the throttling bits "
        "and the Pi 5's power rails are unknown"
    )


def why_closed(path: Path, error: OSError) -> str:
    """One sentence about a node that cannot be used, with the remedy where there is one."""
    if isinstance(error, PermissionError):
        return f"{path}: permission denied; add the user to the group video (usermod -aG video NAME) and log in anew"
    return f"{path}: {error.strerror or error}"


def _message(tag: int, request: bytes, room: int, *, spare: int) -> bytearray:
    """A message with one tag; `spare` bytes lie between the value's room and the end, as vcgencmd lays it out."""
    size = 20 + room + spare + 4
    message = bytearray(size)
    struct.pack_into("<5I", message, 0, size, 0, tag, room, 0)
    message[20 : 20 + len(request)] = request
    return message
