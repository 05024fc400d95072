"""The unit files as they are shipped, read by systemd's own tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edge.config import load_config

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = "joulepath.service"
DROP_INS = sorted(path.name for path in (SYSTEMD / "drop-ins").glob("*.conf"))
ALONE, WITH_NETWORK = 1.5, 2.0
CONDITIONAL = re.compile(r"^SupplementaryGroups=", re.MULTILINE)


def _needs(tool: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"needs {tool}: apt-get install {package}")


def _offline_review() -> bool:
    if shutil.which("systemd-analyze") is None:
        return False
    told = subprocess.run(["systemd-analyze", "--help"], capture_output=True, text=True, check=False)
    return "--offline" in told.stdout


analyze = _needs("systemd-analyze", "systemd")
review = pytest.mark.skipif(not _offline_review(), reason="needs systemd-analyze security --offline (systemd 250)")


def _installed(folder: Path, *drop_ins: str) -> Path:
    """The unit with these drop-ins as a package installs them; what it starts is a program that this machine has."""
    unit = folder / UNIT
    unit.write_text((SYSTEMD / UNIT).read_text().replace("ExecStart=/usr/bin/joulepath", "ExecStart=/bin/true"))
    (folder / f"{UNIT}.d").mkdir()
    for name in drop_ins:
        shutil.copy(SYSTEMD / "drop-ins" / name, folder / f"{UNIT}.d" / name)
    return unit


@analyze
@pytest.mark.parametrize("drop_ins", [(), *((name,) for name in DROP_INS), tuple(DROP_INS)], ids=lambda d: "+".join(d))
def test_systemd_finds_nothing_to_say_against_it(tmp_path: Path, drop_ins: tuple[str, ...]) -> None:
    unit = _installed(tmp_path, *drop_ins)
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    about_us = [line for line in verified.stderr.splitlines() if "joulepath" in line]
    assert (verified.returncode, about_us) == (0, [])


@review
@pytest.mark.parametrize(("drop_ins", "most"), [((), ALONE), (("network.conf",), WITH_NETWORK)])
def test_exposure(tmp_path: Path, drop_ins: tuple[str, ...], most: float) -> None:
    assert _exposure(_installed(tmp_path, *drop_ins)) <= most


@review
def test_the_network_is_closed_without_its_drop_in_and_open_with_it(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").mkdir()
    closed, opened = _installed(tmp_path / "closed"), _installed(tmp_path / "open", "network.conf")
    assert _exposure(closed) < _exposure(opened)  # so drop-ins are looked at
    assert _review(closed)["PrivateNetwork="]["set"] is True
    assert _review(opened)["PrivateNetwork="]["set"] is False


def _review(unit: Path) -> dict[str, dict[str, object]]:
    command = ["systemd-analyze", "security", "--offline=yes", "--json=short", unit]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {row["name"]: row for row in json.loads(told)}


def _exposure(unit: Path) -> float:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", unit]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert found is not None, told
    return float(found[1])


def test_no_group_that_may_be_missing_stops_the_unit() -> None:
    assert not CONDITIONAL.search((SYSTEMD / UNIT).read_text())


@_needs("systemd-sysusers", "systemd")
def test_the_user_and_its_groups(tmp_path: Path) -> None:
    for name in ("passwd", "group"):
        (tmp_path / "etc").mkdir(exist_ok=True)
        (tmp_path / "etc" / name).write_text("root:x:0:0::/root:/bin/sh\n" if name == "passwd" else "root:x:0:\n")
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "joulepath.sysusers"], check=True)
    (user,) = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines() if "joulepath" in line]
    groups = {line.split(":")[0]: line.split(":")[3] for line in (tmp_path / "etc/group").read_text().splitlines()}
    assert 0 < int(user[2]) < 1000
    assert user[5:] == ["/var/lib/joulepath", "/usr/sbin/nologin"]
    assert groups["video"] == "joulepath"


@_needs("systemd-tmpfiles", "systemd")
def test_the_folders(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("joulepath:x:990:991::/:/bin/false\n")
    (tmp_path / "etc/group").write_text("joulepath:x:991:\n")
    command = ["systemd-tmpfiles", "--create", f"--root={tmp_path}", SYSTEMD / "joulepath.tmpfiles"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("giving folders to a user needs root")
    assert done.returncode == 0, done.stderr
    for place in ("var/lib/joulepath", "var/cache/joulepath"):
        seen = (tmp_path / place).stat()
        assert (seen.st_mode & 0o7777, seen.st_uid, seen.st_gid) == (0o750, 990, 991)


def test_the_shipped_configuration_is_one() -> None:
    config = load_config(SYSTEMD / "config.toml")
    assert (str(config.bundle), config.camera, config.board) == ("demo", "/dev/video0", "auto")


def test_each_commented_setting_exists_and_states_its_default(tmp_path: Path) -> None:
    text = (SYSTEMD / "config.toml").read_text()
    spelled_out = tmp_path / "config.toml"
    spelled_out.write_text(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))
    shipped, told = load_config(SYSTEMD / "config.toml"), load_config(spelled_out)
    # Off by default: the file shows how they are written.
    example_only = {"deadline_ms", "max_power_w", "min_fps", "allow_lower_fps"}
    by_choice: Any = {"controller": example_only, "inference": {"skip_unchanged"}, "power_modes": True}
    assert told.model_dump(exclude=by_choice) == shipped.model_dump(exclude=by_choice)
    assert all(getattr(told.controller, name) is not None for name in example_only)
    assert told.inference.skip_unchanged
    assert (told.power_modes.when, shipped.power_modes.when) == ("on_emergency", "never")
