"""What the service tells systemd, over a real datagram socket, and what starves the watchdog."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.board import Board, BoardInfo, Channel, Quantity
from boards.sensor import Reading
from edge.cli_run import bundle_folder
from edge.config import CameraConfig, Config
from edge.daemon import Daemon, RunOptions
from edge.journal import JournalReader
from edge.sampler import Sampler
from edge.service import NS_PER_S, START_LIMIT_S, Manager, Progress, Reporter, describe, stuck
from edge.status import Status
from tests.edge.tiny import STREET, write_bundle

WATCHDOG_US = 4_000_000
AT_WORK = Progress(
    sampler_turns=10, turns=20, looks=30, taken=5, frames=5, loading=False, outage=False, overdue=False
)  # fmt: skip
STATUS = Status(
    variant="p1", reason="", pinned=None, frames=12, skipped=0, fps=None, infer_ms=None, age_ms=None, power_w=4.125,
    power_method="measured", energy_per_frame_j=None, energy_j=None, temperature_c=None, battery=0.5, throttled=None,
    load=None, miou=None, camera="streaming", journal="writing", elapsed_s=1.0, switches=0,
)  # fmt: skip


class Listener:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address)

    def heard(self) -> list[dict[str, str]]:
        """Every datagram since the last call, as its assignments."""
        datagrams = []
        while True:
            try:
                datagrams.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                break
        return [dict(line.split("=", 1) for line in text.split("\n")) for text in datagrams]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(str(tmp_path / "notify"))
    yield listener
    listener.close()


class Service:
    """A reporter whose daemon and clock are the test's."""

    def __init__(self, address: Path, watchdog_us: int | None = WATCHDOG_US) -> None:
        self.now_s, self.seen, self.status, self.stalls = 0.0, replace(AT_WORK, frames=0, taken=0), STATUS, list[str]()
        self.reporter = Reporter(
            Manager(str(address), watchdog_us),
            lambda: self.seen,
            lambda: self.status,
            on_stall=self.stalls.append,
            clock=lambda: round(self.now_s * NS_PER_S),
        )

    def after(self, seconds: float, **progress: int | bool) -> None:
        """Let time pass, and the given counters be what they are then; then one step."""
        self.now_s += seconds
        self.seen = replace(self.seen, **progress)
        self.reporter.step()

    def busy(self, seconds: float) -> None:
        """Likewise, with everything moving on."""
        seen = self.seen
        self.after(
            seconds,
            sampler_turns=seen.sampler_turns + 1,
            turns=seen.turns + 1,
            looks=seen.looks + 1,
            taken=seen.taken + 1,
            frames=seen.frames + 1,
        )


@pytest.fixture
def service(tmp_path: Path, listener: Listener) -> Service:
    return Service(tmp_path / "notify")


@pytest.fixture
def ready(service: Service, listener: Listener) -> Service:
    """A service that just said READY=1."""
    service.busy(0.1)
    assert listener.heard()[0]["READY"] == "1"
    return service


# -- the protocol -------------------------------------------------------------------------------------------------


def test_the_manager_is_taken_out_of_the_environment() -> None:
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "7", "HOME": "/"}
    manager = Manager.take(environment, 7)
    assert manager is not None
    assert manager.watchdog_us == 5_000_000
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "no manager"),
        ({"NOTIFY_SOCKET": ""}, "no manager"),
        ({"NOTIFY_SOCKET": "run/x"}, "no manager"),
        ({"NOTIFY_SOCKET": "/"}, "no manager"),
        ({"WATCHDOG_USEC": "1000"}, "no manager"),
        ({"NOTIFY_SOCKET": "/run/x"}, None),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000"}, 1000),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "7"}, 1000),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "8"}, None),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "-5"}, None),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_what_an_environment_means(environment: dict[str, str], expected: object) -> None:
    manager = Manager.take(environment, 7)
    assert (manager.watchdog_us if manager is not None else "no manager") == expected
    assert environment == {}


def test_a_message_goes_to_a_path(tmp_path: Path, listener: Listener) -> None:
    assert Manager(str(tmp_path / "notify")).tell(READY=1, STATUS="two\nlines")
    assert listener.heard() == [{"READY": "1", "STATUS": "two lines"}]


def test_a_message_goes_to_an_abstract_name(tmp_path: Path) -> None:
    name = f"joulepath-test-{os.getpid()}"
    listener = Listener("\0" + name)
    assert Manager("@" + name).tell(WATCHDOG=1)
    assert listener.heard() == [{"WATCHDOG": "1"}]
    listener.close()


