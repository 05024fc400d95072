"""Build Joulepath's Debian packages on any x86-64 or Arm host, for any of the releases: no root, no emulation.

    python3 systemd/deb/build.py --dist bookworm --arch arm64 --out dist

prints the path of each package. --lock resolves the pinned versions again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import elf
import tree
import wheels
from dists import ARCHITECTURES, DISTS, Dist
from failure import BuildError, run

ROOT = Path(__file__).resolve().parents[2]
_SMALL, _FAST = ("-Zxz",), ("-Zgzip", "-z1")  # lintian refuses -Znone, which -z0 comes to


def main(arguments: list[str] | None = None) -> int:
    """0 when every package asked for was built."""
    asked = _parser().parse_args(arguments)
    dists = list(DISTS.values()) if asked.dist == "all" else [DISTS[asked.dist]]
    arches = list(ARCHITECTURES) if asked.arch == "all" else [asked.arch]
    try:
        if asked.lock:
            for file in [wheels.write_build_pins(), *map(wheels.write_pins, dists)]:
                print(file)
            return 0
        for dist in dists:
            for arch in arches:
                print(build(dist, arch, asked.out, fast=asked.fast), flush=True)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


def build(dist: Dist, arch: str, out: Path, root: Path = ROOT, *, fast: bool = False) -> Path:
    """The package for `dist` and `arch` ("arm64", "amd64") in `out`. Raises BuildError.

    `fast` packs with gzip: a third of the time and half as much again in size, for trying things out.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    epoch, upstream, cache = source_epoch(root), upstream_version(root), wheels.cache_folder(root)
    with tempfile.TemporaryDirectory(prefix="joulepath-deb-") as folder:
        place = Path(folder, "tree")
        site = place / dist.site
        site.mkdir(parents=True)
        own = wheels.own_wheel(root, cache, Path(folder), epoch)
        wheels.unpack([own, *wheels.fetch_for(dist, arch, cache)], dist, arch, site)
        tree.move_bundle(place, site)
        tree.lay_out_system(place, root, dist)
        tree.write_copyright(place, dist, wheels.check_closure(site, dist, arch))
        native = elf.dependencies(place, dist, arch)
        tree.write_control(place, dist, arch, upstream, native, epoch)
        package = out / f"joulepath_{tree.debian_version(upstream, dist)}_{arch}.deb"
        pack(place, package, epoch, _FAST if fast else _SMALL)
        installed_mb = tree.installed_kib(place) * 1024 / 1e6
    size_mb, took_s = package.stat().st_size / 1e6, time.monotonic() - started
    print(f"{package.name}: {size_mb:.1f} MB, {installed_mb:.0f} MB installed, {took_s:.0f} s", file=sys.stderr)
    return package


def pack(place: Path, package: Path, epoch: int, compression: Sequence[str]) -> None:
    """`place` as a .deb; the same tree gives the same bytes, whoever owns it and whenever it is made."""
    tree.normalise(place, epoch)
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(place)}\n"
        for path in sorted(place.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.relative_to(place).parts[0] != "DEBIAN"
    ]
    (place / "DEBIAN/md5sums").write_text("".join(sums))
    tree.normalise(place, epoch)
    part = package.with_suffix(".part")
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "LC_ALL": "C.UTF-8"}
    run(["dpkg-deb", "--root-owner-group", *compression, "--build", place, part], env=env)
    part.replace(package)


def upstream_version(root: Path) -> str:
    """The version in pyproject.toml."""
    found = re.search(r'^version = "(.+)"$', (root / "pyproject.toml").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError(f"{root / 'pyproject.toml'}: no version there")
    return found[1]


def source_epoch(root: Path) -> int:
    """Seconds since 1970 that every file in the package bears: $SOURCE_DATE_EPOCH, or the last commit's time."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
        given = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    if not given.strip().isdigit():
        raise BuildError(f"{root} is no git clone, so set SOURCE_DATE_EPOCH to the seconds since 1970 of this source")
    return int(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dist", default="bookworm", choices=[*DISTS, "all"], help="release (bookworm)")
    parser.add_argument("--arch", default="all", choices=[*ARCHITECTURES, "all"], help="architecture (all)")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the packages (dist)")
    parser.add_argument("--fast", action="store_true", help="pack quickly instead of small, for tests")
    parser.add_argument("--lock", action="store_true", help="only resolve and write the pins; needs the network")
    return parser


if __name__ == "__main__":
    sys.exit(main())
