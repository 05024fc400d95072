"""The service as it is shipped, under a real PID 1: what systemd, the daemon and the journal make of each fault.

Skipped where there is no root or no systemd-nspawn; the reason says what to install.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge.journal import Level
from tests.systemd.container import Container, mounts_below, wait_for, why_not
from tests.systemd.lab import CONFIG, SOCKET, STATE, SYSTEMD, UNIT, WATCHDOG_S, Lab, binds, files

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

STOP_S = 2.0
DROP_INS = sorted((SYSTEMD / "drop-ins").glob("*.conf"))


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    null = os.stat("/dev/null").st_mode
    folder = tmp_path_factory.mktemp("lab")
    state = folder / "state"
    state.mkdir()
    with Container(folder, files(), binds(), {state: STATE}) as container:
        lab = Lab(container, state)
        try:
            yield lab
        finally:
            lab.close()
    assert os.stat("/dev/null").st_mode == null
    assert mounts_below(folder) == []
    assert not os.path.exists(f"/proc/{container.pid1}")


@pytest.fixture
def streaming(booted: Lab) -> Lab:
    """The service with a camera, cool and charged, serving frames."""
    booted.sense(battery_percent=90, celsius=45.0)
    booted.configure()
    if booted.show("ActiveState") != "active" or "no such device" in booted.show("StatusText"):
        booted.systemctl("reset-failed")
        booted.systemctl("restart", UNIT)
    booted.until("frames of the best variant", lambda s: s["frames"] > 3 and s["variant"].startswith("full"))
    return booted


def test_out_of_the_box_it_waits_for_a_camera_and_says_so(booted: Lab) -> None:
    booted.systemctl("start", UNIT)  # returns when the service says that it is ready
    daemon = booted.main_pid()
    time.sleep(1.5 * WATCHDOG_S)  # a watchdog that nothing feeds would have gone off
    assert (booted.main_pid(), booted.show("NRestarts")) == (daemon, "0")
    assert "0 frames" in booted.show("StatusText")
    assert "camera /dev/video0: no such device" in booted.show("StatusText")
    booted.systemctl("stop", UNIT)
    assert _took_to_stop_s(booted) < STOP_S
    assert [event.level for event in booted.events("camera_lost")] == [Level.ERROR]
    with booted.journal() as reader:
        assert reader.run().outcome == "finished"


def test_it_is_ready_when_the_first_frame_was_served(booted: Lab) -> None:
    booted.configure()
    booted.systemctl("start", UNIT)
    ready_ns = 1000 * int(booted.show("ActiveEnterTimestampMonotonic"))
    assert booted.status()["frames"] >= 1
    wait_for(lambda: booted.frames(1) != [], 20, lambda: "rows in the journal")
    (first,) = booted.frames(1)
    assert first.start_ns + 1000 * (first.infer_us + first.finish_us) <= ready_ns


def test_who_may_see_what(streaming: Lab) -> None:
    place = streaming.container.path
    user = os.stat(f"/proc/{streaming.main_pid()}").st_uid
    assert user != 0
    modes = {
        path: (stat.S_IMODE(place(path).stat().st_mode), place(path).stat().st_uid == user)
        for path in (
            STATE,
            f"{STATE}/journal.db",
            f"{STATE}/journal.db-wal",
            "/run/joulepath",
            SOCKET,
            "/var/cache/joulepath",
        )
    }
    assert modes == {
        STATE: (0o750, True),
        f"{STATE}/journal.db": (0o640, True),
        f"{STATE}/journal.db-wal": (0o640, True),
        "/run/joulepath": (0o755, True),
        SOCKET: (0o660, True),
        "/var/cache/joulepath": (0o750, True),
    }
    as_member, as_stranger = ("runuser", "-u", "lab-member", "--"), ("runuser", "-u", "lab-stranger", "--")
    summary = streaming.container.run(*as_member, "joulepath", "journal", "summary")
    assert "VDD_IN" in summary
    assert "streaming" in streaming.container.run(*as_member, "joulepath", "status")
    refused = streaming.container.try_run(*as_stranger, "joulepath", "status")
    assert refused.returncode == 1
    assert "join the group joulepath" in refused.stderr


def test_the_sandbox_holds(streaming: Lab) -> None:
    daemon = Path(f"/proc/{streaming.main_pid()}")
    fields = dict(line.split(":", 1) for line in (daemon / "status").read_text().splitlines())
    seen = [fields[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")]
    assert seen == ["0" * 16, "0" * 16, "1", "2"]
    assert os.readlink(daemon / "ns/net") != os.readlink(f"/proc/{streaming.container.pid1}/ns/net")
    assert os.listdir(daemon / "root/root") == []
    writable = {
        path for path in ("/etc", "/usr", "/sys/class", STATE) if not _is_read_only(daemon / "root" / path.lstrip("/"))
    }
    assert writable == {STATE}


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


@pytest.mark.parametrize(
    ("world", "word"),
    [({"battery_percent": 20}, "battery"), ({"celsius": 80.0}, "°C")],
    ids=["the battery runs down", "it gets hot"],
)
def test_a_switch_that_the_journal_explains(streaming: Lab, world: dict[str, int], word: str) -> None:
    best = streaming.status()["variant"]
    began_ns = time.monotonic_ns()
    streaming.sense(**world)
    streaming.until("a cheaper variant", lambda s: s["variant"] != best)
    wait_for(
        lambda: any(word in switch.reason for switch in streaming.switches() if switch.time_ns > began_ns),
        20,
        lambda: f"a switch for the {word} in the journal: {streaming.switches()}",
    )
    frames = streaming.status()["frames"]
    streaming.until("frames after the switch", lambda s: s["frames"] > frames + 3)


def test_reload(streaming: Lab) -> None:
    daemon, told = streaming.main_pid(), len(streaming.events("reload"))
    streaming.configure(CONFIG.replace("max_temperature_c = 75.0", "max_temperature_c = 40.0"))
    streaming.systemctl("reload", UNIT)
    streaming.until("the new limit to work", lambda s: not s["variant"].startswith("full-float16"))
    streaming.configure(CONFIG.replace("max_temperature_c", "max_temprature_c"))
    streaming.systemctl("reload", UNIT)
    wait_for(lambda: len(streaming.events("reload")) == told + 2, 20, lambda: "both reloads in the journal")
    good, bad = streaming.events("reload")[told:]
    assert good.message == "configuration read again"
    assert "did you mean 'max_temperature_c'" in bad.message
    assert (streaming.show("ActiveState"), streaming.main_pid()) == ("active", daemon)
    streaming.configure()
    streaming.systemctl("reload", UNIT)


def test_kill_9(streaming: Lab) -> None:
    daemon, restarts = streaming.main_pid(), int(streaming.show("NRestarts"))
    children = [pid for pids in streaming.children(daemon).values() for pid in pids]
    os.kill(daemon, signal.SIGKILL)
    streaming.restarted(daemon)
    assert int(streaming.show("NRestarts")) == restarts + 1
    assert len(children) >= 2
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}")]
    with streaming.journal() as reader:
        killed, present = reader.runs()[-2:]
        assert (killed.outcome, present.outcome) == ("interrupted", None)
        assert next(reader.frames(killed.id)).run_id == killed.id
    assert _integrity(streaming) == "ok"


def test_a_camera_that_hangs_is_the_daemons_own_affair(streaming: Lab) -> None:
    daemon = streaming.main_pid()
    (camera,) = streaming.children(daemon)["camera"]
    os.kill(camera, signal.SIGSTOP)
    wait_for(lambda: not os.path.exists(f"/proc/{camera}"), 30, lambda: "the frozen camera to be replaced")
    frames = streaming.status()["frames"]
    streaming.until("frames again", lambda s: s["camera"] == "streaming" and s["frames"] > frames + 3)
    assert streaming.main_pid() == daemon


def test_an_engine_that_hangs_starves_the_watchdog(streaming: Lab) -> None:
    daemon = streaming.main_pid()
    for engine in streaming.children(daemon)["engine"]:
        os.kill(engine, signal.SIGSTOP)
    streaming.restarted(daemon)
    log = streaming.log(200)
    assert "Watchdog timeout" in log
    assert "_infer" in log  # where the thread hung, by faulthandler
    with streaming.journal() as reader:
        stalled = [event.message for event in reader.events(reader.runs()[-2].id) if event.kind == "stalled"]
    assert len(stalled) == 1
    assert stalled[0].startswith("inference")


def test_a_daemon_that_hangs_starves_the_watchdog(streaming: Lab) -> None:
    daemon, restarts = streaming.main_pid(), int(streaming.show("NRestarts"))
    os.kill(daemon, signal.SIGSTOP)
    streaming.restarted(daemon)
    assert int(streaming.show("NRestarts")) == restarts + 1
    assert _integrity(streaming) == "ok"


def test_it_runs_with_every_drop_in_that_needs_no_group(streaming: Lab) -> None:
    place = streaming.container.path(f"/etc/systemd/system/{UNIT}.d")
    shipped = [path for path in DROP_INS if "SupplementaryGroups=" not in path.read_text()]
    for path in shipped:
        (place / path.name).write_text(path.read_text())
    try:
        streaming.systemctl("daemon-reload")
        streaming.systemctl("restart", UNIT)
        assert streaming.status()["frames"] >= 1
        assert all(path.name in streaming.show("DropInPaths") for path in shipped)
        assert len(shipped) > 2
    finally:
        for path in shipped:
            (place / path.name).unlink()
        streaming.systemctl("daemon-reload")


def test_a_wrong_configuration_is_refused_once(streaming: Lab) -> None:
    streaming.systemctl("stop", UNIT)
    streaming.configure(CONFIG.replace("camera =", "camra ="))
    assert streaming.container.try_run("systemctl", "start", UNIT).returncode != 0
    time.sleep(1.0)  # five times RestartSec
    assert [streaming.show(name) for name in ("ActiveState", "NRestarts", "ExecMainStatus")] == ["failed", "0", "2"]
    assert "unknown key 'camra'; did you mean 'camera'?" in streaming.log(5)


def test_what_is_missing_for_a_while_is_tried_again(streaming: Lab) -> None:
    streaming.systemctl("stop", UNIT)
    streaming.configure(CONFIG.replace('bundle = "demo"', 'bundle = "/srv/not-mounted-yet"'))
    assert streaming.container.try_run("systemctl", "start", UNIT).returncode != 0
    wait_for(lambda: int(streaming.show("NRestarts")) >= 2, 30, lambda: "a second attempt")
    assert "no such bundle directory" in streaming.log(20)
    streaming.configure()
    wait_for(lambda: streaming.show("ActiveState") == "active", 30, lambda: f"its start; log: {streaming.log()}")


def test_it_stops_at_once_and_leaves_a_sound_journal(streaming: Lab) -> None:
    daemon = streaming.main_pid()
    children = [pid for pids in streaming.children(daemon).values() for pid in pids]
    streaming.systemctl("stop", UNIT)
    assert _took_to_stop_s(streaming) < STOP_S
    assert streaming.show("Result") == "success"
    assert not [pid for pid in (daemon, *children) if os.path.exists(f"/proc/{pid}")]
    assert _integrity(streaming) == "ok"
    with streaming.journal() as reader:
        assert reader.run().outcome == "finished"


def _took_to_stop_s(lab: Lab) -> float:
    """The last stop, by systemd's own two lines about it."""
    said = lab.said_by_systemd()
    began_us, ended_us = (
        next(at_us for at_us, text in reversed(said) if text.startswith(word)) for word in ("Stopping ", "Stopped ")
    )
    assert began_us < ended_us
    return (ended_us - began_us) / 1e6


def _integrity(lab: Lab) -> str:
    with closing(sqlite3.connect(lab.journal_file)) as connection:
        return str(connection.execute("pragma integrity_check").fetchone()[0])
