"""The package's files, laid out below a folder as they will lie below / on a board."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from email.utils import formatdate
from importlib.metadata import Distribution
from pathlib import Path

from dists import Dist

HERE = Path(__file__).resolve().parent
TEMPLATES = HERE / "debian"
SYSTEMD = HERE.parent
MAINTAINER, ADDRESS = "Joulepath maintainers", "maintainers@example.org"  # $DEBFULLNAME, $DEBEMAIL

# Source below systemd/, and place in the package; {root} is the release's own library root.
_SYSTEM_FILES = {
    "joulepath.service": "{root}/systemd/system/joulepath.service",
    "joulepath.sysusers": "usr/lib/sysusers.d/joulepath.conf",
    "joulepath.tmpfiles": "usr/lib/tmpfiles.d/joulepath.conf",
    "99-joulepath.rules": "{root}/udev/rules.d/99-joulepath.rules",
    "config.toml": "etc/joulepath/config.toml",
}
_EXECUTABLE = (
    "usr/bin/joulepath",
    "usr/lib/joulepath/bin/link-drop-in",
    "DEBIAN/postinst",
    "DEBIAN/prerm",
    "DEBIAN/postrm",
)


def debian_version(upstream: str, dist: Dist) -> str:
    """``0.2.0.dev1`` for bookworm is ``0.2.0~dev1-1~bookworm1``: before 0.2.0, and before trixie's."""
    return re.sub(r"\.?(dev|a|b|rc)(\d)", r"~\1\2", upstream) + f"-1~{dist.name}1"


def lay_out_system(tree: Path, root: Path, dist: Dist) -> None:
    """Everything outside the vendored packages: launcher, unit, configuration, demo bundle, documents."""
    home = tree / "usr/lib/joulepath"
    _put(tree / "usr/bin/joulepath", (TEMPLATES / "launcher").read_bytes())
    _put(home / "bin/joulepath", (TEMPLATES / "joulepath.py").read_bytes())
    _put(home / "bin/link-drop-in", (TEMPLATES / "link-drop-in").read_bytes())
    # A venv that sees the system's packages after its own; the children that joulepath starts are in it too.
    _put(home / "pyvenv.cfg", b"home = /usr/bin\ninclude-system-site-packages = true\n")
    (home / "bin/python3").symlink_to("../../../bin/python3")
    for name, place in _SYSTEM_FILES.items():
        _put(tree / place.format(root=dist.library_root), (SYSTEMD / name).read_bytes())
    for file in sorted((SYSTEMD / "drop-ins").glob("*.conf")):
        _put(tree / "usr/share/joulepath/drop-ins" / file.name, file.read_bytes())
    _put(tree / "usr/share/man/man1/joulepath.1.gz", _gz((TEMPLATES / "joulepath.1").read_bytes()))
    documents = tree / "usr/share/doc/joulepath"
    for file in [*sorted((root / "docs").glob("*.md")), root / "edge/demo/MODEL_CARD.md"]:
        _put(documents / file.name, file.read_bytes())
    _put(documents / "changelog.gz", _gz((root / "CHANGELOG.md").read_bytes()))
    _put(tree / "usr/share/lintian/overrides/joulepath", (TEMPLATES / "lintian-overrides").read_bytes())


def move_bundle(tree: Path, site: Path) -> None:
    """The demo bundle is data: it lies under /usr/share, and where the code looks for it is a link there."""
    bundle, place = site / "edge/demo/bundle", tree / "usr/share/joulepath/bundles/demo"
    place.parent.mkdir(parents=True)
    shutil.move(bundle, place)
    bundle.symlink_to(os.path.relpath(place, bundle.parent))


def write_copyright(tree: Path, dist: Dist, vendored: list[Distribution]) -> None:
    """Our own terms, and for each vendored library its licence as its metadata names it."""
    paragraphs = [(TEMPLATES / "copyright").read_text()]
    for one in vendored:
        if one.name == "joulepath":
            continue
        metadata = one.metadata.json
        named = str(metadata.get("license_expression") or metadata.get("license") or "")
        classifiers = [c.split(" :: ")[-1] for c in metadata.get("classifier", []) if c.startswith("License")]
        licence = named if named and "\n" not in named else " and ".join(classifiers) or "see its folder"
        info = f"{one._path.name}"  # type: ignore[attr-defined]
        paragraphs.append(
            f"Files: {dist.site}/{info.split('-')[0]}*\n"
            f"Copyright: (c) its authors, named in /{dist.site}/{info}\n"
            f"License: {licence}\n"
            f" {one.name} {one.version}; the text, where its makers ship it, is in /{dist.site}/{info}.\n"
        )
    _put(tree / "usr/share/doc/joulepath/copyright", "\n".join(paragraphs).encode())


def write_control(tree: Path, dist: Dist, arch: str, upstream: str, native: list[str], epoch: int) -> None:
    """DEBIAN/ and the changelog, from the templates."""
    values = {
        "VERSION": debian_version(upstream, dist),
        "UPSTREAM": upstream,
        "ARCH": arch,
        "DIST": dist.name,
        "LABEL": dist.label,
        "PYTHON": dist.python,
        "NEXT_PYTHON": dist.next_python(),
        "NATIVE": ", ".join(native),
        "DATE": formatdate(epoch),
        "MAINTAINER": f"{os.environ.get('DEBFULLNAME', MAINTAINER)} <{os.environ.get('DEBEMAIL', ADDRESS)}>",
    }
    _put(tree / "usr/share/doc/joulepath/changelog.Debian.gz", _gz(_filled("changelog", values)))
    values["SIZE"] = str(installed_kib(tree))
    _put(tree / "DEBIAN/control", _filled("control", values))
    _put(tree / "DEBIAN/conffiles", b"/etc/joulepath/config.toml\n")
    for script in ("postinst", "prerm", "postrm"):
        _put(tree / "DEBIAN" / script, (TEMPLATES / script).read_bytes())


def installed_kib(tree: Path) -> int:
    """As Debian counts it: each file rounded up to KiB, one KiB for everything else."""
    entries = [path for path in tree.rglob("*") if "DEBIAN" not in path.relative_to(tree).parts]
    return sum(-(-path.stat().st_size // 1024) if path.is_file() and not path.is_symlink() else 1 for path in entries)


def normalise(tree: Path, epoch: int) -> None:
    """Modes and times that do not depend on who builds, and when."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            executable = path.is_dir() or str(path.relative_to(tree)) in _EXECUTABLE
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def _put(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def _gz(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=9, mtime=0)


def _filled(template: str, values: dict[str, str]) -> bytes:
    text = (TEMPLATES / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text.encode()
