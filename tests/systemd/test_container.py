"""The fast lab's container itself: it boots, and it is gone, however its owner ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.systemd.container import Container, mounts_below, wait_for, why_not

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
OWNER = """
import os, signal, sys
from pathlib import Path
from tests.systemd.container import Container
with Container(Path(sys.argv[1]), {}, {}) as container:
    print(container.run("readlink", "/proc/self/ns/pid"), end="", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _processes_in(pid_name_space: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if os.readlink(folder / "ns/pid") == pid_name_space:
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def test_it_boots_and_leaves_nothing(tmp_path: Path) -> None:
    null = os.stat("/dev/null").st_mode
    shared = tmp_path / "shared"
    shared.mkdir()
    with Container(
        tmp_path, {"/opt/say": "#!/bin/sh\necho said > /opt/shared/it\n"}, {}, {shared: "/opt/shared"}
    ) as it:
        assert it.run("cat", "/proc/1/comm") == "systemd\n"
        name_space = it.run("readlink", "/proc/self/ns/pid").strip()
        assert _processes_in(name_space)
        it.run("/opt/say")
        cgroups = list(it.cgroups)
        assert all(group.is_dir() for group in cgroups)
    assert (shared / "it").read_text() == "said\n"
    assert not Path("/opt/say").exists()
    assert (mounts_below(tmp_path), os.stat("/dev/null").st_mode) == ([], null)
    assert _processes_in(name_space) == []
    assert not [group for group in cgroups if group.exists()]


def test_a_container_whose_owner_is_killed_dies_with_it(tmp_path: Path) -> None:
    owner = subprocess.run(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        timeout=120,
        check=False,
    )
    assert owner.returncode == -signal.SIGKILL
    name_space = owner.stdout.strip()
    assert name_space.startswith("pid:[")
    wait_for(lambda: _processes_in(name_space) == [], 10, lambda: "the end of its processes")
    assert mounts_below(tmp_path) == []
