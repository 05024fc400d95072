"""The package's recipe: versions, pins, what is laid out where, and that the same tree gives the same package."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "systemd" / "deb"
_MODULES = ("dists", "elf", "failure", "tree", "wheels", "build")

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb packs: apt-get install dpkg")
needs_readelf = pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf: apt-get install binutils")


@pytest.fixture(scope="module")
def recipe() -> Iterator[Any]:
    """The recipe's modules; other recipes have modules of the same names, so they are forgotten afterwards."""
    sys.path.insert(0, str(RECIPE))
    before: dict[str, ModuleType] = {name: sys.modules.pop(name) for name in _MODULES if name in sys.modules}
    try:
        yield SimpleNamespace(**{name: __import__(name) for name in _MODULES})
    finally:
        sys.path.remove(str(RECIPE))
        for name in _MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(before)


# -- versions and pins ------------------------------------------------------------------------------------------------


@needs_dpkg
@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (("0.2.0.dev3", "bookworm"), ("0.2.0", "bookworm")),
        (("0.2.0rc1", "trixie"), ("0.2.0", "bookworm")),
        (("0.2.0", "bookworm"), ("0.2.0", "trixie")),
        (("0.2.0", "jammy"), ("0.2.0", "noble")),
        (("0.2.0", "trixie"), ("0.10.0", "bookworm")),
    ],
)
def test_a_later_version_or_release_is_an_upgrade(recipe: Any, older: tuple[str, str], newer: tuple[str, str]) -> None:
    low, high = (recipe.tree.debian_version(version, recipe.dists.DISTS[name]) for version, name in (older, newer))
    assert subprocess.run(["dpkg", "--compare-versions", low, "lt", high], check=False).returncode == 0, (low, high)


def test_the_version_is_pyproject_s(recipe: Any) -> None:
    assert f'version = "{recipe.build.upstream_version(ROOT)}"' in (ROOT / "pyproject.toml").read_text()


def test_every_pin_is_one_version_with_hashes(recipe: Any) -> None:
    for name in (*recipe.dists.DISTS, "build"):
        pins = recipe.wheels.read_pins(name)
        assert pins
        assert len({pin.name.lower() for pin in pins}) == len(pins)
        for pin in pins:
            assert re.fullmatch(r"\d[\w.+]*", pin.version), pin
            assert pin.sha256
            assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in pin.sha256), pin


def test_pinned_numpy_is_of_the_kind_that_the_release_s_own_packages_take(recipe: Any) -> None:
    majors = {}
    for name, dist in recipe.dists.DISTS.items():
        (numpy,) = (pin for pin in recipe.wheels.read_pins(name) if pin.name == "numpy")
        assert numpy.version.split(".")[0] == dist.system_numpy.split(".")[0]
        majors[name] = numpy.version.split(".")[0]
    assert majors == {"bookworm": "1", "trixie": "2", "jammy": "1", "noble": "1"}


def test_pins_answer_every_dependency_of_the_project(recipe: Any) -> None:
    from packaging.requirements import Requirement

    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    needed = [Requirement(line.strip().rstrip(",").strip('"')) for line in block[1].splitlines()]
    assert len(needed) >= 8
    for name, dist in recipe.dists.DISTS.items():
        pinned = {pin.name.lower().replace("_", "-"): pin.version for pin in recipe.wheels.read_pins(name)}
        for one in needed:
            if one.marker is None or one.marker.evaluate({"python_version": dist.python}):
                assert pinned[one.name] in one.specifier, f"{name}: {one}; pin again with build.py --lock"


# -- wheels -----------------------------------------------------------------------------------------------------------


def test_a_cached_wheel_counts_only_with_its_hash_and_its_processor(recipe: Any, tmp_path: Path) -> None:
    right, other = b"the wheel", b"for another processor"
    for machine, content in (("aarch64", right), ("x86_64", other)):
        (tmp_path / f"fast_math-1.0-cp311-cp311-manylinux_2_28_{machine}.whl").write_bytes(content)
    digests = {hashlib.sha256(content).hexdigest() for content in (right, other)}
    pin = recipe.wheels.Pin("fast-math", "1.0", frozenset(digests))

    assert [file.read_bytes() for file in recipe.wheels.fetch([pin], [], tmp_path, "aarch64")] == [right]
    assert [file.read_bytes() for file in recipe.wheels.fetch([pin], [], tmp_path, "x86_64")] == [other]


