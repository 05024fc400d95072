"""What the vendored machine code needs of the system: checked against the release, and turned into dependencies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dists import ARCHITECTURES, Dist
from failure import BuildError, run

_GLIBC = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1")
_PACKAGES = {
    **dict.fromkeys((*_GLIBC, "ld-linux-aarch64.so.1", "ld-linux-x86-64.so.2"), "libc6"),
    "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1",
    "libz.so.1": "zlib1g",
}
_MACHINES = {"arm64": "AArch64", "amd64": "Advanced Micro Devices X86-64"}


def objects(tree: Path) -> Iterator[Path]:
    """Every ELF file below `tree`, sorted."""
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def dependencies(tree: Path, dist: Dist, arch: str) -> list[str]:
    """The packages that the machine code in `tree` needs, as ``Depends`` writes them: ``libc6 (>= 2.28)``.

    Raises BuildError for another processor's code, a library that nobody provides, or a C library newer than `dist`'s.
    """
    files = list(objects(tree))
    ours = {path.name for path in files}
    glibc, packages = (2, 17), set()
    for path in files:
        text = run(["readelf", "--wide", "--file-header", "--dynamic", "--version-info", path])
        where = path.relative_to(tree)
        if _MACHINES[arch] not in text:
            raise BuildError(f"{where}: not machine code for {ARCHITECTURES[arch]}")
        for library in re.findall(r"\(NEEDED\).*\[(.+?)\]", text):
            if library in ours:
                continue
            if library not in _PACKAGES:
                raise BuildError(f"{where}: needs {library}, which is neither vendored nor in elf.py's table")
            packages.add(_PACKAGES[library])
        glibc = max([glibc, *((int(a), int(b)) for a, b in re.findall(r"Name: GLIBC_(\d+)\.(\d+)", text))])
    if glibc > tuple(map(int, dist.glibc.split("."))):
        raise BuildError(f"the wheels need glibc {glibc[0]}.{glibc[1]}, and {dist.name} has {dist.glibc}")
    packages.discard("libc6")
    return [f"libc6 (>= {glibc[0]}.{glibc[1]})", *sorted(packages)]
