"""The package's life on an amd64 board: upgraded, removed, installed again, purged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.fixtures import MEMORY_MIB, installed_system
from tests.lab.machine import Machine, Settings
from tests.lab.package import later_version, version_of
from tests.lab.subject import CONFIG, INSTALL_TIMEOUT_S, Subject

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

NOTE = "# written by this board's owner\n"


@pytest.fixture
def board(lab_folder: Path) -> Iterator[Subject]:
    """A board on which the service has run for a while, with a configuration that its owner changed."""
    with Machine(installed_system("amd64"), lab_folder / "package", Settings(memory_mib=MEMORY_MIB)) as machine:
        machine.boot()
        machine.call("board.load_all", timeout_s=120)
        subject = Subject(machine)
        subject.write_config(CONFIG + NOTE)
        subject.restart()
        yield subject


def test_upgrade_remove_install_purge(board: Subject, amd64_deb: Path) -> None:
    _upgrade(board, later_version(amd64_deb))
    _remove(board)
    _install_again(board, amd64_deb)
    _purge(board)


def _upgrade(board: Subject, deb: Path) -> None:
    runs = len(board.journal("runs"))
    done = board.install(deb)
    assert done.rc == 0, done.out
    assert board.machine.ok("dpkg-query -W -f '${Version}' joulepath") == version_of(deb)
    board.until_true("a run after the upgrade", lambda: len(board.journal("runs")) > runs)  # the journal goes on
    board.until("frames after the upgrade", lambda s: s["frames"] > 3)
    assert board.journal("runs")[runs - 1]["outcome"] == "finished"
    assert NOTE.strip() in board.machine.ok("cat /etc/joulepath/config.toml")
    assert board.journal("integrity") == "ok"


def _remove(board: Subject) -> None:
    board.machine.ok("dpkg -r joulepath", timeout_s=INSTALL_TIMEOUT_S)
    assert board.machine.ok("systemctl is-active joulepath || true") == "inactive"
    assert board.machine.run("pgrep -u joulepath").rc == 1
    assert board.machine.run("test -e /usr/lib/joulepath").rc == 1
    assert NOTE.strip() in board.machine.ok("cat /etc/joulepath/config.toml")
    assert board.machine.ok("stat -c %U /var/lib/joulepath/journal.db") == "joulepath"


def _install_again(board: Subject, deb: Path) -> None:
    done = board.install(deb)
    assert done.rc == 0, done.out
    board.until("frames after a removal", lambda s: s["frames"] > 3)
    assert len(board.journal("runs")) >= 3
    assert NOTE.strip() in board.machine.ok("cat /etc/joulepath/config.toml")


def _purge(board: Subject) -> None:
    board.machine.ok("dpkg -P joulepath", timeout_s=INSTALL_TIMEOUT_S)
    for gone in (
        "/etc/joulepath",
        "/var/lib/joulepath",
        "/var/cache/joulepath",
        "/usr/lib/joulepath",
        "/run/joulepath",
    ):
        assert board.machine.run(f"test -e {gone}").rc == 1, gone
    assert board.machine.run("dpkg -s joulepath").rc == 1
    assert board.machine.ok("systemctl list-unit-files joulepath.service --no-legend | wc -l").strip() == "0"
