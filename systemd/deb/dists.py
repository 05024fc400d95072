"""The releases that a package is built for: their Python, their C library, and which numpy their own packages take."""

from __future__ import annotations

from dataclasses import dataclass

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}  # Debian's name, the wheels' name

# What `joulepath run` needs besides numpy and OpenCV, as pyproject.toml has it: ai-edge-litert is the engine in all of
# them, since it has wheels for CPython 3.10 to 3.14 on both architectures and runs with numpy 1.26 and 2.
COMMON = ("ai-edge-litert>=2.3", "psutil>=5.9", "pydantic>=2.6", "rich>=13", "typer>=0.12")


@dataclass(frozen=True)
class Dist:
    """One distribution release."""

    name: str
    label: str
    python: str  # of its /usr/bin/python3, "3.11"
    glibc: str  # "2.36"; no wheel may ask for a later one
    system_numpy: str  # what its own compiled packages (picamera2, OpenCV) were built with
    requirements: tuple[str, ...]
    library_root: str  # where its debhelper puts units and udev rules: "lib", or "usr/lib" since the /usr merge

    @property
    def site(self) -> str:
        """The vendored packages' folder in the package."""
        return f"usr/lib/joulepath/lib/python{self.python}/site-packages"

    def platforms(self, arch: str) -> list[str]:
        """Wheel platforms that this release runs on `arch` ("arm64"), best first."""
        machine = ARCHITECTURES[arch]
        newest = int(self.glibc.split(".")[1])
        return [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 16, -1)] + [f"manylinux2014_{machine}"]

    def next_python(self) -> str:
        """The first Python that the package does not run with: "3.12" for "3.11"."""
        major, minor = self.python.split(".")
        return f"{major}.{int(minor) + 1}"


# numpy 2 refuses modules that were compiled against numpy 1, so it is 1.26 wherever the release's own packages are of
# that kind. OpenCV's 4.12 and later want numpy 2: 4.11 is the last for numpy 1. OpenCV 5 waits until it was tried.
_NUMPY_1 = ("numpy>=1.26,<2", "opencv-python-headless>=4.8,<4.12")
_NUMPY_2 = ("numpy>=2.2,<2.3", "opencv-python-headless>=4.12,<5")

DISTS = {
    dist.name: dist
    for dist in (
        Dist("bookworm", "Debian 12, Raspberry Pi OS Bookworm", "3.11", "2.36", "1.24", COMMON + _NUMPY_1, "lib"),
        Dist("trixie", "Debian 13, Raspberry Pi OS Trixie", "3.13", "2.41", "2.2", COMMON + _NUMPY_2, "usr/lib"),
        Dist(
            "jammy", "Ubuntu 22.04, JetPack 6", "3.10", "2.35", "1.21", (*COMMON, *_NUMPY_1, "tomli>=2"), "lib"
        ),  # tomllib came with Python 3.11
        Dist("noble", "Ubuntu 24.04, JetPack 7", "3.12", "2.39", "1.26", COMMON + _NUMPY_1, "usr/lib"),
    )
}
