"""Wheels for another Python and another processor: pinned by version and hash, cached, unpacked, and checked.

Nothing of them is run while building, so a board's package is made on any host without emulation.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from dists import ARCHITECTURES, Dist
from failure import BuildError, run

HERE = Path(__file__).resolve().parent
PINS = HERE / "pins"
BUILD_TOOLS = ("setuptools>=77",)

# What no part of Joulepath reads at run time, relative to site-packages. Everything else stays as its wheel has it.
PRUNED = (
    "bin",  # command-line tools of the libraries
    "**/tests",
    "**/__pycache__",
    "**/*.pyi",
    "**/*.a",
    "**/include",
    "numpy/*core/_operand_flag_tests.*.so",
    "numpy/*core/_struct_ufunc_tests.*.so",
    "numpy/distutils",  # builds extensions
    "tqdm/completion.sh",
    "tqdm/tqdm.1",
    "cv2/data/*.xml",  # face detectors
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",  # graphics processors through WebGPU: 17 MB
    "ai_edge_litert/vendors",  # compiler plugins for phone chips
    "ai_edge_litert/tools",  # benchmark and compiler programs
    "ai_edge_litert/aot",  # compiling ahead of time, on a host
)


@dataclass(frozen=True)
class Pin:
    """One exact version, and the hashes of its files."""

    name: str
    version: str
    sha256: frozenset[str]

    def line(self) -> str:
        """As pip's requirements files write it."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash=sha256:{h}" for h in sorted(self.sha256))])


def cache_folder(root: Path) -> Path:
    """``$JOULEPATH_CACHE/wheels``, by default ``.cache/wheels`` in the repository `root`."""
    folder = Path(os.environ.get("JOULEPATH_CACHE") or root / ".cache") / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def read_pins(name: str) -> list[Pin]:
    """The pins of distribution `name`, or of ``build``."""
    file = PINS / f"{name}.txt"
    pins = []
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            what, *hashes = line.split()
            project, version = what.split("==")
            pins.append(Pin(project, version, frozenset(h.removeprefix("--hash=sha256:") for h in hashes)))
    return pins


def write_pins(dist: Dist) -> Path:
    """Resolve `dist`'s requirements for both architectures and write its pins. Needs the network."""
    found = [_resolve(dist.requirements, _target(dist, arch)) for arch in ARCHITECTURES]
    if {(p.name, p.version) for p in found[0]} != {(p.name, p.version) for p in found[1]}:
        raise BuildError(f"{dist.name}: the architectures would get different versions: {found[0]} and {found[1]}")
    hashes = {p.name: p.sha256 for p in found[1]}
    merged = [Pin(p.name, p.version, p.sha256 | hashes[p.name]) for p in found[0]]
    return _write(dist.name, f"{dist.label}: Python {dist.python}", merged)


def write_build_pins() -> Path:
    """Resolve what builds our own wheel and write its pins. Needs the network."""
    return _write("build", "what builds our own wheel", _resolve(BUILD_TOOLS, []))


def _write(name: str, title: str, pins: Iterable[Pin]) -> Path:
    file = PINS / f"{name}.txt"
    lines = sorted((pin.line() for pin in pins), key=str.lower)
    file.write_text("\n".join([f"# {title}. Written by: python3 systemd/deb/build.py --lock", *lines, ""]))
    return file


def _resolve(requirements: Sequence[str], target: Sequence[str]) -> list[Pin]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [*_pip("install"), "--dry-run", "--ignore-installed", "--report", report, "--only-binary=:all:"]
        run([*command, *(["--target", folder, *target] if target else []), *requirements])
        items = json.loads(report.read_text())["install"]
    return [
        Pin(
            item["metadata"]["name"],
            item["metadata"]["version"],
            frozenset([item["download_info"]["archive_info"]["hashes"]["sha256"]]),
        )
        for item in items
    ]


def _pip(command: str) -> list[str | Path]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", command]


def _target(dist: Dist, arch: str) -> list[str]:
    platforms = [word for platform in dist.platforms(arch) for word in ("--platform", platform)]
    digits = dist.python.replace(".", "")
    abis = [word for abi in (f"cp{digits}", "abi3", "none") for word in ("--abi", abi)]
    return [*platforms, *abis, "--python-version", dist.python, "--implementation", "cp"]


