"""Our .deb for the lab's Debian, built once for each state of the sources."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.lab.cache import REPOSITORY, file_digest, step, tree_digest
from tests.lab.packages import SUITE
from tests.lab.tools import checked

SOURCES = ["boards", "edge", "systemd"]
FILES = ["pyproject.toml", "LICENSE"]
VERSION = "Version"


def package(arch: str) -> Path:
    """The package, a minute or two of building where the sources changed; its file name is the cache's."""
    recipe = {
        "trees": {name: tree_digest(REPOSITORY / name) for name in SOURCES},
        "files": {name: file_digest(REPOSITORY / name) for name in FILES},
    }
    return step(f"joulepath-{arch}", recipe, lambda target: _build(arch, target), ".deb")


def _build(arch: str, target: Path) -> None:
    folder = target.with_suffix(".out")
    shutil.rmtree(folder, ignore_errors=True)
    script = REPOSITORY / "systemd" / "deb" / "build.py"
    # Packed faster than what is published; the files in it are the same.
    checked([sys.executable, script, "--dist", SUITE, "--arch", arch, "--out", folder, "--fast"])
    (built,) = folder.glob("*.deb")
    built.rename(target)
    shutil.rmtree(folder)


def version_of(deb: Path) -> str:
    """The version that a package says it is."""
    return checked(["dpkg-deb", "-f", deb, VERSION]).strip()


def later_version(deb: Path) -> Path:
    """The same package under a later version number, for upgrades; packed without compression, which is faster."""

    def build(target: Path) -> None:
        folder = target.with_suffix(".tree")
        shutil.rmtree(folder, ignore_errors=True)
        checked(["dpkg-deb", "-R", deb, folder])
        control = folder / "DEBIAN" / "control"
        now = version_of(deb)
        control.write_text(control.read_text().replace(f"{VERSION}: {now}", f"{VERSION}: {now}+later1"))
        checked(["dpkg-deb", "--root-owner-group", "-Znone", "--build", folder, target])
        shutil.rmtree(folder)

    return step(f"later-{deb.name.rpartition('-')[0]}", {"deb": file_digest(deb)}, build, ".deb")
