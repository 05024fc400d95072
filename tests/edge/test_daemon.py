"""The daemon as a process: what a user starts, signals, asks and kills."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from edge.control import ControlError, ask
from edge.journal import JournalReader
from tests.edge.tiny import STREET, write_bundle

MAIN = [sys.executable, "-c", "from edge.cli import main; main()"]


class Run:
    """One `joulepath run` in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.socket, self.journal = folder / "s.sock", folder / "j.db"
        fixed = ["--bundle", str(folder / "bundle"), "--journal", str(self.journal), "--socket", str(self.socket)]
        defaults = {"--camera": "synthetic:48x64@30", "--board": "simulated:preset=demo"}
        for option, value in defaults.items():
            if option not in arguments:
                fixed += [option, value]
        self.process = subprocess.Popen(
            [*MAIN, "run", *fixed, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 60) -> dict[str, Any]:
        """Ask for the status until the condition holds."""
        deadline = time.monotonic() + timeout_s
        status: dict[str, Any] = {}
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.process.communicate()}")
            with contextlib.suppress(ControlError):
                status = ask(self.socket, {"command": "status"})["status"]
                if condition(status):
                    return status
            time.sleep(0.05)
        raise AssertionError(f"not within {timeout_s} s: {status}")

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str, str, float]:
        """Signal it and wait: exit code, both outputs, seconds it took."""
        began = time.monotonic()
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err, time.monotonic() - began

    def events(self) -> list[tuple[str, str]]:
        with contextlib.closing(sqlite3.connect(self.journal)) as connection:
            return connection.execute("select kind, message from event order by rowid").fetchall()


