"""What a Jetson says of itself: Linux for Tegra's release and the JetPack it belongs to, the module, the power mode."""

from __future__ import annotations

import re
from pathlib import Path

from boards.assembly import compatible
from boards.roots import Roots

_RELEASE = re.compile(r"#\s*R(\d{1,3})\s*\(release\),\s*REVISION:\s*(\d{1,2}(?:\.\d{1,2}){0,2})\b")
_PART = re.compile(r"p\d{4}-\d{4}")
_MODE = re.compile(r"pmode:0*(\d{1,3})\b")
_MODE_NAME = re.compile(r"^\s*<\s*POWER_MODEL\s+ID=(\d{1,3})\s+NAME=([!-=?-~]{1,40})\s*>", re.MULTILINE)
_MOST_BYTES = 1 << 16

# NVIDIA's JetPack archive. A release that is not here is told by its generation alone.
_JETPACK = {
    "32.1": "4.2", "32.2": "4.2.1", "32.2.1": "4.2.2", "32.2.3": "4.2.3", "32.3.1": "4.3", "32.4.3": "4.4",
    "32.4.4": "4.4.1", "32.5": "4.5", "32.5.1": "4.5.1", "32.5.2": "4.5.1", "32.6.1": "4.6", "32.7.1": "4.6.1",
    "32.7.2": "4.6.2", "32.7.3": "4.6.3", "32.7.4": "4.6.4", "32.7.5": "4.6.5", "32.7.6": "4.6.6",
    "34.1": "5.0 DP", "34.1.1": "5.0.1 DP", "35.1": "5.0.2", "35.2.1": "5.1", "35.3.1": "5.1.1", "35.4.1": "5.1.2",
    "35.5": "5.1.3", "35.6": "5.1.4", "35.6.1": "5.1.5", "36.2": "6.0 DP", "36.3": "6.0", "36.4": "6.1",
    "36.4.3": "6.2", "36.4.4": "6.2.1", "36.4.7": "6.2.1", "36.5": "6.2.2", "38.2": "7.0", "38.2.1": "7.0",
    "38.2.2": "7.0", "38.4": "7.1", "39.2": "7.2", "39.2.1": "7.2.1",
}  # fmt: skip
_GENERATION = {32: "4", 34: "5", 35: "5", 36: "6", 38: "7", 39: "7"}


def module_facts(roots: Roots) -> dict[str, str]:
    """Details for people, each where it can be read: ``module``, ``l4t``, ``jetpack``, ``power mode``."""
    facts = {}
    module, release, mode = module_part(roots), l4t_release(roots), power_mode(roots)
    if module is not None:
        facts["module"] = module
    if release is not None:
        facts["l4t"] = release
        facts["jetpack"] = jetpack_of(release) or "unknown: Joulepath does not know this L4T release"
    if mode is not None:
        facts["power mode"] = f"{mode}, as nvpmodel last set it"
    return facts


def l4t_release(roots: Roots) -> str | None:
    """The release of Linux for Tegra, e.g. ``36.4.3``, from `nv_tegra_release`."""
    match = _RELEASE.match(_text(roots.etc / "nv_tegra_release"))
    return f"{match[1]}.{match[2]}" if match else None


def jetpack_of(release: str) -> str | None:
    """The JetPack that an L4T release belongs to: a version where the table has it, else its generation (``6.x``)."""
    version = _JETPACK.get(release.removesuffix(".0"))
    if version is not None:
        return version
    generation = _GENERATION.get(int(release.split(".")[0]))
    return f"{generation}.x" if generation else None


def module_part(roots: Roots) -> str | None:
    """The module's part number, e.g. ``p3767-0005``: the last one of the device tree's most specific name."""
    for name in compatible(roots):
        parts = _PART.findall(name)
        if parts:
            return str(parts[-1])
    return None


def is_module(roots: Roots, *families: str) -> bool:
    """Whether the module is of one of the part families, e.g. ``p2888``."""
    return (module_part(roots) or "").startswith(families)


def power_mode(roots: Roots) -> str | None:
    """The mode that nvpmodel last set, by its name, without asking it (which wants root). It may not be in force."""
    status = _MODE.search(_text(roots.etc.parent / "var/lib/nvpmodel/status"))  # Roots has no /var; it lies beside /etc
    if status is None:
        return None
    names: dict[str, str] = dict(_MODE_NAME.findall(_text(roots.etc / "nvpmodel.conf")))
    return names.get(status[1], f"mode {status[1]}")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
