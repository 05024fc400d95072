from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import active_count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from boards.assembly import Assembly
from boards.jetson import open_jetson
from boards.jtop import JtopLink, JtopSensor, add_jtop, child_command, why_not
from boards.roots import Roots
from boards.sensor import BoardError, SensorLost
from tests.boards.conftest import FakeClock

RootsOf = Callable[[str], Roots]
PATIENCE_S = 60.0
REPOSITORY = Path(__file__).parents[2]
HELLO = '{"version": "7.2.2", "interval_s": 1.0}'
STATE = '{"gpu_load": 0.25, "fan": 0.5, "power_mode": "MAXN"}'
needs_jetson_stats = pytest.mark.skipif(
    importlib.util.find_spec("jtop") is None, reason="jetson-stats is not installed (extra [jetson])"
)


def saying(*lines: str, then_s: float = 0.0) -> list[str]:
    """A client that says these lines, and ends after a while."""
    code = "import sys, time\nfor line in sys.argv[2:]: print(line, flush=True)\ntime.sleep(float(sys.argv[1]))"
    return [sys.executable, "-c", code, str(then_s), *lines]


def until(come: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = come()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def lost(sensor: JtopSensor) -> str | None:
    try:
        sensor.read()
    except SensorLost as error:
        return str(error)
    return None


@pytest.fixture
def served(tmp_path: Path) -> Roots:
    """Roots with a socket where jtop's service has its own."""
    roots = Roots.under(tmp_path)
    roots.run.mkdir()
    (roots.run / "jtop.sock").touch()
    return roots


@pytest.fixture
def assembly(served: Roots, clock: FakeClock) -> Assembly:
    return Assembly(served, clock)


@pytest.fixture
def links() -> Iterator[list[JtopLink]]:
    made: list[JtopLink] = []
    yield made
    for link in made:
        link.close()


def test_load_fan_and_mode_come_from_the_client(assembly: Assembly) -> None:
    add_jtop(assembly, None, command=saying(HELLO, STATE, then_s=60), first_word_s=PATIENCE_S)
    board = assembly.board("jetson", "a board")
    assert {channel.name: channel.sensor.read().value for channel in board.channels} == {"gpu_load": 0.25, "fan": 0.5}
    assert {channel.path for channel in board.channels} == {"jtop"}
    assert board.info.details == {"jtop": "jetson-stats 7.2.2, every 1 s", "power mode": "MAXN"}
    before = active_count()
    board.close()
    assert active_count() == before - 1  # the link's thread is gone, and with it the process it waited for


def test_what_the_board_reads_itself_is_not_taken(roots_of: RootsOf, clock: FakeClock) -> None:
    roots = roots_of("jetson-orin-nano-jp6")
    roots.run.mkdir()
    (roots.run / "jtop.sock").touch()
    assembly = Assembly(roots, clock)
    for channel in open_jetson(roots, clock=clock, jtop=False).channels:
        if channel.name in {"gpu_load", "fan"}:
            assembly.add(channel)
    threads = active_count()
    add_jtop(assembly, True, command=saying(HELLO, STATE, then_s=60), first_word_s=PATIENCE_S)
    assert active_count() == threads  # nothing more is wanted of it
    assert assembly.names == ("gpu_load", "fan")
    assert assembly.details["power mode"] == "MAXN"
    assert all(channel.path != "jtop" for channel in assembly.board("jetson", "a board").channels)


def test_jtop_is_left_alone_when_told_so(roots_of: RootsOf, clock: FakeClock) -> None:
    board = open_jetson(roots_of("jetson-nano-jp4"), clock=clock, jtop=False)
    assert "jtop" not in board.info.details


def test_what_stands_in_the_way(served: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not(served.run, installed=True) is None
    assert "is not installed" in str(why_not(served.run, installed=False))
    monkeypatch.setattr("boards.jtop.os.access", lambda path, mode: False)
    assert "usermod -a -G jtop" in str(why_not(served.run, installed=True))
    (served.run / "jtop.sock").unlink()
    assert "systemctl start jtop.service" in str(why_not(served.run, installed=True))


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (saying('{"error": "Mismatch version jtop service: [1.0.0]"}'), r"Mismatch version jtop service: \[1\.0\.0\]"),
        (saying(HELLO), "its client ended"),
        (["/nonexistent/python"], "its client cannot be started"),
    ],
)
def test_a_client_that_gets_nowhere_says_why(command: list[str], reason: str, assembly: Assembly) -> None:
    add_jtop(assembly, None, command=command, first_word_s=PATIENCE_S)
    assert assembly.names == ()
    assert assembly.details["jtop"].startswith("not used: ")
    with pytest.raises(BoardError, match=f"^jtop: {reason}"):
        add_jtop(assembly, True, command=command, first_word_s=PATIENCE_S)