def test_a_tampered_wheel_is_not_taken(recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no_such_project_of_ours-1.0-py3-none-any.whl").write_bytes(b"tampered")
    pin = recipe.wheels.Pin("no-such-project-of-ours", "1.0", frozenset([hashlib.sha256(b"right").hexdigest()]))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # nothing to download it from

    with pytest.raises(recipe.failure.BuildError, match="no-such-project-of-ours"):
        recipe.wheels.fetch([pin], [], tmp_path, "x86_64")


def test_a_missing_requirement_is_found_for_the_board_s_python(recipe: Any, tmp_path: Path) -> None:
    info = tmp_path / "app-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: app\nVersion: 1.0\nRequires-Dist: tomli>=2; python_version < '3.11'\n"
    )
    dists = recipe.dists.DISTS

    assert [d.name for d in recipe.wheels.check_closure(tmp_path, dists["bookworm"], "arm64")] == ["app"]
    with pytest.raises(recipe.failure.BuildError, match=r"jammy arm64: app 1\.0 requires tomli"):
        recipe.wheels.check_closure(tmp_path, dists["jammy"], "arm64")


def test_wheels_of_a_later_c_library_are_not_asked_for(recipe: Any) -> None:
    platforms = recipe.dists.DISTS["jammy"].platforms("arm64")
    assert platforms[0] == "manylinux_2_35_aarch64"
    assert "manylinux2014_aarch64" in platforms


# -- machine code -----------------------------------------------------------------------------------------------------


def _machine_code(recipe: Any, folder: Path) -> tuple[str, Any]:
    """A library of this machine in `folder`, and the Debian name of this machine's processor."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine)
    if machine is None:
        pytest.skip(f"no package is built for {os.uname().machine}")
    import numpy.linalg._umath_linalg as library

    shutil.copy(library.__file__, folder / "code.so")
    return machine, library


@needs_readelf
def test_machine_code_names_its_packages_and_no_other_processor_s_passes(recipe: Any, tmp_path: Path) -> None:
    machine, library = _machine_code(recipe, tmp_path)
    trixie = recipe.dists.DISTS["trixie"]
    for vendored in Path(library.__file__).parents[2].glob("numpy.libs/*"):
        shutil.copy(vendored, tmp_path / vendored.name)

    found = recipe.elf.dependencies(tmp_path, trixie, machine)
    assert re.fullmatch(r"libc6 \(>= 2\.\d+\)", found[0])
    assert set(found[1:]) <= {"libgcc-s1", "libstdc++6", "zlib1g"}
    with pytest.raises(recipe.failure.BuildError, match=r"not machine code for"):
        recipe.elf.dependencies(tmp_path, trixie, {"amd64": "arm64", "arm64": "amd64"}[machine])


@needs_readelf
def test_a_library_that_nobody_provides_is_refused(recipe: Any, tmp_path: Path) -> None:
    machine, _ = _machine_code(recipe, tmp_path)  # without numpy.libs
    with pytest.raises(recipe.failure.BuildError, match=r"needs lib.*neither vendored"):
        recipe.elf.dependencies(tmp_path, recipe.dists.DISTS["trixie"], machine)


# -- the tree ---------------------------------------------------------------------------------------------------------


def test_every_file_of_the_service_has_its_place(recipe: Any, tmp_path: Path) -> None:
    for name, library_root in (("bookworm", "lib"), ("trixie", "usr/lib")):
        place = tmp_path / name
        recipe.tree.lay_out_system(place, ROOT, recipe.dists.DISTS[name])
        installed = {path.read_bytes() for path in place.rglob("*") if path.is_file() and not path.is_symlink()}
        for kind in ("service", "sysusers", "tmpfiles", "rules", "toml"):
            for source in (ROOT / "systemd").glob(f"*.{kind}"):
                assert source.read_bytes() in installed, f"{source.name} is not in the package"
        assert (place / library_root / "systemd/system/joulepath.service").is_file()
        assert (place / "etc/joulepath/config.toml").is_file()
        assert (place / "usr/share/joulepath/drop-ins/raspberry-pi.conf").is_file()
        assert os.readlink(place / "usr/lib/joulepath/bin/python3") == "../../../bin/python3"


@needs_dpkg
def test_the_same_tree_gives_the_same_package_whoever_builds_it_and_when(recipe: Any, tmp_path: Path) -> None:
    digests = set()
    for name, mask, when in (("one", 0o022, 1_000_000_000), ("two", 0o077, 1_700_000_000)):
        before = os.umask(mask)
        try:
            place = tmp_path / name
            recipe.tree.lay_out_system(place, ROOT, recipe.dists.DISTS["bookworm"])
            recipe.tree.write_control(place, recipe.dists.DISTS["bookworm"], "arm64", "9.9", ["libc6"], 1_790_000_000)
        finally:
            os.umask(before)
        for path in place.rglob("*"):
            os.utime(path, (when, when), follow_symlinks=False)
        package = tmp_path / f"{name}.deb"
        recipe.build.pack(place, package, 1_790_000_000, ("-Zgzip", "-z1"))
        digests.add(hashlib.sha256(package.read_bytes()).hexdigest())
    assert len(digests) == 1

    listed = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
    owners = {line.split()[1] for line in listed.splitlines()}
    assert owners == {"root/root"}
    executables = {line.split()[5] for line in listed.splitlines() if line.startswith("-rwx")}
    assert executables == {"./usr/bin/joulepath", "./usr/lib/joulepath/bin/link-drop-in"}
    control = subprocess.run(["dpkg-deb", "-f", package], capture_output=True, text=True, check=True).stdout
    assert "Version: 9.9-1~bookworm1\nArchitecture: arm64\n" in control
    assert "python3 (>= 3.11), python3 (<< 3.12), libc6, systemd" in control
    assert "@" not in control.replace(recipe.tree.ADDRESS, "")


def test_a_clone_gives_the_epoch_and_a_plain_folder_says_what_to_set(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    assert recipe.build.source_epoch(tmp_path) == 1234567890
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(recipe.failure.BuildError, match="set SOURCE_DATE_EPOCH"):
        recipe.build.source_epoch(tmp_path)


# -- scripts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["launcher", "link-drop-in", "postinst", "prerm", "postrm"])
def test_a_shell_takes_the_scripts(script: str) -> None:
    checked = subprocess.run(["sh", "-n", RECIPE / "debian" / script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def _board(root: Path, compatible: str) -> Path:
    """A root with a device tree and our drop-ins; the drop-ins' folder of the service in it, once the script ran."""
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/device-tree/compatible").write_text(compatible)
    shutil.copytree(ROOT / "systemd/drop-ins", root / "usr/share/joulepath/drop-ins")
    _link_drop_in(root)
    return root / "etc/systemd/system/joulepath.service.d"


