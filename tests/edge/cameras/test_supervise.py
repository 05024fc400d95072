from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from edge.cameras.frame import CameraError, EndOfStream, Frame, each_frame
from edge.cameras.source import SourceSpec, parse_source
from edge.cameras.supervise import Patience, SupervisedCamera, lost_while_away
from tests.edge.cameras.conftest import Counted, number_in, until


class Events(list[tuple[str, str, str]]):
    def __call__(self, level: str, kind: str, message: str) -> None:
        self.append((level, kind, message))

    @property
    def kinds(self) -> list[str]:
        return [kind for _, kind, _ in self]


class Clock:
    """Stands still; sleeping moves it, and so may a test."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def fetch(camera: SupervisedCamera) -> Frame:
    frame: Frame | None = None
    while frame is None:
        frame = camera.next(0.5)
    return frame


def kill(camera: SupervisedCamera, how: signal.Signals = signal.SIGKILL) -> None:
    assert camera.pid is not None
    os.kill(camera.pid, how)


def test_a_killed_file_goes_on_without_loss(video: Counted) -> None:
    events = Events()
    with SupervisedCamera(str(video(50)), on_event=events, patience=Patience(first_backoff_s=0.01), slots=4) as camera:
        shown = []
        for frame in each_frame(camera):
            shown.append((frame.sequence, frame.skipped, number_in(frame.image)))
            if frame.sequence in (5, 30) and len(shown) in (6, 31):
                kill(camera)
        assert shown == [(n, 0, n) for n in range(50)]
        assert events.kinds == ["camera_lost", "camera_back"] * 2
        assert "died (signal 9); starting it again" in events[0][2]
        assert (camera.restarts, camera.frames_lost) == (2, 0)
        with pytest.raises(EndOfStream):
            camera.next(0.1)
    assert camera.restarts == 2


def test_a_killed_live_source_counts_what_it_lost() -> None:
    events = Events()
    with SupervisedCamera("synthetic:48x64@50", on_event=events, patience=Patience(first_backoff_s=0.2)) as camera:
        before = fetch(camera)
        camera.release(before)
        last = before.sequence
        kill(camera)
        while not events or events.kinds[-1] != "camera_back":
            frame = fetch(camera)
            assert frame.skipped == frame.sequence - last - 1
            last = frame.sequence
            camera.release(frame)
        # A back-off of 0.2 s at 50 frames a second: at least ten went by.
        assert camera.frames_lost == frame.skipped >= 9
        assert events.kinds == ["camera_lost", "camera_back"]
        assert f"{frame.skipped} frames lost" in events[-1][2]


def test_a_frame_under_way_when_its_source_goes_is_released_afterwards() -> None:
    events = Events()
    with SupervisedCamera("synthetic:48x64@50", on_event=events, patience=Patience(first_backoff_s=0.01)) as camera:
        under_way = fetch(camera)
        kill(camera)
        while not events or events.kinds[-1] != "camera_back":
            camera.release(fetch(camera))
        camera.release(under_way)


def test_a_frozen_source_is_noticed_and_started_again() -> None:
    events, clock = Events(), Clock()
    with SupervisedCamera("synthetic:48x64@50", on_event=events, clock=clock, sleep=clock.sleep) as camera:
        fetch(camera)
        kill(camera, signal.SIGSTOP)
        frozen = camera.pid
        while (frame := camera.next(0.05)) is not None:  # what had arrived before it froze
            camera.release(frame)
        clock.now_s += 2.9
        assert camera.next(0.05) is None
        assert events == []
        clock.now_s += 0.2
        assert camera.next(0.05) is None
        assert events.kinds == ["camera_frozen"]
        assert "no frame for 3.1 s" in events[0][2]
        assert fetch(camera).skipped > 0
        assert camera.pid != frozen
        assert events.kinds == ["camera_frozen", "camera_back"]


def test_a_source_whose_slots_are_all_held_is_not_frozen(video: Counted) -> None:
    events, clock = Events(), Clock()
    with SupervisedCamera(str(video(6)), on_event=events, clock=clock, sleep=clock.sleep, slots=2) as camera:
        held = [fetch(camera), fetch(camera)]
        clock.now_s += 60.0
        for frame in held:
            camera.release(frame)
        assert [f.sequence for f in each_frame(camera)] == [2, 3, 4, 5]
        assert events == []


def test_back_off_grows_and_is_bounded() -> None:
    events, clock = Events(), Clock()
    patience = Patience(first_backoff_s=0.5, longest_backoff_s=4.0)
    camera = SupervisedCamera("synthetic:48x64@50", on_event=events, patience=patience, clock=clock, sleep=clock.sleep)
    with camera:
        for _ in range(6):
            until(lambda: camera.pid is not None)
            kill(camera)
            while camera._process is not None:
                if (frame := camera.next(0.05)) is not None:
                    camera.release(frame)
            asleep = len(clock.slept)
            while camera._process is None:
                camera.next(60.0)
            assert len(clock.slept) == asleep + 1
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_waiting_for_a_restart_keeps_to_the_callers_time() -> None:
    clock = Clock()
    patience = Patience(first_backoff_s=9.0)
    with SupervisedCamera("synthetic:48x64@50", patience=patience, clock=clock, sleep=clock.sleep) as camera:
        kill(camera)
        while camera._process is not None:
            if (frame := camera.next(0.05)) is not None:
                camera.release(frame)
        assert camera.next(0.25) is None
        assert clock.slept == [0.25]


def test_a_file_that_kills_its_reader_is_given_up(video: Counted) -> None:
    events = Events()
    patience = Patience(first_backoff_s=0.01, tries=2)
    with SupervisedCamera(str(video(30)), on_event=events, patience=patience, slots=2) as camera:
        fetch(camera)

        def kill_it_for_ever() -> None:
            while True:
                if camera.pid is not None:
                    with suppress(ProcessLookupError):  # the one before was reaped, the next is not there yet
                        kill(camera)
                camera.next(0.05)

        with pytest.raises(CameraError, match="failed 3 times at the same frame, see to the file"):
            kill_it_for_ever()
        assert events.kinds == ["camera_lost"]


def test_a_video_cut_short_says_so(video: Counted) -> None:
    path = video(60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    events = Events()
    with SupervisedCamera(str(path), on_event=events) as camera:
        shown = [number_in(f.image) for f in each_frame(camera)]
    assert 10 < len(shown) < 60
    assert shown == list(range(len(shown)))
    assert events.kinds == ["camera_short"]
    assert events[0][0] == "warning"
    assert f"ended {60 - len(shown)} frames before" in events[0][2]


def test_a_folder_as_a_live_camera_with_truth(folder: Counted) -> None:
    with SupervisedCamera(f"{folder(12)}@20") as camera:
        assert camera.live
        assert camera.fps == 20
        last = -1
        for frame in each_frame(camera):
            assert frame.skipped == frame.sequence - last - 1
            assert number_in(frame.image) == frame.sequence
            assert frame.truth is not None
            last = frame.sequence
        assert last >= 0


def test_an_unreadable_source_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    events = Events()
    camera = SupervisedCamera(str(tmp_path / "empty.mp4"), on_event=events)
    with pytest.raises(CameraError, match="no frame can be decoded"):
        camera.open()
    assert camera.restarts == 0
    assert events == []
    camera.close()


def test_two_cameras_do_not_take_each_others_frames() -> None:
    with SupervisedCamera("synthetic:48x64@0") as one, SupervisedCamera("synthetic:48x64@0") as other:
        frame = fetch(one)
        assert frame.sequence == fetch(other).sequence == 0
        one.release(frame)
        with pytest.raises(ValueError, match="not a camera process's"):
            other.release(Frame(frame.image, 0, 0, 0))


@pytest.mark.parametrize(
    ("away_ns", "skipped", "fps", "lost"),
    [(2_000_000_000, 0, 30.0, 59), (33_400_000, 0, 30.0, 0), (100_000_000, 7, 30.0, 7), (2_000_000_000, 2, None, 2)],
)
def test_frames_that_a_device_made_while_it_was_out(away_ns: int, skipped: int, fps: float | None, lost: int) -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    last, frame = Frame(image, 5_000, 90, 0), Frame(image, 5_000 + away_ns, skipped, skipped)
    assert lost_while_away(last, frame, fps) == lost


def test_a_device_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    node, events = tmp_path / "video0", Events()
    clock = Clock()
    spec = SourceSpec("cam", "v4l2", path=str(node))
    camera = SupervisedCamera(spec, on_event=events, clock=clock, sleep=clock.sleep)
    with pytest.raises(CameraError, match="no such device"):
        camera.open()
    assert (camera.out, events) == (False, [])
    camera.open(wait=True)
    assert (camera.out, events.kinds) == (True, ["camera_lost"])
    assert f"camera {node}: no such device; starting it again" in str(events)
    for _ in range(100):
        assert camera.next(0.5) is None
    assert camera.restarts == 0  # no process is started to find out that nothing is plugged in
    assert max(clock.slept) <= 0.5
    node.touch()  # something is: no camera, but that takes a process to see
    while not camera.restarts:
        assert camera.next(0.5) is None
    camera.spec = parse_source("synthetic:48x64@10")  # and now one that works
    frame = fetch(camera)
    assert (camera.out, camera.fps, events.kinds) == (False, 10.0, ["camera_lost", "camera_back"])
    camera.release(frame)
    camera.close()


def test_a_device_that_is_not_there_is_named_so_however_slow_the_board(tmp_path: Path) -> None:
    events = Events()
    spec = SourceSpec("cam", "v4l2", path=str(tmp_path / "video0"))
    camera = SupervisedCamera(spec, on_event=events, patience=Patience(open_timeout_s=0.001))
    camera.open(wait=True)
    assert "no such device" in str(events)
    camera.close()


def test_waiting_is_for_devices_alone(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    camera = SupervisedCamera(str(tmp_path / "empty.mp4"))
    with pytest.raises(CameraError, match="no frame can be decoded"):
        camera.open(wait=True)
    camera.close()


def test_a_silence_is_overdue_when_it_should_have_been_called_an_outage() -> None:
    clock = Clock()
    camera = SupervisedCamera("synthetic:48x64@2", clock=clock, patience=Patience(freeze_timeout_s=1.0))
    with camera:
        camera.release(fetch(camera))
        assert camera.overdue_s == pytest.approx(-1.5)  # three frames' time
        clock.now_s += 2.0
        assert camera.overdue_s == pytest.approx(0.5)
