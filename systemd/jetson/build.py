"""Build the Jetson overlay: what a user applies to NVIDIA's root file system before flash.sh.

    python3 systemd/jetson/build.py --out dist

builds the packages for JetPack 6 and 7 (or takes those of --packages), writes joulepath-jetson-overlay-VERSION.tar.gz
and prints its path.
"""

from __future__ import annotations

import argparse
import gzip
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEB_RECIPE = HERE.parent / "deb" / "build.py"
PARTS = ("apply.sh", "install", "joulepath-first-boot.service")


@dataclass(frozen=True)
class Target:
    """One L4T generation: what its first line in /etc/nv_tegra_release says, and the Ubuntu below it."""

    l4t: str  # "R36"
    codename: str
    python: str


TARGETS = (Target("R36", "jammy", "python3.10"), Target("R38", "noble", "python3.12"))


class OverlayError(Exception):
    """The overlay cannot be built; the message says why."""


def main(arguments: list[str] | None = None) -> int:
    """0 when the overlay was built; prints its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "dist", help="folder for the overlay (dist)")
    parser.add_argument("--packages", type=Path, help="folder with the two arm64 packages, built already")
    asked = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="joulepath-jetson-") as folder:
            built = asked.packages or _build_packages(Path(folder))
            packages = {target: _package(built, target) for target in TARGETS}
            version = packages[TARGETS[0]].name.split("_")[1].split("-")[0]
            name = f"joulepath-jetson-overlay-{version}"
            overlay = Path(folder, name)
            make_overlay(overlay, packages)
            asked.out.mkdir(parents=True, exist_ok=True)
            print(archive(overlay, asked.out / f"{name}.tar.gz"))
    except OverlayError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


def make_overlay(overlay: Path, packages: dict[Target, Path]) -> None:
    """Lay the overlay out in the new folder `overlay`: the script, the first boot's unit, a package for each target."""
    overlay.mkdir(parents=True)
    for name in PARTS:
        shutil.copy(HERE / "overlay" / name, overlay / name)
    shutil.copy(HERE / "README.md", overlay / "README.md")
    lines = []
    for target, package in packages.items():
        shutil.copy(package, overlay / package.name)
        lines.append(f"{target.l4t} {target.codename} {target.python} {package.name}\n")
    (overlay / "packages.txt").write_text("".join(lines))


def archive(overlay: Path, file: Path) -> Path:
    """`overlay` as a .tar.gz that depends on nothing but its contents."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for path in [overlay, *sorted(overlay.iterdir())]:
            entry = tar.gettarinfo(str(path), arcname=str(path.relative_to(overlay.parent)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = 0
            entry.mode = 0o755 if path.is_dir() or path.name in ("apply.sh", "install") else 0o644
            if path.is_dir():
                tar.addfile(entry)
            else:
                with path.open("rb") as content:
                    tar.addfile(entry, content)
    # The packages are compressed already.
    file.write_bytes(gzip.compress(plain.getvalue(), compresslevel=1, mtime=0))
    return file


def _build_packages(folder: Path) -> Path:
    for target in TARGETS:
        command: Sequence[str | Path] = [sys.executable, DEB_RECIPE, "--dist", target.codename, "--arch", "arm64"]
        if subprocess.run([*command, "--out", folder], stdout=subprocess.DEVNULL, check=False).returncode != 0:
            raise OverlayError(f"the package for {target.codename} could not be built; see above")
    return folder


def _package(folder: Path, target: Target) -> Path:
    found = sorted(folder.glob(f"joulepath_*~{target.codename}*_arm64.deb"))
    if len(found) != 1:
        raise OverlayError(f"{folder}: {len(found)} packages for {target.codename} arm64, where one was expected")
    return found[0]


if __name__ == "__main__":
    sys.exit(main())
