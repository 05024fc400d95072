"""A machine whose time is counted in instructions, not taken from the clock on the wall.

Emulation shares a processor with whatever else runs here: a guest that lives in real time sees its threads wake up
hundreds of milliseconds late, and no statement about sampling could be made. Here each instruction takes 2 ns of the
guest's time, and while the guest sleeps its time jumps to where it wakes: it is a machine of steady speed (500 million
instructions a second), however busy the host, and minutes of metering take seconds.
"""

from __future__ import annotations

from pathlib import Path

from tests.lab.energy.devicetree import emulated_tree, power_monitor, with_node
from tests.lab.machine import EMULATORS, Machine, Settings
from tests.lab.system import System

MEMORY_MIB = 1024
SHIFT = 1  # an instruction takes 2**SHIFT ns
LABELS = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")
SHUNT_UOHM = 5000  # Orin NX and Nano
# A chip's own clock is a few per cent off; this much keeps its rounds from falling into step with the sampler's ticks.
CLOCK_PPM = -7000
# The guest's clock runs ahead while it waits for its disk, so limits that are told to it are wide.
PATIENCE_S = 3600.0
START = """#!/bin/sh
mount -t debugfs none /sys/kernel/debug
exec python3 -B /mnt/host/guest/agent.py
"""
REPOSITORY = Path(__file__).resolve().parents[3]


class CountedMachine(Machine):
    """A machine with the lab's INA3221, our packages in /opt/packages, and no systemd."""

    def __init__(self, system: System, folder: Path, *, single_shot: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        extra = ["-icount", f"shift={SHIFT},sleep=off"]
        if system.arch == "arm64":
            extra += ["-dtb", str(_labelled_tree(system, folder, single_shot))]
        super().__init__(
            system,
            folder,
            Settings(MEMORY_MIB, cpus=1, extra=tuple(extra), kernel_words="init=/sbin/joulepath-lab-init"),
        )
        self.chip = ""  # its folder of sysfs, once started

    def __enter__(self) -> CountedMachine:
        return self

    def _command(self, port: Path) -> list[str]:
        # Counting needs one thread for all of the machine.
        return [word.replace("thread=multi", "thread=single") for word in super()._command(port)]

    def start(self) -> None:
        """Boot, load the chip and its driver, and lay out our packages."""
        self.share.mkdir(parents=True, exist_ok=True)
        (self.share / "start").write_text(START)
        for package in ("boards", "edge"):
            self.put(REPOSITORY / package, f"packages/{package}")
        self.put(Path(__file__).with_name("lab_meter.py"))
        self.boot(timeout_s=600.0)
        self.ok("rm -rf /opt/packages && cp -r /mnt/host/packages /opt/", PATIENCE_S)
        self.ok(f"modprobe jp_ina3221 clock_ppm={CLOCK_PPM} && modprobe ina3221", PATIENCE_S)
        self.chip = self.ok("dirname $(grep -l ina3221 /sys/class/hwmon/hwmon*/name)", PATIENCE_S)
        if self.system.arch != "arm64":  # a kernel without device trees takes shunts from sysfs, and knows no labels
            self.ok(f"for n in 1 2 3; do echo {SHUNT_UOHM} > {self.chip}/shunt${{n}}_resistor; done", PATIENCE_S)

    def hold(self, channel: int, microvolt: int, microampere: int) -> None:
        """Put a steady voltage and current on a channel (1 to 3) and wait until the chip has converted them."""
        knot = f"struct.pack('=Qii', 0, {microvolt}, {microampere})"
        place = f"/sys/kernel/debug/jp_ina3221/waveform{channel}"
        self.ok(f"python3 -c \"import struct; open('{place}', 'wb', 0).write({knot})\" && sleep 0.05", PATIENCE_S)

    @property
    def total(self) -> str:
        """The name of the rail behind which all of the board lies."""
        return LABELS[0] if self.system.arch == "arm64" else "ina3221-1"


def _labelled_tree(system: System, folder: Path, single_shot: bool) -> Path:
    words = [*EMULATORS[system.arch], "-smp", "1", "-m", str(MEMORY_MIB), "-display", "none"]
    tree = with_node(emulated_tree(folder, words), power_monitor(LABELS, SHUNT_UOHM, single_shot=single_shot))
    place = folder / "board.dtb"
    place.write_bytes(tree)
    return place