def joulepath(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MAIN, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    write_bundle(tmp_path / "bundle", STREET)
    runs: list[Run] = []

    def make(*arguments: str) -> Run:
        runs.append(Run(tmp_path, *arguments))
        return runs[-1]

    yield make
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()


def streaming(status: dict[str, Any]) -> bool:
    return bool(status["frames"] >= 5)


def test_frames_are_counted_rows_written_and_the_summary_is_json(start: Callable[..., Run]) -> None:
    run = start("--frames", "40", "--json", "--camera", "synthetic:48x64@0")
    out, err = run.process.communicate(timeout=60)
    assert run.process.returncode == 0, err
    summary = json.loads(out)
    assert (summary["frames"], summary["skipped"], summary["energy_method"]) == (40, 0, "modelled")
    with JournalReader(run.journal) as reader:
        rows = list(reader.frames())
        (record,) = reader.runs()
    assert [row.sequence for row in rows] == list(range(40))
    assert sum(row.energy_uj or 0 for row in rows) == pytest.approx(summary["energy_j"] * 1e6, abs=1)
    assert all(row.miou_ppm is not None for row in rows)
    assert record.outcome == "finished"


def test_sigterm_ends_it_cleanly_and_leaves_no_process(start: Callable[..., Run]) -> None:
    run = start()
    run.wait_for(streaming)
    children = psutil.Process(run.process.pid).children(recursive=True)
    assert len(children) >= 2  # a camera and an engine
    code, out, err, took_s = run.end()
    assert code == 0, err
    assert "frames in" in out
    assert took_s < 10  # 2 s is the promise; this bound only tells a hang from a loaded machine
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert not run.socket.exists()


def test_a_pin_by_hand_and_back(start: Callable[..., Run]) -> None:
    run = start()
    run.wait_for(streaming)
    told = joulepath("switch", "alone", "--socket", str(run.socket))
    assert told.returncode == 0, told.stderr
    run.wait_for(lambda s: s["variant"] == "alone")
    asked = joulepath("status", "--json", "--socket", str(run.socket))
    status = json.loads(asked.stdout)
    assert (status["reason"], status["pinned"]) == ("pinned by hand", "alone")
    wrong = joulepath("switch", "fool", "--socket", str(run.socket))
    assert wrong.returncode == 1
    assert "it has: full, half, alone" in wrong.stderr
    joulepath("switch", "auto", "--socket", str(run.socket))
    run.wait_for(lambda s: s["variant"] != "alone" and s["pinned"] is None)
    run.end()
    with JournalReader(run.journal) as reader:
        reasons = [switch.reason for switch in reader.switches(reader.run().id)]
    assert "pinned by hand" in reasons


def test_sighup_reads_the_configuration_again_and_keeps_it_when_it_is_broken(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[controller]\nmax_temperature_c = 200.0\nemergency_temperature_c = 300.0\ndwell_s = 0.1\n")
    run = start("--config", str(config))
    run.wait_for(lambda s: streaming(s) and s["variant"] == "full")
    config.write_text("[controller]\nmax_temperature_c = 1.0\nemergency_temperature_c = 2.0\ndwell_s = 0.1\n")
    run.process.send_signal(signal.SIGHUP)
    run.wait_for(lambda s: s["variant"] != "full" and "emergency" in s["reason"])
    config.write_text("[controller]\nmax_temp = 1.0\n")
    run.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and "kept as it was" not in str(_live_events(run)):
        time.sleep(0.2)
    run.end()
    assert "emergency" in [kind for kind, _ in run.events()]
    told = [message for kind, message in run.events() if kind == "reload"]
    assert told[0] == "configuration read again"
    assert "configuration kept as it was" in told[1]
    assert "unknown key 'controller.max_temp'" in told[1]


def _live_events(run: Run) -> list[tuple[str, str]]:
    joulepath("switch", "auto", "--socket", str(run.socket))  # a switch command makes an event, and a commit soon
    return run.events()


def test_kill_9_loses_at_most_the_commit_interval_and_the_journal_opens_clean(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[journal]\ncommit_interval_s = 1.0\n")
    run = start("--config", str(config))
    run.wait_for(lambda s: s["elapsed_s"] > 4 and s["frames"] >= 20)
    before = run.wait_for(streaming)["frames"]
    children = psutil.Process(run.process.pid).children(recursive=True)
    run.end(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive  # the parent-death signal takes camera and engine along
    with contextlib.closing(sqlite3.connect(run.journal)) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    with JournalReader(run.journal) as reader:
        rows = list(reader.frames())
    assert before > 0
    assert rows, "rows older than the interval were committed"
    again = start("--frames", "5", "--json")
    _out, err = again.process.communicate(timeout=60)
    assert again.process.returncode == 0, err
    with JournalReader(run.journal) as reader:
        assert len(list(reader.runs())) == 2
        assert len(list(reader.frames())) == len(rows) + 5


def test_a_camera_that_freezes_is_restarted_and_the_journal_says_so(start: Callable[..., Run], tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[camera_process]\nfreeze_timeout_s = 1.0\n")
    run = start("--config", str(config))
    run.wait_for(streaming)
    camera = next(
        p for p in psutil.Process(run.process.pid).children() if "edge.cameras.child" in " ".join(p.cmdline())
    )
    camera.suspend()
    frames = run.wait_for(lambda s: not camera.is_running() or camera.status() == psutil.STATUS_ZOMBIE)["frames"]
    run.wait_for(lambda s: s["camera"] == "streaming" and s["frames"] > frames + 5)
    run.end()
    kinds = [kind for kind, _ in run.events()]
    assert "camera_frozen" in kinds
    assert "camera_back" in kinds


def test_an_engine_that_is_killed_is_survived(start: Callable[..., Run]) -> None:
    run = start()
    run.wait_for(lambda s: streaming(s) and s["variant"] == "full")
    worker = next(
        p for p in psutil.Process(run.process.pid).children() if "edge.engines.worker" in " ".join(p.cmdline())
    )
    os.kill(worker.pid, signal.SIGKILL)
    frames = run.wait_for(lambda s: s["variant"] not in (None, "full"))["frames"]
    run.wait_for(lambda s: s["frames"] > frames + 5)
    run.end()
    assert "engine_lost" in [kind for kind, _ in run.events()]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--camera", "/nowhere/film.mp4"], 2, "/nowhere/film.mp4"),
        (["--camera", "synthetic:0x0"], 2, "synthetic"),
        (["--board", "toaster"], 2, "toaster"),
        (["--pin", "fool"], 2, "it has: full, half, alone"),
        (["--config", "/nowhere/c.toml"], 2, "cannot be read"),
        (["--bundle", "/nowhere/bundle"], 1, "no such bundle directory"),
        (["--frames", "0"], 2, "frames"),
    ],
)
def test_bad_usage_is_refused_in_words(
    start: Callable[..., Run], arguments: list[str], code: int, message: str
) -> None:
    run = start(*arguments)
    out, err = run.process.communicate(timeout=60)
    assert run.process.returncode == code, err
    assert message in err
    assert "Traceback" not in err + out


def test_a_source_that_opens_too_late_is_told_with_the_setting_that_waits_longer(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[camera_process]\nopen_timeout_s = 0.001\n")
    run = start("--config", str(config))
    _, err = run.process.communicate(timeout=60)
    assert run.process.returncode == 1
    assert "did not open within 0.001 s" in err
    assert "camera_process.open_timeout_s" in err


def test_a_bundle_that_was_tampered_with_is_refused(start: Callable[..., Run], tmp_path: Path) -> None:
    model = tmp_path / "bundle" / "tiny_two.tflite"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    run = start()
    _, err = run.process.communicate(timeout=60)
    assert run.process.returncode == 1
    assert "sha256" in err
    assert "Traceback" not in err


def test_what_run_writes_is_what_summary_reads_when_nobody_names_a_journal(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", STREET)
    environment = {k: v for k, v in os.environ.items() if k != "JOULEPATH_JOURNAL"}
    environment["STATE_DIRECTORY"] = str(tmp_path)

    def run(*arguments: str) -> str:
        done = subprocess.run([*MAIN, *arguments], capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    socket = str(tmp_path / "s.sock")
    run("run", "--bundle", str(bundle), "--camera", "synthetic:48x64@0", "--board", "simulated", "--frames", "7",
        "--socket", socket, "--quiet")  # fmt: skip
    assert "7 frames" in run("journal", "summary")


def _configured(folder: Path, text: str) -> str:
    path = folder / "config.toml"
    path.write_text(text)
    return str(path)


def test_pictures_that_show_nothing_new_are_reused_by_choice_and_told(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(20):
        cv2.imwrite(str(pictures / f"{number:02}.png"), np.full((48, 64, 3), 90, np.uint8))
    config = _configured(tmp_path, "[inference]\nskip_unchanged = true\nlongest_reuse_s = 60\n")
    run = start("--json", "--camera", str(pictures), "--config", config)
    out, err = run.process.communicate(timeout=60)
    assert run.process.returncode == 0, err
    assert (json.loads(out)["frames"], json.loads(out)["reused"]) == (20, 19)
    with JournalReader(run.journal) as reader:
        rows = list(reader.frames())
    assert [row.reused for row in rows] == [0] + [1] * 19
    # The first frame, of a start on a busy machine, may lie where the sampler has read too little yet.
    assert all(row.energy_uj is not None for row in rows if row.reused)
    shown = joulepath("journal", "summary", "--journal", str(run.journal))
    assert "19 (95%) showed nothing new" in " ".join(shown.stdout.split())


def test_fewer_frames_are_let_through_where_a_limit_asks_and_the_user_allows_it(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    config = _configured(
        tmp_path, "[controller]\nmin_fps = 3\nallow_lower_fps = true\nmax_power_w = 0.1\nmax_temperature_c = 80\n"
    )
    run = start("--config", config)
    status = run.wait_for(lambda status: bool(status["frames"] >= 6))
    assert status["max_fps"] == 3.0
    assert status["skipped"] > 6
    assert any(goal.startswith("rate: met, 3.0 of") for goal in status["goals"])
    assert run.end()[0] == 0
    with JournalReader(run.journal) as reader:
        bodies = [body for *_, body in reader.decisions(reader.run().id)]
    assert any(body.get("max_fps") == 3.0 for body in bodies)
