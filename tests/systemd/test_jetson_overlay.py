"""The Jetson overlay: what its script puts into a root file system and refuses, and the first boot that it prepares."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.systemd.container import Container, wait_for, why_not

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "systemd" / "jetson"
PLACE = "opt/joulepath-first-boot"
UNIT = "etc/systemd/system/joulepath-first-boot.service"
LINK = "etc/systemd/system/multi-user.target.wants/joulepath-first-boot.service"
R36 = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n"


@pytest.fixture(scope="module")
def recipe() -> Iterator[Any]:
    """The recipe's module; others are named build too, so it is forgotten afterwards."""
    before = sys.modules.pop("build", None)
    sys.path.insert(0, str(RECIPE))
    try:
        import build

        yield build
    finally:
        sys.path.remove(str(RECIPE))
        sys.modules.pop("build", None)
        if before is not None:
            sys.modules["build"] = before


@pytest.fixture
def overlay(recipe: Any, tmp_path: Path) -> Path:
    """The overlay with a few bytes in place of each package: the script never looks into them."""
    packages = {}
    for target in recipe.TARGETS:
        package = tmp_path / f"joulepath_1.0-1~{target.codename}1_arm64.deb"
        package.write_bytes(target.codename.encode())
        packages[target] = package
    recipe.make_overlay(tmp_path / "overlay", packages)
    return tmp_path / "overlay"