def test_a_deaf_manager_is_no_error(tmp_path: Path) -> None:
    assert not Manager(str(tmp_path / "nobody")).tell(READY=1)


def test_a_manager_that_does_not_read_does_not_hold_us_up(tmp_path: Path, listener: Listener) -> None:
    manager = Manager(str(tmp_path / "notify"))
    results = [manager.tell(STATUS="x" * 1000) for _ in range(5000)]
    assert results[0]
    assert not results[-1]


# -- starting -----------------------------------------------------------------------------------------------------


def test_ready_with_the_first_served_frame(service: Service, listener: Listener) -> None:
    service.after(0.1, turns=21, looks=31)
    service.after(0.1, turns=22, taken=1)
    assert not [message for message in listener.heard() if "READY" in message]
    service.after(0.1, frames=1)
    assert listener.heard()[0] == {"READY": "1", "STATUS": "12 frames, p1, 4.1 W (measured), – °C, battery 50 %"}


def test_ready_without_a_camera_once_the_journal_has_its_loss_and_the_loop_turns(
    service: Service, listener: Listener
) -> None:
    service.after(0.1, outage=True, turns=0)
    assert not [message for message in listener.heard() if "READY" in message]
    service.after(0.1, turns=1)
    assert listener.heard()[0]["READY"] == "1"


def test_a_slow_start_asks_for_time_and_not_for_ever(service: Service, listener: Listener) -> None:
    asked = 0
    while service.now_s < 2 * START_LIMIT_S:
        service.after(1.0)
        heard = [message for message in listener.heard() if "EXTEND_TIMEOUT_USEC" in message]
        assert all(message == {"EXTEND_TIMEOUT_USEC": "30000000"} for message in heard)
        assert not heard or service.now_s < START_LIMIT_S
        asked += len(heard)
    assert asked == START_LIMIT_S / 10


def test_a_run_that_was_shorter_than_a_step_was_ready_all_the_same(service: Service, listener: Listener) -> None:
    with service.reporter:
        service.seen = AT_WORK
    kinds = [key for message in listener.heard() for key in message if key != "STATUS"]
    assert kinds[-2:] == ["READY", "STOPPING"]
    assert kinds.count("READY") == 1


# -- the watchdog -------------------------------------------------------------------------------------------------


def feedings(service: Service, listener: Listener, seconds: float, step: object, every_s: float = 0.5) -> int:
    """How often the watchdog was fed while `step` moved things along."""
    fed = 0
    for _ in range(round(seconds / every_s)):
        step(every_s)  # type: ignore[operator]
        fed += sum("WATCHDOG" in message for message in listener.heard())
    return fed


def test_progress_feeds_the_watchdog_at_half_its_period(ready: Service, listener: Listener) -> None:
    assert feedings(ready, listener, 20, ready.busy) == 10
    assert ready.stalls == []


def test_no_watchdog_no_food(tmp_path: Path, listener: Listener) -> None:
    service = Service(tmp_path / "notify", watchdog_us=None)
    assert feedings(service, listener, 20, service.busy) == 0


@pytest.mark.parametrize(
    ("still", "told"),
    [
        ({"sampler_turns"}, "the sampler"),
        ({"turns"}, "inference"),
        ({"frames"}, "inference, with a frame waiting"),
        ({"frames", "taken", "looks"}, "the camera's supervisor"),
    ],
)
def test_whatever_hangs_starves_it(ready: Service, listener: Listener, still: set[str], told: str) -> None:
    def step(seconds: float) -> None:
        counters = ("sampler_turns", "turns", "looks", "taken", "frames")
        ready.after(seconds, **{c: getattr(ready.seen, c) + 1 for c in counters if c not in still})

    assert feedings(ready, listener, 60, step) == 0
    (message,) = ready.stalls
    assert message.startswith(told + " has not moved for 2.0 s")


def test_a_stall_that_ends_is_forgiven_and_the_next_one_told_again(ready: Service, listener: Listener) -> None:
    assert feedings(ready, listener, 3.5, ready.after) == 0
    assert feedings(ready, listener, 10, ready.busy) > 3
    assert feedings(ready, listener, 6, ready.after) <= 1  # for what moved after the last feeding
    assert len(ready.stalls) == 2


def resting(ready: Service, **progress: bool) -> object:
    def step(seconds: float) -> None:
        seen = ready.seen
        ready.after(
            seconds,
            sampler_turns=seen.sampler_turns + 1,
            turns=seen.turns + 1,
            looks=seen.looks + 1,
            **progress,
        )

    return step


