"""Machines for the tests: arm64 is installed anew in each run, amd64 goes on from an installed disk in the cache."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.lab.cache import LabUnavailable, cache_root, file_digest, step
from tests.lab.machine import Machine, Settings
from tests.lab.package import package
from tests.lab.subject import CONFIG, DROP_IN, PATIENCE, Installation, Subject
from tests.lab.system import System, system

MEMORY_MIB = 1536


@dataclass(frozen=True)
class Fresh:
    """A machine on which the package was just installed, and how that went."""

    subject: Subject
    boot_s: float
    installation: Installation


def lab_system(arch: str) -> System:
    """The system, or a skip that says what is missing."""
    try:
        return system(arch)
    except LabUnavailable as reason:
        pytest.skip(str(reason))


def installed_system(arch: str) -> System:
    """A system whose disk has our package and the lab's configuration on it, from the cache if it was built before."""
    bare, deb = lab_system(arch), package(arch)

    def build(target: Path) -> None:
        folder = target.with_suffix(".machine")
        shutil.rmtree(folder, ignore_errors=True)
        with Machine(bare, folder, Settings(memory_mib=MEMORY_MIB)) as machine:
            machine.boot()
            subject = Subject(machine)
            installation = subject.install(deb)
            assert installation.rc == 0, installation.out
            machine.call("board.load_all", timeout_s=120)  # its camera: the service is to serve before it is kept
            subject.configure()
            machine.ok("systemctl stop joulepath; rm -rf /var/lib/joulepath/*; sync", timeout_s=300)
            machine.power_off()
            machine.overlay.rename(target)
        shutil.rmtree(folder)

    recipe = {"below": bare.disk.name, "deb": file_digest(deb), "lab": [CONFIG, DROP_IN, PATIENCE]}
    return replace(bare, disk=step(f"installed-{arch}", recipe, build, ".qcow2"))


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the machines of this run live; consoles stay there for whoever looks for a fault."""
    folder = tmp_path_factory.mktemp("lab")
    print(f"machines: {folder}; cache: {cache_root()}")
    return folder


@pytest.fixture(scope="session")
def arm64_deb() -> Path:
    """Our package for arm64."""
    return package("arm64")


@pytest.fixture(scope="session")
def amd64_deb() -> Path:
    """Our package for amd64."""
    return package("amd64")


@pytest.fixture(scope="module")
def fresh(lab_folder: Path, arm64_deb: Path) -> Iterator[Fresh]:
    """An arm64 board, nothing plugged in, on which the package was just installed."""
    with Machine(lab_system("arm64"), lab_folder / "arm64", Settings(memory_mib=MEMORY_MIB)) as machine:
        boot_s = machine.boot()
        subject = Subject(machine)
        yield Fresh(subject, boot_s, subject.install(arm64_deb))


@pytest.fixture(scope="module")
def running(lab_folder: Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    """An amd64 board with every driver, its service configured for the lab and serving frames; one for each file."""
    folder = lab_folder / request.module.__name__.rpartition(".")[2]
    with Machine(installed_system("amd64"), folder, Settings(memory_mib=MEMORY_MIB)) as machine:
        machine.boot()
        machine.call("board.load_all", timeout_s=120)
        subject = Subject(machine)
        subject.restart()
        yield subject
