"""Everything that one architecture's machine starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.lab.disk import disk
from tests.lab.initrd import initrd
from tests.lab.kernel import Kernel, kernel


@dataclass(frozen=True)
class System:
    """A Debian 12 for one architecture (``amd64``, ``arm64``), ready to boot. `disk` is raw, or qcow2 by its suffix."""

    arch: str
    kernel: Kernel
    initrd: Path
    disk: Path

    @property
    def disk_format(self) -> str:
        """qemu's word for the disk's format."""
        return "qcow2" if self.disk.suffix == ".qcow2" else "raw"


def system(arch: str) -> System:
    """Build what is not in the cache yet, and name it all.

    Raises:
        LabUnavailable: a tool, a package or a mirror is missing; the text says which and how to get it.
    """
    built = kernel(arch)
    return System(arch, built, initrd(arch, built), disk(arch, built))