def test_inference_may_rest_for_a_lost_camera(ready: Service, listener: Listener) -> None:
    assert feedings(ready, listener, 20, resting(ready, outage=True, overdue=True)) == 10


def test_inference_may_rest_between_two_frames_of_a_slow_camera(ready: Service, listener: Listener) -> None:
    for _ in range(5):  # a frame a minute
        assert feedings(ready, listener, 60, resting(ready)) in (29, 30)
        ready.busy(0.1)
    assert ready.stalls == []


def test_a_silence_that_should_be_in_the_journal_and_is_not_starves_it(ready: Service, listener: Listener) -> None:
    assert feedings(ready, listener, 20, resting(ready, overdue=True)) == 0


def test_the_first_variant_may_take_its_time_to_load(ready: Service, listener: Listener) -> None:
    def loading(seconds: float) -> None:
        seen = ready.seen
        ready.after(seconds, sampler_turns=seen.sampler_turns + 1, turns=seen.turns + 1, loading=True)

    assert feedings(ready, listener, 20, loading) == 10


COUNTS = st.integers(0, 5)


@given(
    before=st.builds(Progress, *[COUNTS] * 5, *[st.booleans()] * 3),
    ahead=st.tuples(*[COUNTS] * 5),
    flags=st.tuples(*[st.booleans()] * 3),
)
def test_fed_means_that_sampler_and_inference_moved_or_rest_with_a_reason(
    before: Progress, ahead: tuple[int, ...], flags: tuple[bool, bool, bool]
) -> None:
    counters = ("sampler_turns", "turns", "looks", "taken", "frames")
    now = Progress(*(getattr(before, name) + more for name, more in zip(counters, ahead, strict=True)), *flags)
    if stuck(before, now) is not None:
        return
    assert now.sampler_turns > before.sampler_turns
    assert now.turns > before.turns
    served, nothing_waits = now.frames > before.frames, now.taken <= now.frames
    asked, excused = now.looks > before.looks, now.outage or not now.overdue
    assert served or now.loading or (nothing_waits and asked and excused)


# -- status, reload, end ------------------------------------------------------------------------------------------


def test_the_status_comes_at_human_pace_and_says_what_is_out(ready: Service, listener: Listener) -> None:
    ready.status = replace(STATUS, camera="camera /dev/video0: no such device; is it plugged in?", power_w=None)
    texts = []
    for _ in range(40):
        ready.busy(0.5)
        texts += [message["STATUS"] for message in listener.heard() if "STATUS" in message]
    assert texts == ["12 frames, p1, – W (measured), – °C, battery 50 %, camera /dev/video0: no such device"] * 4


def test_the_status_of_a_start() -> None:
    assert (
        describe(replace(STATUS, variant=None, camera="starting"), ready=False) == "starting: starting, variant loading"
    )


def test_a_reload_is_framed_as_systemd_wants_it(ready: Service, listener: Listener) -> None:
    ready.now_s = 12.5
    with ready.reporter.reloading():
        assert listener.heard() == [{"RELOADING": "1", "MONOTONIC_USEC": "12500000"}]
    assert listener.heard() == [{"READY": "1"}]


def test_a_reload_during_the_start_does_not_say_ready(service: Service, listener: Listener) -> None:
    with service.reporter.reloading():
        pass
    assert listener.heard() == []


def test_stopping_is_said_once(ready: Service, listener: Listener) -> None:
    with ready.reporter:
        ready.reporter.stopping()
    assert [message for message in listener.heard() if "STOPPING" in message] == [
        {"STOPPING": "1", "STATUS": "stopping"}
    ]


# -- the real threads ---------------------------------------------------------------------------------------------


class HangingSensor:
    """Gives values until it is told to hang."""

    def __init__(self) -> None:
        self.hang, self.go_on = threading.Event(), threading.Event()

    def read(self) -> Reading:
        if self.hang.is_set():
            self.go_on.wait(30)
        return Reading(1.0, time.monotonic_ns())


class OneChannel:
    """A board with one slow channel."""

    def __init__(self, sensor: HangingSensor) -> None:
        self.channels = (Channel("load", Quantity.RATIO, sensor, 0.02),)
        self.energy_channel = None
        self.info = BoardInfo("test", "one sensor that may hang")

    def note(self, activity: object) -> None:
        return None

    def close(self) -> None:
        return None