def test_a_client_that_is_silent_is_not_waited_for(assembly: Assembly) -> None:
    threads = active_count()
    add_jtop(assembly, None, command=saying(HELLO, then_s=60), first_word_s=0.2)
    assert assembly.details["jtop"] == "not used: no answer within 0.2 s"
    assert active_count() == threads


def test_old_values_are_lost(clock: FakeClock, links: list[JtopLink]) -> None:
    link = JtopLink(saying(HELLO, STATE, then_s=60), clock)
    links.append(link)
    assert link.start(PATIENCE_S) is None
    sensor = JtopSensor(link, "gpu_load")
    said_ns = clock.now_ns
    clock.forward(4.9)
    assert sensor.read().monotonic_ns == said_ns  # dated when it came
    clock.forward(0.2)
    with pytest.raises(SensorLost, match=r"jtop: nothing new \(gpu_load is 5 s old\)"):
        sensor.read()


def test_a_slow_service_is_given_three_intervals(clock: FakeClock, links: list[JtopLink]) -> None:
    link = JtopLink(saying('{"version": "4.3.2", "interval_s": 5.0}', STATE, then_s=60), clock)
    links.append(link)
    assert link.start(PATIENCE_S) is None
    sensor = JtopSensor(link, "fan")
    clock.forward(14.9)
    assert sensor.read().value == 0.5
    clock.forward(0.2)
    assert "fan is 15 s old" in str(lost(sensor))


def test_a_client_that_ends_is_started_again(tmp_path: Path, clock: FakeClock, links: list[JtopLink]) -> None:
    pipe = tmp_path / "client"
    os.mkfifo(pipe)
    link = JtopLink(["cat", str(pipe)], clock, retry_s=0.01)
    links.append(link)
    sensor = JtopSensor(link, "gpu_load")
    assert link.start(0.0) is not None  # it is there, and nothing was said yet
    with pipe.open("w") as client:
        client.write(f"{HELLO}\n{STATE}\n")
        client.flush()
        until(lambda: lost(sensor) is None)
        client.write('{"error": "Lost connection with jtop server"}\n')
    clock.forward(6.0)
    assert "Lost connection" in str(lost(sensor)) or "nothing new" in str(lost(sensor))
    with pipe.open("w") as client:
        client.write(f"{HELLO}\n{STATE}\n")
        client.flush()
        until(lambda: lost(sensor) is None)


_LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            [HELLO, STATE, "null", "[]", "{}", "1e999", '{"interval_s": -1, "version": null}', '{"error": 1}']
        ),
        st.dictionaries(
            st.sampled_from(["gpu_load", "fan", "power_mode", "version", "interval_s"]),
            st.one_of(st.none(), st.floats(), st.integers(-5, 5), st.booleans(), st.text(max_size=5), st.just([])),
        ).map(json.dumps),
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=_LINES)
@example(lines=['{"gpu_load": NaN}', '{"gpu_load": 1.01}', '{"gpu_load": "0.5"}'])
def test_a_client_full_of_garbage_gives_believable_values_or_none(lines: list[str], tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")
    link = JtopLink(["cat", str(said)])
    try:
        link.start(PATIENCE_S)
        for name in ("gpu_load", "fan", "power_mode"):
            try:
                value = link.reading(name).value
            except SensorLost:
                continue
            assert 0.0 <= value <= 1.0
        assert link.interval_s > 0
    finally:
        link.close()


# -- jetson-stats itself, whichever version is installed --------------------------------------------------------------


@needs_jetson_stats
def test_the_real_client_without_a_service(served: Roots, clock: FakeClock) -> None:
    if Path("/run/jtop.sock").exists():
        pytest.skip("jtop's service runs on this machine")
    assembly = Assembly(served, clock)
    add_jtop(assembly, None, first_word_s=PATIENCE_S)
    assert assembly.details["jtop"].startswith("not used: The jtop.service is not active. Please run: sudo ")
    with pytest.raises(BoardError, match=r"^jtop: The jtop\.service is not active"):
        add_jtop(assembly, True, first_word_s=PATIENCE_S)


@needs_jetson_stats
def test_asking_for_jtop_does_not_import_it() -> None:
    code = (
        "import sys, multiprocessing; from boards.jtop import is_installed; assert is_installed();"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'jtop'];"
        "assert multiprocessing.get_start_method(allow_none=True) is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_the_clients_process_says_one_line_when_jetson_stats_is_missing() -> None:
    # -S and -I: an interpreter without site packages
    child = subprocess.run(
        [sys.executable, "-I", "-S", child_command()[1]],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert child.returncode == 1
    assert json.loads(child.stdout) == {"error": "No module named 'jtop'"}


def test_the_clients_process_ends_with_its_listener_and_keeps_strangers_words_out(tmp_path: Path) -> None:
    package = tmp_path / "jtop"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import time\n__version__ = '9.9.9'\n"
        "class jtop:\n"
        "    gpu = {'dgpu': {'status': {'load': None}}, 'gpu': {'status': {'load': 12.5}}}\n"
        "    fan, nvpmodel = {}, None\n"
        "    def __init__(self, interval): self.interval = interval\n"
        "    def start(self): print('a library that prints')\n"
        "    def ok(self): time.sleep(0.01); return True\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(child_command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline()) == {"version": "9.9.9", "interval_s": 1.0}
        assert json.loads(child.stdout.readline()) == {"gpu_load": 0.125}
        child.stdout.close()
        assert child.wait(PATIENCE_S) == 0


def _no_bench() -> str | None:
    if importlib.util.find_spec("jtop") is None:
        return "jetson-stats is not installed (extra [jetson])"
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "a bench for jtop's service needs root and unshare (util-linux)"
    probe = subprocess.run(["unshare", "-m", "-p", "-f", "true"], capture_output=True, check=False)
    return "this machine permits no namespaces" if probe.returncode else None


def test_the_real_service(tmp_path: Path) -> None:
    reason = _no_bench()
    if reason is not None:
        pytest.skip(reason)
    drive = ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", sys.executable, "-m"]
    bench = subprocess.run(
        [*drive, "tests.boards.jtop_bench.drive", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=REPOSITORY,
    )
    log = tmp_path / "service.log"
    assert bench.returncode == 0, bench.stderr + (log.read_text()[-3000:] if log.exists() else "")
    told = json.loads(bench.stdout)
    version = importlib.metadata.version("jetson-stats")
    assert told["without a service"].startswith("jtop: its service does not run: there is no /run/jtop.sock")
    assert told["a socket that nobody serves"].startswith("jtop: The jtop.service is not active.")
    assert told["another user"].startswith("this user may not use /run/jtop.sock")
    assert told["details"] == {"jtop": f"jetson-stats {version}, every 1 s", "power mode": "MAXN_SUPER"}
    assert told["values"] == {"gpu_load": pytest.approx(0.314), "fan": pytest.approx(120 / 255)}
    assert told["nano"] == {"from jtop": [], "mode": "MAXN_SUPER"}
    assert told["started"] is None
    assert told["lost"].startswith("jtop: ")
    assert told["back"] == pytest.approx(0.314)
    assert told["another version"].startswith(f"jtop: Mismatch version jtop service: [1.2.3] and client: [{version}]")
