"""An amd64 board: each fault is put in from outside, and the service comes back without a human, its journal sound."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.lab.subject import COMMIT_INTERVAL_S, CONFIG, WATCHDOG_S, Subject

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

MEMORY_DROP_IN = "/run/systemd/system/joulepath.service.d/memory.conf"
# Under the least that a running service needs, over what an idle interpreter does.
SMALL_MIB = 60


@pytest.fixture
def board(running: Subject) -> Iterator[Subject]:
    """The service, serving frames; afterwards its journal is sound, whatever was done to it."""
    running.until("frames", lambda s: s["frames"] > 3 and s["camera"] == "streaming" and s["journal"] == "writing")
    yield running
    assert running.journal("integrity") == "ok"


def test_what_a_normal_run_needs(board: Subject) -> None:
    board.frames_flow(30)
    memory = board.machine.call("service.memory")
    limit = board.show("MemoryMax", "EffectiveMemoryMax")["MemoryMax"]
    print(f"memory: peak {memory['peak'] / 2**20:.0f} MiB, now {memory['current'] / 2**20:.0f} MiB, limit {limit}")
    assert memory["oom_kill"] == 0
    assert memory["peak"] < int(limit) / 2


def test_kill_9(board: Subject) -> None:
    daemon, runs = board.daemon(), board.journal("runs")
    frames = board.status()["frames"]
    since_ns = board.now_ns()
    board.machine.call("service.signal_process", pid=daemon, number=signal.SIGKILL)
    board.restarted(daemon)
    killed = board.journal("frames", run_id=runs[-1]["id"])
    after = board.until_true("the interrupted run to be told", lambda: _outcome(board, runs[-1]["id"]) == "interrupted")
    assert after
    # What was not committed is one interval's frames, at ten a second.
    assert frames - killed["count"] <= 10 * (COMMIT_INTERVAL_S + 2.0)
    assert killed["last_end_ns"] > since_ns - (COMMIT_INTERVAL_S + 2.0) * 1e9


def test_a_daemon_that_hangs_is_restarted_by_the_watchdog(board: Subject) -> None:
    daemon = board.daemon()
    board.machine.call("service.signal_process", pid=daemon, number=signal.SIGSTOP)
    board.restarted(daemon, timeout_s=8 * WATCHDOG_S)
    assert "Watchdog timeout" in board.log(200)


def test_an_engine_that_hangs_is_told_in_the_journal_and_restarted_by_the_watchdog(board: Subject) -> None:
    daemon, run = board.daemon(), board.journal("runs")[-1]["id"]
    for engine in board.machine.call("service.processes")["engine"]:
        board.machine.call("service.signal_process", pid=engine, number=signal.SIGSTOP)
    board.restarted(daemon, timeout_s=8 * WATCHDOG_S)
    assert [e["message"] for e in board.journal("events", run_id=run) if e["kind"] == "stalled"]


def test_an_engine_that_is_killed_is_replaced(board: Subject) -> None:
    daemon, since_ns = board.daemon(), board.now_ns()
    engines = board.machine.call("service.processes")["engine"]
    for engine in engines:
        board.machine.call("service.signal_process", pid=engine, number=signal.SIGKILL)
    board.until_true("another engine", lambda: set(board.machine.call("service.processes")["engine"]) - set(engines))
    board.frames_flow()
    assert board.daemon() == daemon
    assert [e for e in board.journal("events") if e["time_ns"] >= since_ns]


def test_a_camera_that_is_unplugged_and_plugged_in_again(board: Subject) -> None:
    daemon, since_ns = board.daemon(), board.now_ns()
    board.machine.ok("echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind")
    assert board.machine.run("test -e /dev/video0").rc == 1
    board.event("camera_lost", since_ns)
    board.machine.call("board.unload_camera", timeout_s=120)
    board.machine.call("board.load_camera", timeout_s=120)
    back = board.event("camera_back", since_ns)
    assert "is back after" in back["message"]
    board.frames_flow()
    assert board.daemon() == daemon


def test_a_camera_that_disconnects_while_its_node_stays(board: Subject) -> None:
    daemon, since_ns = board.daemon(), board.now_ns()
    board.machine.ok("v4l2-ctl -d /dev/video0 -c disconnect=1")
    board.event("camera_lost", since_ns)
    board.machine.call("board.unload_camera", timeout_s=120)
    board.machine.call("board.load_camera", timeout_s=120)
    board.event("camera_back", since_ns)
    board.frames_flow()
    assert board.daemon() == daemon


def test_a_camera_that_drops_buffers(board: Subject) -> None:
    daemon = board.daemon()
    board.machine.ok("v4l2-ctl -d /dev/video0 -c percentage_of_dropped_buffers=50")
    board.frames_flow(20)
    since_ns = board.now_ns()
    board.machine.ok("v4l2-ctl -d /dev/video0 -c percentage_of_dropped_buffers=100")
    lost = board.until_true(
        "an event for the silent camera",
        lambda: [
            e
            for e in board.journal("events")
            if e["kind"] in ("camera_frozen", "camera_lost") and e["time_ns"] >= since_ns
        ],
    )
    assert lost
    board.machine.run("v4l2-ctl -d /dev/video0 -c percentage_of_dropped_buffers=0")
    board.event("camera_back", since_ns)
    board.frames_flow()
    assert board.daemon() == daemon


def test_a_power_sensor_that_vanishes_and_comes_back(board: Subject) -> None:
    daemon, since_ns = board.daemon(), board.now_ns()
    board.machine.call("board.unplug", name="ina219")
    lost = board.event("sensor_lost", since_ns)
    assert "ina219" in lost["message"]
    board.frames_flow(10)
    unknown = board.journal("frames")["unknown_energy"]
    board.machine.call("board.plug", name="ina219")
    board.event("sensor_back", since_ns)
    board.frames_flow(10)
    seen = board.until_true("frames with energy again", lambda: _last_frame_is_measured(board))
    assert seen
    assert unknown > 0  # unknown is not zero
    assert board.daemon() == daemon


def test_a_side_sensor_that_vanishes_stops_nothing(board: Subject) -> None:
    daemon, since_ns = board.daemon(), board.now_ns()
    board.machine.call("board.unplug", name="ina3221")
    lost = board.event("sensor_lost", since_ns)
    assert "ina3221" in lost["message"]
    board.frames_flow(10)
    board.machine.call("board.plug", name="ina3221")
    board.event("sensor_back", since_ns)
    assert board.daemon() == daemon


def test_a_full_disk(board: Subject) -> None:
    # Soon after a start, while the log has no room in reserve: later it takes an hour of frames before it needs any.
    board.write_config(CONFIG.replace(f"commit_interval_s = {COMMIT_INTERVAL_S}", "commit_interval_s = 20"))
    board.restart()
    board.until("the first commit", lambda s: s["frames"] > 3)
    daemon, since_ns = board.daemon(), board.now_ns()
    before = board.journal("frames")["count"]
    board.machine.call("disk.fill", timeout_s=120)
    try:
        board.until("the journal to say so", lambda s: s["journal"] != "writing")
        board.frames_flow(20)
    finally:
        board.machine.call("disk.free")
    board.until("the journal to go on", lambda s: s["journal"] == "writing")
    resumed = board.event("journal_resumed", since_ns)
    assert "0 rows were lost" in resumed["message"]
    assert board.journal("frames")["count"] >= before + 20
    assert board.journal("frames")["gaps"] == 0
    assert board.daemon() == daemon
    board.write_config(CONFIG)
    board.restart()


def test_memory_stays_within_its_bound_and_the_machine_does_not_suffer(board: Subject) -> None:
    available_kib = _available_kib(board)
    board.machine.ok(
        f"mkdir -p $(dirname {MEMORY_DROP_IN}) && printf '[Service]\\nMemoryHigh=infinity\\nMemoryMax={SMALL_MIB}M\\n'"
        f" > {MEMORY_DROP_IN} && systemctl daemon-reload && systemctl --no-block restart joulepath"
    )
    try:
        kills = "journalctl -k --no-pager | grep -c 'Memory cgroup out of memory: Killed process'"
        board.machine.wait_for(f"test $({kills}) -ge 2", timeout_s=240)
        assert _available_kib(board) > available_kib - 100 * 1024
        victims = board.machine.ok(
            "journalctl -k --no-pager | grep 'oom-kill:' | grep -cv 'oom_memcg=/system.slice/joulepath.service' || true"
        )
        assert victims.strip() == "0"
        assert board.machine.ok("systemctl is-system-running || true").strip() in ("running", "degraded")
    finally:
        board.machine.ok(f"rm {MEMORY_DROP_IN}; systemctl daemon-reload; systemctl reset-failed joulepath || true")
    board.restart()


def _outcome(board: Subject, run_id: int) -> str:
    return str(next(run["outcome"] for run in board.journal("runs") if run["id"] == run_id))


def _last_frame_is_measured(board: Subject) -> bool:
    return bool(board.journal("frames")["last_is_known"])


def _available_kib(board: Subject) -> int:
    return int(board.machine.ok("awk '/MemAvailable/ {print $2}' /proc/meminfo"))
