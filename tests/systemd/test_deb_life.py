"""A package's life on Debian 12 under a real PID 1: installed, used, upgraded, removed, purged.

The machine's own root is the board's: this needs Debian 12, root, systemd-nspawn, and the network or cached wheels.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.container import Container, wait_for, why_not

ROOT = Path(__file__).resolve().parents[2]
UNIT = "joulepath.service"
CONFIG = "/etc/joulepath/config.toml"
JOURNAL = "/var/lib/joulepath/journal.db"
PYTHON = "/usr/lib/joulepath/bin/python3"
AS_SERVICE = ("setpriv", "--reuid=joulepath", "--regid=joulepath", "--init-groups")
DEBS = "/opt/debs"
# What the system itself notes about packages and accounts that were there.
NOTED = (
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/.pwd.lock",
    "/var/lib/dpkg/",
    "/var/cache/",
    "/etc/systemd/system/joulepath-lab.target",  # the container's own
)


def _why_not() -> str | None:
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    if "VERSION_CODENAME=bookworm" not in release or os.uname().machine != "x86_64":
        return "the machine's own root stands for the board's, so it must be Debian 12 on x86-64"
    for program in ("dpkg-deb", "readelf"):
        if shutil.which(program) is None:
            return f"the package's recipe needs {program}: apt-get install dpkg binutils"
    return why_not()


REASON = _why_not()
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.skipif(REASON is not None, reason=str(REASON))]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with first.deb, as the recipe builds it, and second.deb, the same of a later version."""
    folder = tmp_path_factory.mktemp("debs")
    script = str(ROOT / "systemd/deb/build.py")
    command = [sys.executable, script, "--arch", "amd64", "--fast", "--out", str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    first, unpacked = folder / "first.deb", folder / "unpacked"
    Path(built.stdout.strip()).rename(first)
    subprocess.run(["dpkg-deb", "--raw-extract", first, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 1:"))
    pack = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(unpacked), str(folder / "second.deb")]
    subprocess.run(pack, check=True, capture_output=True)
    shutil.rmtree(unpacked)
    return folder


@pytest.fixture(scope="module")
def files_before() -> set[str]:
    return _files(Path("/"))


@pytest.fixture(scope="module")
def board(packages: Path, files_before: set[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A booted board with the package installed; the last test takes it away again."""
    start_services = {"/usr/sbin/policy-rc.d": "#!/bin/sh\nexit 0\n"}  # whatever this machine's own says
    with Container(tmp_path_factory.mktemp("board"), start_services, {packages: DEBS}) as container:
        container.run("dpkg", "--install", f"{DEBS}/first.deb", timeout_s=300)
        yield container


def _files(root: Path) -> set[str]:
    """Every path below /etc, /usr and /var, as a board names it."""
    found: set[str] = set()
    for top in ("etc", "usr", "var"):
        for folder, folders, names in os.walk(root / top):
            inside = "/" + os.path.relpath(folder, root)
            if inside.startswith(("/var/log", "/var/tmp", "/usr/local")):
                folders.clear()
                continue
            found.update(f"{inside}/{name}" for name in (*folders, *names))
    return found


def _property(board: Container, name: str) -> str:
    return board.run("systemctl", "show", "--value", f"--property={name}", UNIT).strip()


def _wait_until_active(board: Container, but_not: str = "0") -> None:
    """The installation asks for the start and does not wait for it. `but_not`: the process that must be gone."""

    def active() -> bool:
        return _property(board, "ActiveState") == "active" and _property(board, "MainPID") not in (but_not, "0")

    wait_for(active, 120, lambda: board.try_run("systemctl", "status", UNIT).stdout)


def _run(board: Container, *prefix: str, journal: str) -> dict[str, object]:
    command = ("joulepath", "run", "--bundle", "demo", "--camera", "synthetic", "--board", "simulated", "--frames", "5")
    places = ("--journal", f"{journal}.db", "--socket", f"{journal}.sock", "--threads", "1", "--json")
    summary: dict[str, object] = json.loads(board.run(*prefix, *command, *places))
    return summary


def test_the_service_is_enabled_and_up_without_a_camera(board: Container) -> None:
    assert board.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    _wait_until_active(board)
    assert _property(board, "User") == "joulepath"
    assert "joulepath" in board.run("id", "joulepath")


def test_the_command_is_there_with_every_room_that_a_board_needs(board: Container) -> None:
    listed = board.run("joulepath", "--help")
    assert board.run("joulepath", "run", "--help")
    for room in ("run", "status", "journal", "demo", "inspect"):
        shown = board.run("joulepath", room, "--help")
        assert "Not available here" not in shown, listed
    assert "journal" in board.run("man", "--pager=cat", "joulepath")


def test_the_service_s_user_runs_the_demo_bundle(board: Container) -> None:
    summary = _run(board, *AS_SERVICE, journal="/tmp/as-service")
    assert summary["frames"] == 5


def test_nothing_that_the_caller_set_for_python_gets_in(board: Container) -> None:
    trap = "raise SystemExit('not this one')\n"
    for folder in ("/tmp/trap", "/tmp/trap/edge"):
        board.run("mkdir", "-p", folder)
    for name in ("numpy.py", "edge/__init__.py", "sitecustomize.py"):
        board.path(f"/tmp/trap/{name}").write_text(trap)
    caller = ("env", "--chdir=/tmp/trap", "PYTHONPATH=/tmp/trap", "PYTHONSTARTUP=/tmp/trap/numpy.py", "PYTHONHOME=/tmp")
    assert _run(board, *caller, journal="/tmp/with-trap")["frames"] == 5


def test_the_system_s_packages_are_seen_beside_ours(board: Container) -> None:
    """Two of the system's, one of them compiled, in the interpreter that has our numpy and our engine."""
    code = (
        "import json, gi, yaml, numpy, cv2, ai_edge_litert.interpreter as litert\n"
        "print(json.dumps([m.__file__ for m in (gi, yaml, numpy, cv2, litert)] + [numpy.__version__]))"
    )
    missing = [p for p in ("gi", "yaml") if not Path(f"/usr/lib/python3/dist-packages/{p}").exists()]
    if missing:
        pytest.skip(f"this machine lacks {missing}: apt-get install python3-gi python3-yaml")
    *files, numpy = json.loads(board.run(PYTHON, "-I", "-c", code))
    ours = "/usr/lib/joulepath/lib/python3.11/site-packages/"
    assert [file.startswith(ours) for file in files] == [False, False, True, True, True]
    assert all(file.startswith("/usr/lib/python3/dist-packages/") for file in files[:2])
    assert numpy.startswith("1.26.")


def test_debian_s_own_code_for_numpy_runs_with_ours(board: Container, tmp_path: Path) -> None:
    """A module that Debian compiled against its numpy 1.24, as picamera2's are."""
    got = subprocess.run(["apt-get", "download", "python3-numexpr"], cwd=tmp_path, capture_output=True, check=False)
    if got.returncode != 0:
        pytest.skip("apt-get download python3-numexpr fails here: no package lists, or no network")
    (deb,) = tmp_path.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", deb, tmp_path / "root"], check=True)
    module = "usr/lib/python3/dist-packages/numexpr"
    shutil.copytree(tmp_path / "root" / module, board.path(f"/{module}"))
    code = (
        "import numpy, numexpr; a = numpy.arange(4.0); print(numexpr.evaluate('2 * a + 1').tolist(), numpy.__version__)"
    )
    try:
        assert board.run(PYTHON, "-I", "-c", code).startswith("[1.0, 3.0, 5.0, 7.0] 1.26.")
    finally:
        shutil.rmtree(board.path(f"/{module}"))


def test_upgrade_remove_and_purge(board: Container, files_before: set[str]) -> None:
    """Last, since it takes the package away."""
    config = board.path(CONFIG)
    config.write_text(config.read_text().replace('camera = "/dev/video0"', 'camera = "synthetic:96x128@20"  # mine'))
    board.run("systemctl", "restart", UNIT)
    _wait_for_frames(board)
    before = _property(board, "MainPID")

    board.run("dpkg", "--install", f"{DEBS}/second.deb", timeout_s=300)
    assert "# mine" in config.read_text()
    assert board.run("dpkg-query", "-Wf${Version}", "joulepath").startswith("1:")
    _wait_until_active(board, but_not=before)
    _wait_for_frames(board)

    board.run("dpkg", "--remove", "joulepath")
    assert board.try_run("systemctl", "is-active", UNIT).stdout.strip() == "inactive"
    assert not board.path("/usr/lib/joulepath").exists()
    assert not board.path("/usr/bin/joulepath").is_symlink()
    assert "# mine" in config.read_text()
    kept = board.run("python3", "-c", _COUNT)
    assert int(kept) >= 3  # a run for each start of the service

    board.run("dpkg", "--purge", "joulepath")
    left = _files(board.path("/")) - files_before
    assert {path for path in left if not path.startswith(NOTED)} == set()
    assert [path for path in left if path.startswith(("/var/lib/dpkg/info/joulepath", "/var/cache/joulepath"))] == []
    assert "nologin" in board.run("getent", "passwd", "joulepath")  # kept on purpose, locked


_COUNT = f"import sqlite3; print(sqlite3.connect('{JOURNAL}').execute('select count(*) from run').fetchone()[0])"


def _wait_for_frames(board: Container) -> None:
    def frames() -> bool:
        answer = board.try_run("joulepath", "status", "--json")
        return answer.returncode == 0 and json.loads(answer.stdout)["frames"] > 0

    wait_for(frames, 60, lambda: f"frames; {board.try_run('journalctl', '-u', UNIT, '-n', '20').stdout}")