def fetch(pins: Sequence[Pin], target: Sequence[str], cache: Path, machine: str) -> list[Path]:
    """The pinned wheels for `machine` ("aarch64"), from `cache` where they are there, else downloaded, one by one.

    A file counts only when its hash is pinned; an interrupted download leaves what was complete.
    """
    return [_cached(pin, cache, machine) or _download(pin, target, cache, machine) for pin in pins]


def fetch_for(dist: Dist, arch: str, cache: Path) -> list[Path]:
    """`dist`'s wheels for `arch` ("arm64")."""
    return fetch(read_pins(dist.name), _target(dist, arch), cache, ARCHITECTURES[arch])


def _cached(pin: Pin, cache: Path, machine: str) -> Path | None:
    stem = re.sub(r"[-_.]+", "_", pin.name)
    for file in sorted(cache.glob("*.whl")):
        project, version, *_, platform = file.stem.split("-")
        if re.sub(r"[-_.]+", "_", project).lower() != stem.lower() or version != pin.version:
            continue
        fits = platform == "any" or platform.endswith(machine)
        if fits and hashlib.sha256(file.read_bytes()).hexdigest() in pin.sha256:
            return file
    return None


def _download(pin: Pin, target: Sequence[str], cache: Path, machine: str) -> Path:
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(pin.line() + "\n")
        command = [*_pip("download"), "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        run([*command, *target, "--dest", folder, "--requirement", wanted])
        for file in Path(folder).glob("*.whl"):
            os.replace(file, cache / file.name)
    found = _cached(pin, cache, machine)
    if found is None:
        raise BuildError(f"{pin.name} {pin.version}: no pinned wheel for {machine}; pin again with --lock")
    return found


def own_wheel(root: Path, cache: Path, out: Path, epoch: int) -> Path:
    """Our own packages as a wheel in `out`, built from a copy of `root` so that nothing appears in the working tree."""
    fetch(read_pins("build"), [], cache, "any")
    source = out / "source"
    keep = shutil.ignore_patterns("__pycache__", "*.egg-info", "checkpoints")
    for package in ("boards", "edge", "converters"):
        shutil.copytree(root / package, source / package, ignore=keep)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source / name)
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    command = [*_pip("wheel"), "--quiet", "--no-deps", "--no-index", "--find-links", cache, "--wheel-dir", out]
    run([*command, source], env=env)
    shutil.rmtree(source)
    (wheel,) = out.glob("joulepath-*.whl")
    return wheel


def unpack(wheels: Sequence[Path], dist: Dist, arch: str, site: Path) -> None:
    """Install `wheels` into `site`, leave out what is never used, and leave nothing of this machine in it."""
    command = [*_pip("install"), "--quiet", "--no-deps", "--no-index", "--no-compile", "--only-binary=:all:"]
    run([*command, *_target(dist, arch), "--target", site, *wheels])
    for pattern in PRUNED:
        for path in sorted(site.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for info in site.glob("*.dist-info"):
        for name in ("RECORD", "REQUESTED", "direct_url.json"):  # of pip's installation here, not of the package
            (info / name).unlink(missing_ok=True)
        (info / "INSTALLER").write_text("dpkg\n")


def check_closure(site: Path, dist: Dist, arch: str) -> list[Distribution]:
    """Every distribution in `site`, once each of them finds there what it requires on the board's Python.

    pip judges environment markers by the Python it runs on; here they are judged by the board's. Raises BuildError.
    """
    from pip._vendor.packaging.requirements import Requirement  # pip is what builds; nothing more need be installed

    found = sorted(distributions(path=[str(site)]), key=lambda d: str(d.name).lower())
    versions = {_canonical(d.name): d.version for d in found}
    environment = {
        "python_version": dist.python,
        "python_full_version": f"{dist.python}.0",
        "platform_machine": ARCHITECTURES[arch],
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    for one in found:
        for text in one.requires or []:
            needed = Requirement(text)
            if needed.marker is not None and not needed.marker.evaluate(environment):
                continue
            version = versions.get(_canonical(needed.name))
            if version is None or not needed.specifier.contains(version, prereleases=True):
                raise BuildError(
                    f"{dist.name} {arch}: {one.name} {one.version} requires {text}, and the package has "
                    f"{version or 'none'}; correct dists.py and pin again with --lock"
                )
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