def eventually(condition: object, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_sampler_that_hangs_in_a_read_turns_no_more() -> None:
    sensor = HangingSensor()
    board: Board = OneChannel(sensor)  # type: ignore[assignment]
    sampler = Sampler(board)
    sampler.start()
    eventually(lambda: sampler.turns > 3)
    sensor.hang.set()
    eventually(lambda: sampler.turns == (time.sleep(0.2), sampler.turns)[1])
    stopped = sampler.turns
    time.sleep(0.3)
    assert sampler.turns == stopped
    sensor.go_on.set()
    eventually(lambda: sampler.turns > stopped)
    sampler.close()


@contextmanager
def running(tmp_path: Path, camera: str) -> Iterator[Daemon]:
    bundle = write_bundle(tmp_path / "bundle", STREET)
    options = RunOptions(
        bundle=bundle,
        camera=camera,
        board="simulated",
        journal=tmp_path / "j.db",
        config=Config(camera_process=CameraConfig(freeze_timeout_s=5.0)),
        threads=1,
        wait_for_camera=True,
    )
    with Daemon(options) as daemon, ExitStack() as stack:
        thread = threading.Thread(target=daemon.run)
        thread.start()
        stack.callback(thread.join, 30)
        stack.callback(daemon.stop)
        yield daemon


def stuck_for(daemon: Daemon, seconds: float) -> str | None:
    before = daemon.progress()
    time.sleep(seconds)
    return stuck(before, daemon.progress())


def moved(daemon: Daemon, before: Progress) -> bool:
    return stuck(before, daemon.progress()) is None


def test_a_daemon_at_work_moves_and_a_stopped_engine_does_not(tmp_path: Path) -> None:
    with running(tmp_path, "synthetic:48x64@30") as daemon:
        eventually(lambda: daemon.progress().frames > 2)
        before = daemon.progress()
        eventually(lambda: moved(daemon, before))
        engines = [
            child.pid for child in psutil.Process().children(recursive=True) if "edge.engines.worker" in child.cmdline()
        ]
        for pid in engines:
            os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: (stuck_for(daemon, 1.0) or "").startswith("inference"))
        finally:
            for pid in engines:
                os.kill(pid, signal.SIGCONT)
        eventually(lambda: moved(daemon, before))


def test_a_daemon_without_its_camera_rests_and_the_journal_says_why(tmp_path: Path) -> None:
    with running(tmp_path, "/dev/video987") as daemon:
        eventually(lambda: daemon.progress().turns > 3 and daemon.steward.active is not None)
        before = daemon.progress()
        eventually(lambda: moved(daemon, before))
        assert daemon.progress().outage
        assert "no such device" in daemon.status().camera
    with JournalReader(tmp_path / "j.db") as reader:
        (lost,) = [event for event in reader.events() if event.kind == "camera_lost"]
    assert "/dev/video987: no such device" in lost.message


# -- the command --------------------------------------------------------------------------------------------------


def test_the_command_as_the_unit_runs_it(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", STREET)
    listener = Listener(str(tmp_path / "notify"))
    heard: list[dict[str, str]] = []

    def has_heard(key: str, times: int = 1) -> bool:
        heard.extend(listener.heard())
        return sum(key in message for message in heard) >= times

    process = subprocess.Popen(
        [sys.executable, "-c", "from edge.cli import main; main()", "run", "--service", "--bundle", str(bundle),
         "--camera", "/dev/video987", "--board", "simulated", "--socket", str(tmp_path / "s"),
         "--journal", str(tmp_path / "j.db")],
        env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        eventually(lambda: has_heard("WATCHDOG"), 60)
        children = [Path(f"/proc/{child.pid}/environ") for child in psutil.Process(process.pid).children()]
        assert children
        assert not [path for path in children if b"NOTIFY_SOCKET" in path.read_bytes()]
        process.send_signal(signal.SIGHUP)
        eventually(lambda: has_heard("RELOADING") and has_heard("READY", 2))
        process.terminate()
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    has_heard("")
    listener.close()
    order = [key for message in heard for key in message if key in ("READY", "RELOADING", "STOPPING")]
    assert (process.returncode, order) == (0, ["READY", "RELOADING", "READY", "STOPPING"])
    assert any(line.startswith("<3>") and "/dev/video987: no such device" in line for line in log.splitlines())
    assert all(line.startswith("<") for line in log.splitlines())


def test_the_word_demo_means_the_shipped_bundle_unless_there_is_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (bundle_folder(Path("demo")) / "manifest.json").is_file()
    assert bundle_folder(Path("other")) == Path("other")
    (tmp_path / "demo").mkdir()
    assert bundle_folder(Path("demo")) == Path("demo")
