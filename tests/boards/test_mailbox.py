from __future__ import annotations

import errno
import fcntl
import math
import os
import re
import struct
import termios
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from boards.mailbox import GET_GENCMD_RESULT, GET_THROTTLED, IOCTL_MBOX_PROPERTY, Mailbox, open_mailbox, system_ioctl
from boards.pmic import PmicSensor, find_pmic, parse_sweep
from boards.raspberry_pi import FirmwareFlag, FirmwareTemperature
from boards.sensor import SensorLost
from tests.boards.conftest import FakeClock
from tests.boards.firmware import INPUTS, RAILS, RAILS_W, SWEEP, FakeFirmware

NODE = Path(os.devnull)  # a node that opens; the ioctl never reaches it


def mailbox(firmware: FakeFirmware, *, tags: bool = True, clock: FakeClock | None = None) -> Mailbox:
    return Mailbox(NODE, tags=tags, ioctl=firmware, clock=clock or FakeClock())


def test_the_number_of_the_ioctl_is_the_kernels() -> None:
    by_pointer_bytes = {8: 0xC008_6400, 4: 0xC004_6400}
    assert by_pointer_bytes[struct.calcsize("P")] == IOCTL_MBOX_PROPERTY


def test_the_message_is_what_vcgencmd_sends() -> None:
    sent: list[bytes] = []

    def record(descriptor: int, request: int, buffer: bytearray) -> int:
        sent.append(bytes(buffer))
        return FakeFirmware(sweep=SWEEP)(descriptor, request, buffer)

    Mailbox(NODE, ioctl=record).command("pmic_read_adc")
    assert len(sent[0]) == (1024 // 4 + 7) * 4
    assert struct.unpack_from("<6I", sent[0]) == (1052, 0, 0x30080, 1024, 0, 0)
    assert sent[0][24:] == b"pmic_read_adc" + bytes(1028 - 13)


@pytest.mark.parametrize("tags", [True, False])
def test_throttling_and_temperature_by_tag_and_by_command(tags: bool) -> None:
    box = mailbox(FakeFirmware(bits=0x5_0005, temperature_mc=61_700), tags=tags)
    assert box.throttled()[0] == 0x5_0005
    assert box.temperature_c()[0] == pytest.approx(61.7)


def test_reading_clears_no_bits() -> None:
    firmware = FakeFirmware(bits=0xF_0000)
    box = mailbox(firmware)
    assert [box.throttled()[0] for _ in range(2)] == [0xF_0000, 0xF_0000]
    assert firmware.calls == [GET_THROTTLED, GET_THROTTLED]


def test_the_time_is_the_middle_of_the_call() -> None:
    clock = FakeClock(1_000)
    firmware = FakeFirmware(sweep=SWEEP)
    firmware.during = lambda: clock.forward(0.0226)
    assert mailbox(firmware, clock=clock).command("pmic_read_adc")[1] == 1_000 + 11_300_000


def test_a_command_that_the_firmware_does_not_know() -> None:
    with pytest.raises(SensorLost, match=r"refuses pmic_read_adc: error=1 .*not registered"):
        mailbox(FakeFirmware()).command("pmic_read_adc")
    with pytest.raises(ValueError, match="no firmware command"):
        mailbox(FakeFirmware()).command("x" * 2000)


def test_a_tag_that_the_firmware_does_not_know() -> None:
    with pytest.raises(SensorLost, match="does not answer tag 0x0003ffff"):
        mailbox(FakeFirmware()).property(0x3_FFFF, bytes(4), 4)


def test_a_reply_that_is_too_short() -> None:
    def short(descriptor: int, request: int, buffer: bytearray) -> None:
        struct.pack_into("<I", buffer, 4, 0x8000_0000)
        struct.pack_into("<I", buffer, 16, 0x8000_0002)

    with pytest.raises(SensorLost, match="2 bytes, expected 4"):
        Mailbox(NODE, ioctl=short).throttled()


def test_the_firmware_reports_failure() -> None:
    def failing(descriptor: int, request: int, buffer: bytearray) -> None:
        struct.pack_into("<I", buffer, 4, 0x8000_0001)

    with pytest.raises(SensorLost, match="code 0x80000001"):
        Mailbox(NODE, ioctl=failing).throttled()


def test_an_error_word_is_a_refusal_even_with_a_text() -> None:
    def refusing(descriptor: int, request: int, buffer: bytearray) -> None:
        FakeFirmware(sweep=SWEEP)(descriptor, request, buffer)
        struct.pack_into("<I", buffer, 20, 7)

    with pytest.raises(SensorLost, match="refuses"):
        Mailbox(NODE, ioctl=refusing).command("pmic_read_adc")


def test_the_node_is_opened_anew_after_a_loss() -> None:
    firmware = FakeFirmware()
    box = mailbox(firmware)
    box.throttled()
    before = len(os.listdir("/proc/self/fd"))

    def broken() -> None:
        raise OSError(errno.EIO, "Input/output error")

    firmware.during = broken
    with pytest.raises(SensorLost, match="Input/output error"):
        box.throttled()
    assert len(os.listdir("/proc/self/fd")) == before - 1
    firmware.during = lambda: None
    assert box.throttled()[0] == 0
    box.close()
    box.close()


def test_the_real_ioctl_writes_into_a_buffer_of_this_size() -> None:
    leader, follower = os.openpty()
    try:
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("<4H", 25, 132, 0, 0))
        buffer = bytearray(1052)
        system_ioctl(follower, termios.TIOCGWINSZ, buffer)
    finally:
        os.close(leader)
        os.close(follower)
    assert struct.unpack_from("<2H", buffer) == (25, 132)


