"""What a figure was measured on: processor, system and library versions; nothing that names the machine itself."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Instruction sets that inference libraries choose their kernels by; `hypervisor` says that the machine is virtual.
TELLING_FLAGS = (
    "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "hypervisor",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """One machine as a reader of a figure needs it; the load average is the one before the measurement began."""

    cpu: str
    cores: int
    flags: tuple[str, ...]
    memory_gib: float | None
    kernel: str
    system: str
    python: str
    libraries: dict[str, str]
    load_average_1m: float

    @property
    def busy(self) -> bool:
        """Whether other work ran when the measurement began: then its times are not this machine's best."""
        return self.load_average_1m > 0.5

    def lines(self) -> list[str]:
        """The description, one fact a line."""
        memory = "unknown" if self.memory_gib is None else f"{self.memory_gib:.0f} GiB"
        versions = ", ".join(f"{name} {version}" for name, version in sorted(self.libraries.items()))
        return [
            f"processor: {self.cpu}, {self.cores} cores usable, memory {memory}",
            f"instruction sets: {', '.join(self.flags) or 'unknown'}",
            f"system: {self.system}, kernel {self.kernel}, Python {self.python}",
            f"libraries: {versions or 'none'}",
            f"load average (1 min) at start: {self.load_average_1m:.2f}{' - the machine was busy' * self.busy}",
        ]


def describe_machine(libraries: Sequence[str] = (), *, proc: Path = Path("/proc"), etc: Path = Path("/etc")) -> Machine:
    """This machine; `libraries` are distribution names, those that are not installed are left out."""
    cpuinfo = _fields(_text(proc / "cpuinfo"), ":")
    flags = set((cpuinfo.get("flags") or cpuinfo.get("Features") or "").split())
    board = _text(proc / "device-tree" / "model").strip("\0\n ")
    memory_kib = _fields(_text(proc / "meminfo"), ":").get("MemTotal", "").split()
    release = _fields(_text(etc / "os-release"), "=")
    load = _text(proc / "loadavg").split()
    return Machine(
        cpu=cpuinfo.get("model name") or board or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        flags=tuple(flag for flag in TELLING_FLAGS if flag in flags),
        memory_gib=round(int(memory_kib[0]) / 2**20, 1) if memory_kib else None,
        kernel=platform.release(),
        system=release.get("PRETTY_NAME", platform.system()).strip('"'),
        python=platform.python_version(),
        libraries={name: version for name in libraries if (version := installed_version(name)) is not None},
        load_average_1m=float(load[0]) if load else 0.0,
    )


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, None when it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _fields(text: str, separator: str) -> dict[str, str]:
    """The first value of each key; a processor's lines repeat for each core."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, sep, value = line.partition(separator)
        if sep:
            found.setdefault(key.strip(), value.strip())
    return found
