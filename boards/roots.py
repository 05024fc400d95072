"""Where the kernel and the services show themselves; tests give another place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Roots:
    """The folders that boards look into."""

    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    run: Path = Path("/run")
    etc: Path = Path("/etc")
    proc: Path = Path("/proc")
    tmp: Path = Path("/tmp")  # where PiSugar's server has its socket

    @classmethod
    def under(cls, root: Path) -> Roots:
        """The same folders under another root: `Roots.under(Path("/tmp/pi"))` looks into /tmp/pi/sys and so on."""
        return cls(*(root / name for name in ("sys", "dev", "run", "etc", "proc", "tmp")))
