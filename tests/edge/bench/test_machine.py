from __future__ import annotations

import os
import socket
from pathlib import Path

from edge.bench.machine import describe_machine, installed_version

INTEL = (
    "processor : 0\nmodel name : Some Xeon\nflags : fpu avx2 avx512_vnni unheard\n\nprocessor : 1\nmodel name : Other\n"
)
ARM = "processor : 0\nFeatures : fp asimd asimddp\n"


def tree(root: Path, cpuinfo: str) -> tuple[Path, Path]:
    (root / "proc").mkdir()
    (root / "etc").mkdir()
    (root / "proc/cpuinfo").write_text(cpuinfo)
    (root / "proc/meminfo").write_text("MemTotal:       16252928 kB\nMemFree: 1 kB\n")
    (root / "proc/loadavg").write_text("0.75 1.00 2.00 1/100 4242\n")
    (root / "etc/os-release").write_text('NAME="X"\nPRETTY_NAME="X Linux 12"\n')
    return root / "proc", root / "etc"


def test_a_pc(tmp_path: Path) -> None:
    proc, etc = tree(tmp_path, INTEL)
    machine = describe_machine(("numpy", "no-such-thing"), proc=proc, etc=etc)
    assert machine.cpu == "Some Xeon"
    assert machine.flags == ("avx2", "avx512_vnni")
    assert machine.memory_gib == 15.5
    assert machine.system == "X Linux 12"
    assert machine.load_average_1m == 0.75
    assert machine.busy
    assert list(machine.libraries) == ["numpy"]
    assert machine.cores == len(os.sched_getaffinity(0))


def test_a_board_is_named_by_its_device_tree(tmp_path: Path) -> None:
    proc, etc = tree(tmp_path, ARM)
    (proc / "device-tree").mkdir()
    (proc / "device-tree/model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    machine = describe_machine(proc=proc, etc=etc)
    assert machine.cpu == "Raspberry Pi 4 Model B Rev 1.4"
    assert machine.flags == ("asimd", "asimddp")


def test_what_cannot_be_read_is_unknown_and_not_zero(tmp_path: Path) -> None:
    machine = describe_machine(proc=tmp_path / "none", etc=tmp_path / "none")
    assert machine.memory_gib is None
    assert machine.cpu
    assert "memory unknown" in machine.lines()[0]


def test_this_machine_is_described_without_its_name() -> None:
    machine = describe_machine(("numpy",))
    assert machine.libraries["numpy"] == installed_version("numpy")
    names = {field for line in machine.lines() for field in line.split()}
    assert socket.gethostname() not in names
