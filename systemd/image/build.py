#!/usr/bin/env python3
"""Build Joulepath's flashable image for the Raspberry Pi 3, 4 and Zero 2 W: python3 systemd/image/build.py --help"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from piimage import card, settings
from piimage.base import base_tar, private_hosts
from piimage.bootfolder import fill_boot
from piimage.rootfolder import fill_root, names_of
from piimage.tools import RecipeError, check_tools, holds, run, sha256

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


def main() -> int:
    arguments = _arguments()
    try:
        if os.geteuid() != 0:
            raise RecipeError("files of the image belong to root: run it as root (sudo make image)")
        check_tools()
        build(arguments.deb, arguments.out, arguments.cache, compress=not arguments.no_xz)
    except (RecipeError, OSError) as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the flashable Raspberry Pi image.")
    parser.add_argument("--deb", type=Path, help="joulepath's package for bookworm arm64; built when not given")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "dist", help="folder for the image (default: dist)")
    cache = os.environ.get("JOULEPATH_CACHE")
    parser.add_argument(
        "--cache", type=Path, default=(Path(cache) if cache else REPOSITORY / ".cache") / "image",
        help="folder for the slow step's result (default: $JOULEPATH_CACHE/image or .cache/image)",
    )  # fmt: skip
    parser.add_argument("--no-xz", action="store_true", help="leave the compressed copy out")
    return parser.parse_args()


def build(deb: Path | None, out: Path, cache: Path, *, compress: bool) -> Path:
    """All steps; returns the image's path. Raises RecipeError."""
    epoch_s = source_epoch_s()
    steps = Steps()
    cache.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    base = base_tar(cache)
    steps.done("Debian for the board")
    with tempfile.TemporaryDirectory(prefix="work-", dir=cache) as folder:
        work = Path(folder)
        package = deb or make_package(work)
        steps.done("Joulepath's package")
        root, boot = work / "root", work / "boot"
        root.mkdir(mode=0o755)
        boot.mkdir()
        fill_root(base, package, HERE / "root", root, epoch_s)
        steps.done("root folder")
        modules = fill_boot(root, boot, HERE / "boot", epoch_s)
        steps.done(f"boot folder, {len(modules)} early modules")
        card.make_root(root, work / "root.ext4", epoch_s)
        card.make_boot(boot, work / "boot.vfat", epoch_s)
        version = run("dpkg-deb", "--field", package, "Version").decode().strip().rpartition("-")[0]
        image = out / f"joulepath-{version}-rpi-{settings.ARCHITECTURE}.img"
        card.assemble(work / "boot.vfat", work / "root.ext4", image)
        if holds(image, private_hosts()):
            image.unlink()
            raise RecipeError("the image names this machine's own Debian mirror; see NOT_IN_IMAGE in rootfolder.py")
        image.with_suffix(".packages.txt").write_text(names_of(root))
        steps.done("image")
    written = [image]
    if compress:
        written.append(card.compress(image))
        steps.done("compressed copy")
    image.with_suffix(".sha256").write_text("".join(f"{sha256(path)}  {path.name}\n" for path in written))
    for path in written:
        print(f"{path}: {path.stat().st_size / settings.MIB:.0f} MiB")
    return image


def source_epoch_s() -> int:
    """The time that the image's files carry: SOURCE_DATE_EPOCH, else that of the last commit, else the recipe's own."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    done = subprocess.run(
        ["git", "-C", str(REPOSITORY), "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False
    )
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else settings.DEFAULT_EPOCH_S


def make_package(folder: Path) -> Path:
    """Our package for the board, built by the package's own recipe."""
    script = HERE.parent / "deb" / "build.py"
    run(sys.executable, script, "--dist", settings.SUITE, "--arch", settings.ARCHITECTURE, "--out", folder / "deb")
    found = sorted((folder / "deb").glob("*.deb"))
    if len(found) != 1:
        raise RecipeError(f"{script.name} made {len(found)} packages where one was expected")
    return found[0]


class Steps:
    """Says what is done and how long it took."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def done(self, what: str) -> None:
        now_s = time.monotonic()
        print(f"image: {what} ({now_s - self._last_s:.0f} s)", flush=True)
        self._last_s = now_s


if __name__ == "__main__":
    sys.exit(main())
