"""A Raspberry Pi's firmware behind the ioctl: it reads the message word by word, as strictly as the kernel does."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

from boards.mailbox import GET_GENCMD_RESULT, GET_TEMPERATURE, GET_THROTTLED, IOCTL_MBOX_PROPERTY

# Rail: current channel, amperes, voltage channel, volts; in the firmware's order and with its number of digits.
RAILS = {
    "3V7_WL_SW": (0, "0.09368929", 8, "3.69977600"),
    "3V3_SYS": (1, "0.08783370", 9, "3.31003300"),
    "1V8_SYS": (2, "0.18054710", 10, "1.80512600"),
    "DDR_VDD2": (3, "0.22543980", 11, "1.10476100"),
    "DDR_VDDQ": (4, "0.06666720", 12, "0.60146460"),
    "1V1_SYS": (5, "0.17566740", 13, "1.11025500"),
    "0V8_SW": (6, "0.37670900", 14, "0.80146440"),
    "VDD_CORE": (7, "6.22421000", 15, "0.86173300"),
    "3V3_DAC": (17, "0.00006105", 20, "3.31318300"),
    "3V3_ADC": (18, "0.00036630", 21, "3.30677300"),
    "0V8_AON": (16, "0.00305250", 19, "0.80029220"),
    "HDMI": (22, "0.02417580", 23, "5.08664000"),
}
RAILS_W = sum(float(amperes) * float(volts) for _, amperes, _, volts in RAILS.values())
INPUTS = {"EXT5V": (24, "5.09066000"), "BATT": (25, "0.00000000")}
SWEEP = "\n".join(
    [f"{rail + '_A':>12} current({number})={amperes}A" for rail, (number, amperes, _, _) in RAILS.items()]
    + [f"{rail + '_V':>12} volt({number})={volts}V" for rail, (_, _, number, volts) in RAILS.items()]
    + [f"{rail + '_V':>12} volt({number})={volts}V" for rail, (number, volts) in INPUTS.items()]
)
UNKNOWN = 'error=1 error_msg="Command not registered"'


class FakeFirmware:
    """Called like the ioctl. `only_commands` is what /dev/vcio_gencmd lets through; `calls` are the tags asked."""

    def __init__(self, *, bits: int = 0, temperature_mc: int = 48_312, sweep: str = UNKNOWN) -> None:
        self.bits = bits
        self.temperature_mc = temperature_mc
        self.sweep = sweep
        self.only_commands = False
        self.calls: list[int] = []
        self.during: Callable[[], None] = lambda: None

    def __call__(self, descriptor: int, request: int, buffer: bytearray) -> int:
        assert descriptor >= 0
        assert request == IOCTL_MBOX_PROPERTY
        self.during()
        (size,) = struct.unpack_from("<I", buffer, 0)
        if size != len(buffer) or size % 4 or struct.unpack_from("<I", buffer, 4) != (0,):
            raise OSError(errno.EINVAL, "Invalid argument")
        at = 8
        while at + 4 <= size:
            (tag,) = struct.unpack_from("<I", buffer, at)
            if tag == 0:
                struct.pack_into("<I", buffer, 4, 0x8000_0000)
                return 0
            _, room, indicator = struct.unpack_from("<3I", buffer, at)
            if room % 4 or at + 12 + room > size or indicator & 0x8000_0000:
                raise OSError(errno.EINVAL, "Invalid argument")
            if self.only_commands and tag != GET_GENCMD_RESULT:
                raise PermissionError(errno.EPERM, "Operation not permitted")
            self.calls.append(tag)
            self._answer(tag, room, buffer, at)
            at += 12 + room
        raise OSError(errno.EINVAL, "Invalid argument")  # no end tag

    def _answer(self, tag: int, room: int, buffer: bytearray, at: int) -> None:
        if tag == GET_THROTTLED and room >= 4:
            (clear,) = struct.unpack_from("<I", buffer, at + 12)
            self._reply(buffer, at, struct.pack("<I", self.bits))
            self.bits &= ~(clear << 16)
        elif tag == GET_TEMPERATURE and room >= 8:
            self._reply(buffer, at, struct.pack("<Ii", 0, self.temperature_mc))
        elif tag == GET_GENCMD_RESULT:
            command = bytes(buffer[at + 16 : at + 12 + room]).partition(b"\0")[0].decode("ascii")
            self._reply(buffer, at, bytes(4) + self._text(command).encode() + b"\0")

    def _text(self, command: str) -> str:
        if command == "get_throttled":
            return f"throttled=0x{self.bits:x}"
        if command == "measure_temp":
            return f"temp={self.temperature_mc / 1000:.1f}'C"
        return self.sweep if command == "pmic_read_adc" else UNKNOWN

    @staticmethod
    def _reply(buffer: bytearray, at: int, value: bytes) -> None:
        struct.pack_into("<I", buffer, at + 8, 0x8000_0000 | len(value))
        buffer[at + 12 : at + 12 + len(value)] = value
