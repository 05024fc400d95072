"""Boots the flashable image in qemu as a board would: kernel, initial RAM disk, device tree and command line come from
its own boot partition, and one talks to it as a user does, at its serial console or over SSH.

with Board(image, folder, "virt") as board:
    board.put("userconf.txt", "anna:$6$...")     # onto the boot partition, the board being off
    board.start()
    board.login("anna", "password")              # a root shell by sudo
    board.run("findmnt /")                       # Result(rc=0, out="...")
    board.cut_power()
"""

from __future__ import annotations

import re
import selectors
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

BOOT_OFFSET = "@@4M"
# Emulation on a machine with other work: limits that only something broken reaches.
BOOT_LIMIT_S = 1800.0
REPLY_LIMIT_S = 600.0


class Result(NamedTuple):
    """What a command came to."""

    rc: int
    out: str


class NoAnswer(AssertionError):
    """The console did not say what was waited for; the text carries what it did say."""


class Board:
    """One emulated board with a card of its own: a copy of the image, enlarged as a card is larger than its image."""

    def __init__(self, image: Path, folder: Path, machine: str, card_bytes: int = 4 << 30) -> None:
        self.machine, self.folder = machine, folder
        self.card = folder / "card.img"
        subprocess.run(["cp", "--sparse=always", str(image), str(self.card)], check=True)
        with self.card.open("r+b") as file:
            file.truncate(card_bytes)
        self.ssh_port = _free_port()
        self.console = ""
        self.boot_s = 0.0
        self._serial = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.cut_power()

    # -- the boot partition, while the board is off --------------------------------------------------------------

    def put(self, name: str, text: str) -> None:
        """Write a file onto the boot partition."""
        source = self.folder / "put"
        source.write_bytes(text.encode())
        subprocess.run(["mcopy", "-o", "-i", f"{self.card}{BOOT_OFFSET}", str(source), f"::{name}"], check=True)

    def names(self) -> set[str]:
        """Files on the boot partition."""
        listing = subprocess.run(
            ["mdir", "-b", "-i", f"{self.card}{BOOT_OFFSET}", "::"], capture_output=True, text=True, check=True
        )
        return {line.removeprefix("::/") for line in listing.stdout.split("\n") if line}

    def get(self, name: str) -> bytes:
        """A file of the boot partition."""
        command = ["mtype", "-i", f"{self.card}{BOOT_OFFSET}", f"::{name}"]
        return subprocess.run(command, capture_output=True, check=True).stdout

    # -- power ---------------------------------------------------------------------------------------------------

    def start(self, rtc: str = "utc") -> None:
        """Switch on and wait for the login prompt. `rtc` sets the machine's clock chip, where it has one."""
        self.console = ""
        began_s = time.monotonic()
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(rtc), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0
            )
        self.wait_for(r"login: $", BOOT_LIMIT_S)
        self.boot_s = time.monotonic() - began_s

    def _command(self, rtc: str) -> list[str]:
        for name in ("vmlinuz", "initrd.img", "cmdline.txt", "bcm2837-rpi-3-b.dtb"):
            (self.folder / name).write_bytes(self.get(name))
        words = (self.folder / "cmdline.txt").read_text().strip()
        common = ["-accel", "tcg,thread=multi", "-m", "1024", "-display", "none", "-no-reboot"]
        common += ["-rtc", f"base={rtc}"]
        common += ["-kernel", str(self.folder / "vmlinuz"), "-initrd", str(self.folder / "initrd.img")]
        # qemu's own write-back cache is the card's: what the guest flushed is in the file when qemu is killed
        disk = f"file={self.card},format=raw,cache=writeback"
        if self.machine == "raspi3b":
            # qemu takes the arming of the board's watchdog for a reset at once
            words += " module_blacklist=bcm2835_wdt"
            return [
                "qemu-system-aarch64", "-M", "raspi3b", *common, "-dtb", str(self.folder / "bcm2837-rpi-3-b.dtb"),
                "-serial", "null", "-serial", "stdio", "-drive", f"if=sd,{disk}", "-append", words,
            ]  # fmt: skip
        return [
            "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-nodefaults", *common,
            "-serial", "stdio", "-drive", f"if=none,id=card,{disk}", "-device", "virtio-blk-pci,drive=card",
            "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22",
            "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci",
            "-append", words.replace("console=ttyS1,115200", "console=ttyAMA0"),
        ]  # fmt: skip

    def cut_power(self) -> None:
        """SIGKILL: the card keeps what had reached it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()  # waits, and closes the console
            self._process = None

    def shut_down(self) -> None:
        """An orderly end, from a root shell."""
        assert self._process is not None
        self.type("systemctl poweroff\n")
        try:
            self.wait_for(r"reboot: (Power down|System halted)", REPLY_LIMIT_S)
        except NoAnswer:
            if self._process.poll() is None:
                raise
        self.cut_power()

    # -- the console ---------------------------------------------------------------------------------------------

    def login(self, name: str, password: str) -> None:
        """Log in at the console and become root by sudo."""
        self.type(f"{name}\n")
        self.wait_for(r"Password: $", REPLY_LIMIT_S)
        self.type(f"{password}\n")
        self.wait_for(r"\$ $", REPLY_LIMIT_S)
        self.type("exec sudo -p SUDO-ASKS env TERM=dumb bash --norc --noprofile\n")
        self.wait_for(r"SUDO-ASKS$", REPLY_LIMIT_S)
        self.type(f"{password}\n")
        self.wait_for(r"# $", REPLY_LIMIT_S)
        self.type("stty -echo cols 500; PS1= PS2=; export PAGER=cat SYSTEMD_PAGER=; echo READY\n")
        self.wait_for(r"\nREADY\r?\n", REPLY_LIMIT_S)

    def run(self, command: str, limit_s: float = REPLY_LIMIT_S) -> Result:
        """A command in the root shell; both channels as one text."""
        self._serial += 1
        mark = f"END-{self._serial}"
        self.type(f'{{ {command}\n}} </dev/null 2>&1; echo "<{mark} $?>"\n')
        said = self.wait_for(rf"<{mark} (\d+)>\r?\n", limit_s)
        found = re.search(rf"<{mark} (\d+)>", said)
        assert found is not None
        return Result(int(found[1]), said[: found.start()].replace("\r\n", "\n"))

    def out(self, command: str, limit_s: float = REPLY_LIMIT_S) -> str:
        """What a command printed; it must succeed."""
        result = self.run(command, limit_s)
        assert result.rc == 0, f"{command}: {result}"
        return result.out.strip()

    def type(self, text: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    def wait_for(self, pattern: str, limit_s: float) -> str:
        """What the console says until `pattern`; it is used up. Raises NoAnswer."""
        assert self._process is not None
        assert self._process.stdout is not None
        heard = b""
        deadline_s = time.monotonic() + limit_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while (left_s := deadline_s - time.monotonic()) > 0:
                if selector.select(left_s):
                    piece = self._process.stdout.read(65536)
                    if not piece:
                        break
                    heard += piece
                    self.console += piece.decode(errors="replace")
                    with (self.folder / "console.log").open("ab") as log:
                        log.write(piece)
                    text = heard.decode(errors="replace")
                    if re.search(pattern, text):
                        return text
        raise NoAnswer(f"no {pattern!r} within {limit_s:.0f} s; the console said:\n{self.console[-4000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