def _link_drop_in(root: Path) -> None:
    subprocess.run(["sh", RECIPE / "debian/link-drop-in", root], check=True)


@pytest.mark.parametrize(
    ("compatible", "expected"),
    [
        ("raspberrypi,4-model-b\0brcm,bcm2711\0", ["raspberry-pi.conf"]),
        ("raspberrypi,model-zero-2-w\0brcm,bcm2837\0", ["raspberry-pi.conf"]),
        ("nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0", ["jetson.conf"]),
        ("linux,dummy-virt\0", None),
    ],
)
def test_a_board_gets_its_drop_in(tmp_path: Path, compatible: str, expected: list[str] | None) -> None:
    folder = _board(tmp_path, compatible)
    if expected is None:
        assert not folder.exists()
    else:
        assert [path.name for path in folder.iterdir()] == expected
        assert [os.readlink(path) for path in folder.iterdir()] == [f"/usr/share/joulepath/drop-ins/{expected[0]}"]


def test_what_the_owner_made_of_the_drop_in_stays(tmp_path: Path) -> None:
    file = _board(tmp_path, "raspberrypi,4-model-b\0") / "raspberry-pi.conf"
    file.unlink()
    file.write_text("mine")
    _link_drop_in(tmp_path)
    assert file.read_text() == "mine"
    file.unlink()
    file.symlink_to("/dev/null")
    _link_drop_in(tmp_path)
    assert os.readlink(file) == "/dev/null"


# -- whole packages ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_dpkg
@needs_readelf
def test_two_builds_are_the_same_to_the_byte_and_lintian_finds_no_error(tmp_path: Path) -> None:
    """The second one without the network, from the cache that the first one filled."""
    packages = []
    for name, mask, more in (("first", "022", {}), ("second", "077", {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""})):
        command = (
            f"umask {mask}; exec '{sys.executable}' '{RECIPE}/build.py' --arch arm64 --fast --out '{tmp_path}/{name}'"
        )
        env = {**os.environ, "SOURCE_DATE_EPOCH": "1790000000", **more}
        built = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=env)
        assert built.returncode == 0, built.stderr
        packages.append(Path(built.stdout.strip()))
    first, second = (hashlib.sha256(package.read_bytes()).hexdigest() for package in packages)
    assert first == second
    if shutil.which("lintian") is None:
        pytest.skip("the builds are the same; for the rest: apt-get install lintian")
    said = subprocess.run(["lintian", "--allow-root", packages[0]], capture_output=True, text=True, check=False).stdout
    assert [line for line in said.splitlines() if line.startswith("E:")] == []