def test_the_real_ioctl_on_a_node_that_is_no_mailbox() -> None:
    with pytest.raises(SensorLost, match="Inappropriate ioctl"):
        Mailbox(NODE).throttled()


def test_which_node_is_taken(tmp_path: Path) -> None:
    firmware = FakeFirmware()
    box, told = open_mailbox(tmp_path, ioctl=firmware)
    assert box is None
    assert "only Raspberry Pi's own kernel" in told
    (tmp_path / "vcio_gencmd").touch()
    firmware.only_commands = True
    box, told = open_mailbox(tmp_path, ioctl=firmware)
    assert box is not None
    assert (box.tags, told) == (False, str(tmp_path / "vcio_gencmd"))
    (tmp_path / "vcio").touch()
    firmware.only_commands = False
    box, told = open_mailbox(tmp_path, ioctl=firmware)
    assert box is not None
    assert (box.tags, told) == (True, str(tmp_path / "vcio"))


def test_a_node_that_only_root_may_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vcio", "vcio_gencmd"):
        (tmp_path / name).touch()
    refused = {"vcio"}
    real_open = os.open

    def refusing(path: Path, flags: int) -> int:
        if path.name in refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, flags)

    monkeypatch.setattr("boards.mailbox.os.open", refusing)
    box, told = open_mailbox(tmp_path, ioctl=FakeFirmware())
    assert box is not None
    assert told == str(tmp_path / "vcio_gencmd")
    refused.add("vcio_gencmd")
    box, told = open_mailbox(tmp_path, ioctl=FakeFirmware())
    assert box is None
    assert told.count("add the user to the group video") == 2


def test_a_flag_that_rose_between_two_reads_is_not_missed() -> None:
    firmware = FakeFirmware(bits=0x1_0000)  # it was up before we came
    flag = FirmwareFlag(mailbox(firmware), 1)
    assert flag.read().value == 0.0
    firmware.bits = 0x1_0001
    assert flag.read().value == 1.0
    firmware.bits = 0  # the kernel's own poll clears bit 16
    assert flag.read().value == 0.0
    firmware.bits = 0x1_0000  # a dip that was over before the read
    assert [flag.read().value for _ in range(2)] == [1.0, 0.0]