def _tegra(folder: Path, release: str, codename: str, python: str) -> Path:
    """A Linux_for_Tegra folder as far as the script looks."""
    root = folder / "Linux_for_Tegra" / "rootfs"
    for name in (f"usr/bin/{python}", "usr/bin/apt-get", "bin/systemctl", "var/lib/dpkg/status"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    (root / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
    (root / "opt").mkdir()
    (root / "etc/nv_tegra_release").write_text(release)
    (root / "etc/os-release").write_text(f"NAME=Ubuntu\nVERSION_CODENAME={codename}\n")
    return root.parent


def _apply(overlay: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", overlay / "apply.sh", *arguments], capture_output=True, text=True, check=False)


def _seen(folder: Path) -> dict[str, str]:
    """Every path below `folder` with what it is."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        else:
            found[name] = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.parametrize(
    ("release", "codename", "python"),
    [(R36, "jammy", "python3.10"), (R36.replace("R36", "R38"), "noble", "python3.12")],
)
def test_the_package_of_the_release_is_put_in_and_enabled(
    overlay: Path, tmp_path: Path, release: str, codename: str, python: str
) -> None:
    tegra = _tegra(tmp_path, release, codename, python)
    before = _seen(tegra)
    done = _apply(overlay, tegra)
    assert (done.returncode, done.stderr) == (0, "")

    root = tegra / "rootfs"
    assert (root / PLACE / "joulepath.deb").read_bytes() == codename.encode()
    assert os.access(root / PLACE / "install", os.X_OK)
    assert os.readlink(root / LINK) == f"/{UNIT}"
    added = set(_seen(tegra)) - set(before)
    assert added == {f"rootfs/{n}" for n in (PLACE, f"{PLACE}/joulepath.deb", f"{PLACE}/install", UNIT, LINK)}


def test_a_dry_run_changes_nothing_and_names_each_step(overlay: Path, tmp_path: Path) -> None:
    tegra = _tegra(tmp_path, R36, "jammy", "python3.10")
    before = _seen(tegra)
    done = _apply(overlay, "--dry-run", tegra)
    assert done.returncode == 0
    assert f"ln -sfn /{UNIT}" in done.stdout
    assert _seen(tegra) == before


def test_applying_twice_is_applying_once_and_undo_takes_it_out(overlay: Path, tmp_path: Path) -> None:
    tegra = _tegra(tmp_path, R36, "jammy", "python3.10")
    config = tmp_path / "mine.toml"
    config.write_text('camera = "synthetic"\n')
    before = _seen(tegra)
    assert _apply(overlay, "--config", config, tegra).returncode == 0
    once = _seen(tegra)
    assert (tegra / "rootfs/etc/joulepath/config.toml").read_text() == config.read_text()
    assert _apply(overlay, "--config", config, tegra).returncode == 0
    assert _seen(tegra) == once
    assert _apply(overlay, "--undo", tegra).returncode == 0
    assert _seen(tegra) == before
    assert _apply(overlay, "--undo", tegra).returncode == 0


def test_undo_keeps_a_configuration_that_was_changed_since(overlay: Path, tmp_path: Path) -> None:
    tegra = _tegra(tmp_path, R36, "jammy", "python3.10")
    config = tmp_path / "mine.toml"
    config.write_text("")
    assert _apply(overlay, "--config", config, tegra).returncode == 0
    (tegra / "rootfs/etc/joulepath/config.toml").write_text("# better\n")
    assert _apply(overlay, "--undo", tegra).returncode == 0
    assert (tegra / "rootfs/etc/joulepath/config.toml").read_text() == "# better\n"


def test_it_refuses_what_is_no_l4t_and_says_what_to_do(overlay: Path, tmp_path: Path) -> None:
    tegra = _tegra(tmp_path, R36, "jammy", "python3.10")
    root = tegra / "rootfs"
    cases: dict[str, Callable[[], Path]] = {
        "no such folder": lambda: tmp_path,
        "run apply_binaries.sh first": lambda: _without(root / "etc/nv_tegra_release", tegra),
        "L4T R35: there is a package for L4T R36 R38 only": lambda: _with(
            root, R36.replace("R36", "R35"), "focal", tegra
        ),
        "names no release": lambda: _with(root, "hello\n", "jammy", tegra),
        "L4T R36 is jammy, and this is another system": lambda: _with(root, R36, "bookworm", tegra),
        "python3.10: missing": lambda: _without(root / "usr/bin/python3.10", _with(root, R36, "jammy", tegra)),
    }
    for said, prepare in cases.items():
        folder = prepare()
        before = _seen(folder)
        done = _apply(overlay, folder)
        assert done.returncode == 1
        assert said in done.stderr
        assert _seen(folder) == before


def _without(path: Path, tegra: Path) -> Path:
    path.unlink()
    return tegra


def _with(root: Path, release: str, codename: str, tegra: Path) -> Path:
    (root / "etc/nv_tegra_release").write_text(release)
    (root / "etc/os-release").write_text(f"VERSION_CODENAME={codename}\n")
    return tegra


def test_a_root_that_has_joulepath_already_is_left_alone(overlay: Path, tmp_path: Path) -> None:
    tegra = _tegra(tmp_path, R36, "jammy", "python3.10")
    (tegra / "rootfs/var/lib/dpkg/info").mkdir()
    (tegra / "rootfs/var/lib/dpkg/info/joulepath.list").write_text("")
    done = _apply(overlay, tegra)
    assert done.returncode == 1
    assert "installed already" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--config"], ["--frobnicate"], ["one", "two"]])
def test_bad_usage_is_named(overlay: Path, arguments: list[str]) -> None:
    done = _apply(overlay, *arguments)
    assert done.returncode in (1, 2)
    assert "usage:" in done.stderr or "apply.sh: " in done.stderr


def test_the_archive_depends_on_its_contents_alone(recipe: Any, overlay: Path, tmp_path: Path) -> None:
    first = recipe.archive(overlay, tmp_path / "first.tar.gz").read_bytes()
    for path in overlay.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    assert recipe.archive(overlay, tmp_path / "second.tar.gz").read_bytes() == first
    with tarfile.open(tmp_path / "first.tar.gz") as tar:
        modes = {Path(entry.name).name: entry.mode for entry in tar.getmembers() if entry.isfile()}
    assert {name for name, mode in modes.items() if mode == 0o755} == {"apply.sh", "install"}


# -- the first boot ---------------------------------------------------------------------------------------------------


def _no_first_boot() -> str | None:
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    if "VERSION_CODENAME=bookworm" not in release or os.uname().machine != "x86_64":
        return "the machine's own root stands for the board's, so it must be Debian 12 on x86-64"
    if shutil.which("readelf") is None:
        return "the package's recipe needs readelf: apt-get install binutils"
    return why_not()


NO_FIRST_BOOT = _no_first_boot()
# The overlay file system keeps in its upper folder exactly what the script puts in.
_APPLY = """
set -e
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" tegra "$1/Linux_for_Tegra/rootfs"
printf '%s' "$2" >"$1/Linux_for_Tegra/rootfs/etc/nv_tegra_release"
sh "$3/apply.sh" --config "$4" "$1/Linux_for_Tegra"
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(NO_FIRST_BOOT is not None, reason=str(NO_FIRST_BOOT))
def test_the_first_boot_installs_the_package_and_takes_the_overlay_away(recipe: Any, tmp_path: Path) -> None:
    script = str(ROOT / "systemd/deb/build.py")
    command = [sys.executable, script, "--arch", "amd64", "--fast", "--out", str(tmp_path)]
    package = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    recipe.make_overlay(tmp_path / "overlay", {recipe.Target("R36", "bookworm", "python3.11"): package})
    config = tmp_path / "config.toml"
    config.write_text('bundle = "demo"\ncamera = "synthetic:96x128@20"\nboard = "auto"\n')
    work = tmp_path / "apply"
    for name in ("upper", "work", "Linux_for_Tegra/rootfs"):
        (work / name).mkdir(parents=True)
    apply = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _APPLY, "sh", str(work), R36]
    subprocess.run([*apply, str(tmp_path / "overlay"), str(config)], check=True, capture_output=True)
    assert os.readlink(work / "upper" / LINK) == f"/{UNIT}"

    folder = tmp_path / "board"
    folder.mkdir()
    shutil.copytree(work / "upper", folder / "stage", symlinks=True)
    boot = (
        "[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\nAllowIsolate=yes\nWants=joulepath-first-boot.service\n"
    )
    files = {
        "/etc/systemd/system/joulepath-lab.target": boot,  # multi-user.target would bring this machine's services along
        "/usr/sbin/policy-rc.d": "#!/bin/sh\nexit 0\n",
    }
    with Container(folder, files, {}) as board:

        def installed() -> bool:
            return board.try_run("systemctl", "is-active", "joulepath.service").stdout.strip() == "active"

        def log() -> str:
            return board.try_run("journalctl", "-b", "-u", "joulepath-first-boot", "-u", "joulepath").stdout[-3000:]

        wait_for(installed, 240, lambda: f"the first boot to install and start the service: {log()}")
        wait_for(lambda: not board.path(f"/{PLACE}").exists(), 30, log)
        assert not board.path(f"/{UNIT}").exists()
        assert not board.path(f"/{LINK}").is_symlink()
        assert board.run("systemctl", "is-enabled", "joulepath.service").strip() == "enabled"
        assert board.path("/etc/joulepath/config.toml").read_text() == config.read_text()
        assert board.run("dpkg-query", "-Wf${db:Status-Abbrev}", "joulepath").strip() == "ii"
