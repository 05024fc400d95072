"""Debian packages of any architecture: a private apt state beside the machine's own, which is never touched."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.cache import LabUnavailable, cache_root, locked
from tests.lab.tools import checked

SUITE = "bookworm"
SOURCES = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Mirrors:
    """The addresses of the archive and of its security updates, as the machine's own apt sources name them."""

    archive: str
    security: str

    def lines(self) -> list[str]:
        """The two ``deb`` lines for the lab's Debian, components: main."""
        return [f"deb {self.archive} {SUITE} main", f"deb {self.security} {SUITE}-security main"]


def machine_mirrors(etc_apt: Path = SOURCES) -> Mirrors:
    """Read the machine's apt sources (both formats) and take the mirrors that carry the lab's Debian.

    Raises:
        LabUnavailable: this machine has no source for Debian 12.
    """
    found: dict[str, str] = {}
    for path in sorted(etc_apt.glob("sources.list.d/*.sources")):
        for stanza in path.read_text().split("\n\n"):
            uri, suites = re.search(r"^URIs:\s*(\S+)", stanza, re.M), re.search(r"^Suites:\s*(.+)$", stanza, re.M)
            if uri and suites:
                found.update(dict.fromkeys(suites[1].split(), uri[1]))
    for path in [etc_apt / "sources.list", *sorted(etc_apt.glob("sources.list.d/*.list"))]:
        text = path.read_text() if path.exists() else ""
        for uri_text, suite in re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", text, re.M):
            found[suite] = uri_text
    try:
        return Mirrors(found[SUITE], found[f"{SUITE}-security"])
    except KeyError as missing:
        raise LabUnavailable(
            f"no apt source of this machine carries {missing}: the lab's boards are Debian 12"
        ) from None


class ForeignApt:
    """apt for one architecture, with lists and archives of its own in the cache.

    Downloads go on where they stopped (apt keeps its partial files), and an archive that is there is not fetched again.
    """

    def __init__(self, arch: str, mirrors: Mirrors | None = None) -> None:
        self.arch = arch
        self._root = cache_root() / f"apt-{arch}"
        self._mirrors = mirrors
        self._archives = self._root / "cache" / "archives"

    def latest(self, package: str, field: str) -> str:
        """One field of a package's newest version, as ``apt-cache show`` prints it."""
        self._prepare()
        shown = checked(["apt-cache", *self._options(), "show", "--no-all-versions", package])
        match = re.search(rf"^{field}:\s*(.+)$", shown, re.M)
        if match is None:
            raise LabUnavailable(f"{package} ({self.arch}): apt-cache shows no field {field}")
        return match[1]

    def download(self, packages: Sequence[str]) -> list[Path]:
        """The named packages' archives, without what they depend on, in the order asked for."""
        with locked(self._root_made() / ".lock"):
            self._prepare()
            missing = [name for name in packages if not self._archive(name)]
            if missing:
                try:
                    self._fetch(missing)
                except subprocess.CalledProcessError:  # the lists may be older than the mirror: look once more
                    self._update()
                    self._fetch(missing)
        return [path for name in packages for path in self._archive(name)[-1:]]

    def _archive(self, package: str) -> list[Path]:
        return sorted(self._archives.glob(f"{package}_*.deb"))

    def _fetch(self, packages: Sequence[str]) -> None:
        checked(["apt-get", *self._options(), "download", *packages], cwd=self._archives)

    def _root_made(self) -> Path:
        for folder in ("lists/partial", "cache/archives/partial"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        return self._root

    def _prepare(self) -> None:
        self._root_made()
        (self._root / "status").touch()
        if not (self._root / "updated").exists():
            self._update()

    def _update(self) -> None:
        mirrors = self._mirrors or machine_mirrors()
        lines = [line.replace("deb ", f"deb [signed-by={KEYRING}] ", 1) for line in mirrors.lines()]
        (self._root / "sources.list").write_text("\n".join(lines) + "\n")
        checked(["apt-get", *self._options(), "update", "-qq"])
        (self._root / "updated").touch()

    def _options(self) -> list[str]:
        root = self._root
        settings = {
            "APT::Architecture": self.arch,
            "APT::Architectures": self.arch,
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "APT::Sandbox::User": "root",
            "Dir::Etc::SourceList": root / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": root / "lists",
            "Dir::State::status": root / "status",
            "Dir::Cache": root / "cache",
        }
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