def test_all_rails_in_one_sweep() -> None:
    sweep = parse_sweep(SWEEP)
    assert sweep.rails == tuple(RAILS)
    assert sweep.volts["EXT5V"] == 5.09066
    assert len(SWEEP) < 1020  # it fits the firmware's text
    sensor, facts = find_pmic(mailbox(FakeFirmware(sweep=SWEEP)))
    assert sensor is not None
    assert sensor.read().value == pytest.approx(RAILS_W)
    assert sensor.read().value == pytest.approx(7.239819, abs=1e-6)
    assert facts["input voltage"] == "5.091 V at the start"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (SWEEP.replace("VDD_CORE_V volt(15)=0.86173300V", "VDD_CORE_V volt(15)=0.8617"), "no value of VDD_CORE"),
        (SWEEP.replace("VDD_CORE_A current(7)=6.22421000A", "VDD_CORE_A current(7)=nan"), "no value of VDD_CORE"),
        (
            SWEEP.replace("VDD_CORE_A current(7)=6.22421000A", "VDD_CORE_A current(7)=-6.2242100A"),
            "no value of VDD_CORE",
        ),
        (SWEEP.replace("=6.22421000A", "=622.42100A"), "implausible line"),
        (SWEEP.replace("HDMI_A", "VDD_CORE_A"), "implausible line"),
        (SWEEP[:400], "no value of"),
        ("", "no value of"),
    ],
)
def test_a_sweep_that_lacks_a_rail_gives_no_smaller_sum(broken: str, why: str) -> None:
    firmware = FakeFirmware(sweep=SWEEP)
    sensor, _ = find_pmic(mailbox(firmware))
    assert sensor is not None
    firmware.sweep = broken
    with pytest.raises(SensorLost, match=why):
        sensor.read()


def test_voltages_alone_are_no_power() -> None:
    lines = "\n".join(f"{rail}_V volt({number})={volts}V" for rail, (number, volts) in INPUTS.items())
    sensor, facts = find_pmic(mailbox(FakeFirmware(sweep=lines)))
    assert sensor is None
    assert "names no rail" in facts["pmic"]


_FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FUZZ
@given(reply=st.binary(max_size=1100), honest_head=st.booleans(), tags=st.booleans())
@example(reply=struct.pack("<2I", 28, 0x8000_0000) + b"\xff" * 20, honest_head=False, tags=True)
def test_whatever_the_firmware_writes_no_reader_crashes_or_invents(reply: bytes, honest_head: bool, tags: bool) -> None:
    def hostile(descriptor: int, request: int, buffer: bytearray) -> None:
        size = len(buffer)
        buffer[: len(reply)] = reply
        if honest_head:
            del buffer[size:]
            struct.pack_into("<2I", buffer, 0, size, 0x8000_0000)

    box = Mailbox(NODE, tags=tags, ioctl=hostile)
    sensors = (FirmwareFlag(box, 1), FirmwareFlag(box, 14), FirmwareTemperature(box), PmicSensor(box, ("VDD_CORE",)))
    for sensor in sensors:
        try:
            value = sensor.read().value
        except SensorLost:
            continue
        assert math.isfinite(value)
        assert value in (0.0, 1.0) or isinstance(sensor, FirmwareTemperature | PmicSensor)
    box.close()


_NAMES = st.sampled_from(["VDD_CORE_A", "VDD_CORE_V", "HDMI_A", "HDMI_V", "EXT5V_V", "x", ""])
_LINES = st.builds(
    "{} {}({})={}{}".format,
    _NAMES,
    st.sampled_from(["current", "volt", "power", ""]),
    st.integers(-1, 999),
    st.one_of(st.floats().map(str), st.decimals(-100, 100, places=8).map(str), st.text(max_size=8)),
    st.sampled_from(["A", "V", "", "mA"]),
)


@_FUZZ
@given(lines=st.lists(_LINES | st.text(max_size=40), max_size=12))
def test_whatever_lines_come_only_whole_rails_count(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        sweep = parse_sweep(text)
    except SensorLost:
        return
    for rail in sweep.rails:
        assert re.search(rf"{rail}_A\s+current\([0-9]+\)=", text)
        assert re.search(rf"{rail}_V\s+volt\([0-9]+\)=", text)
    assert 0.0 <= sweep.watts(sweep.rails) <= 240.0 * len(sweep.rails)


def test_the_tag_of_commands_is_the_only_one_that_the_new_node_sees() -> None:
    firmware = FakeFirmware(bits=0x4)
    firmware.only_commands = True
    box = mailbox(firmware, tags=False)
    assert box.throttled()[0] == 4
    box.temperature_c()
    assert set(firmware.calls) == {GET_GENCMD_RESULT}
