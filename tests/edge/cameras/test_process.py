from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from edge.cameras.frame import CameraError, EndOfStream, Frame, each_frame
from edge.cameras.process import CameraLost, CameraProcess
from edge.cameras.source import parse_source
from edge.cameras.synthetic import SyntheticStreet
from tests.edge.cameras.conftest import Counted, number_in, until


def fetch(camera: CameraProcess) -> Frame:
    frame: Frame | None = None
    while frame is None:
        frame = camera.next(1.0)
    return frame


def test_a_file_is_handed_over_whole_to_a_slow_reader(video: Counted) -> None:
    with CameraProcess(parse_source(str(video(60))), slots=3) as camera:
        held: list[Frame] = []
        shown = []
        while True:
            try:
                frame = camera.next(1.0)
            except EndOfStream:
                break
            if frame is None:
                continue
            shown.append((frame.sequence, frame.skipped, number_in(frame.image)))
            held.append(frame)
            if len(held) == 2:  # two slots of three are always taken
                camera.release(held.pop(0))
        assert shown == [(n, 0, n) for n in range(60)]


def test_without_a_free_slot_a_file_waits_and_a_reader_gets_none(video: Counted) -> None:
    with CameraProcess(parse_source(str(video(9))), slots=2) as camera:
        first, second = fetch(camera), fetch(camera)
        assert camera.next(0.2) is None
        camera.release(first)
        camera.release(second)
        rest = [(f.sequence, f.skipped, number_in(f.image)) for f in each_frame(camera)]
        assert rest == [(n, 0, n) for n in range(2, 9)]


def test_a_folder_that_changes_shape(folder: Counted) -> None:
    with CameraProcess(parse_source(str(folder(5))), slots=2) as camera:
        kept = fetch(camera)
        shapes = [kept.image.shape]
        for frame in each_frame(camera):
            shapes.append(frame.image.shape)
            assert number_in(frame.image) == frame.sequence
            assert frame.truth is not None
            assert frame.truth.shape == frame.image.shape[:2]
            assert (frame.truth[0] == 255).all()
            assert (frame.truth[1:] == frame.sequence).all()
        assert [s[0] for s in shapes] == [48, 48, 96, 48, 48]
        # A frame on the outgrown memory is still whole.
        assert number_in(kept.image) == 0
        camera.release(kept)


def test_a_live_source_hands_over_the_newest_and_counts_the_rest() -> None:
    spec = parse_source("synthetic:48x64@40,seed=4")
    street = SyntheticStreet(48, 64, seed=4)
    with CameraProcess(spec) as camera:
        expected = 0
        saw_a_gap = False
        for _ in range(4):
            frame = fetch(camera)
            assert frame.skipped == frame.sequence - expected
            expected = frame.sequence + 1
            saw_a_gap |= frame.skipped > 0
            # The number tells which picture it is: exactly that one came.
            image, truth = street.render(frame.sequence / 40)
            assert np.array_equal(frame.image, image)
            assert frame.truth is not None
            assert np.array_equal(frame.truth, truth)
            camera.release(frame)
            until(lambda wanted=expected + 2: newest(camera) >= wanted)
            assert len(camera._arrived) == 1
        assert saw_a_gap


def newest(camera: CameraProcess) -> int:
    arrived = list(camera._arrived)
    return arrived[-1].sequence if arrived else -1


def test_a_live_source_goes_on_when_all_slots_are_held() -> None:
    with CameraProcess(parse_source("synthetic:48x64@100"), slots=2) as camera:
        held = [fetch(camera), fetch(camera)]
        assert camera.next(0.15) is None
        for frame in held:
            camera.release(frame)
        after = fetch(camera)
        assert after.skipped == after.sequence - held[-1].sequence - 1 > 0


def test_frames_are_read_only_and_released_once() -> None:
    with CameraProcess(parse_source("synthetic:48x64@0")) as camera:
        frame = fetch(camera)
        with pytest.raises(ValueError, match="read-only"):
            frame.image[0, 0, 0] = 1
        camera.release(frame)
        with pytest.raises(ValueError, match="not held"):
            camera.release(frame)


def test_a_frame_that_outlives_its_process_is_released_once_too() -> None:
    camera = CameraProcess(parse_source("synthetic:48x64@0"))
    camera.open()
    frame = fetch(camera)
    camera.close()
    assert frame.image.shape == (48, 64, 3)
    camera.release(frame)
    with pytest.raises(ValueError, match="not held"):
        camera.release(frame)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_death_is_told_after_what_had_arrived(video: Counted, how: signal.Signals) -> None:
    with CameraProcess(parse_source(str(video(20))), slots=4) as camera:
        first = fetch(camera)
        until(lambda: len(camera._arrived) == 3)
        assert camera.pid is not None
        os.kill(camera.pid, how)
        until(lambda: camera._over is not None)
        assert [fetch(camera).sequence for _ in range(3)] == [1, 2, 3]
        with pytest.raises(CameraLost, match=f"capture process died .signal {int(how)}"):
            camera.next(1.0)
        assert number_in(first.image) == 0
        camera.release(first)


def test_a_frozen_process_blocks_nothing() -> None:
    camera = CameraProcess(parse_source("synthetic:48x64@0"), slots=4)
    camera.open()
    assert camera.pid is not None
    os.kill(camera.pid, signal.SIGSTOP)
    for _ in range(40):  # far more than there are slots: drains what had arrived, then waits its time
        if (frame := camera.next(0.01)) is not None:
            camera.release(frame)
    assert camera.next(0.05) is None
    camera.close()


def test_the_process_dies_with_its_parent(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, signal
        from edge.cameras.process import CameraProcess
        from edge.cameras.source import parse_source
        camera = CameraProcess(parse_source("synthetic:48x64@20"))
        camera.open()
        print(camera.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    until(lambda: not is_running(pid))


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_closing_is_final_and_may_be_repeated() -> None:
    camera = CameraProcess(parse_source("synthetic:48x64@20"))
    camera.open()
    pid = camera.pid
    assert pid is not None
    frame = fetch(camera)
    camera.close()
    camera.close()
    assert not is_running(pid)
    assert frame.image.shape == (48, 64, 3)
    assert frame.image.any()
    with pytest.raises(CameraLost, match="closed"):
        camera.next(0.1)


def test_a_damaged_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(20_000))
    with pytest.raises(CameraError, match=r"noise.mp4: no frame can be decoded; it is damaged") as caught:
        CameraProcess(parse_source(str(path))).open()
    assert not isinstance(caught.value, CameraLost)


def test_a_video_that_vanishes_between_naming_and_opening(video: Counted) -> None:
    path = video(3)
    spec = parse_source(str(path))
    path.unlink()
    with pytest.raises(CameraError, match=r"clip.avi: No such file or directory; check the path"):
        CameraProcess(spec).open()


def test_an_image_that_cannot_be_decoded_ends_a_folder_with_its_name(folder: Counted) -> None:
    home = folder(4)
    (home / "002.png").write_bytes(b"not a picture")
    with CameraProcess(parse_source(str(home))) as camera:
        assert [fetch(camera).sequence, fetch(camera).sequence] == [0, 1]
        with pytest.raises(CameraError, match=r"002.png: not an image"):
            fetch(camera)


def test_a_missing_device_is_refused() -> None:
    with pytest.raises(CameraError, match="/dev/video987: no such device"):
        CameraProcess(parse_source("987")).open()


def test_nothing_is_left_behind(video: Counted) -> None:
    spec = parse_source(str(video(5)))
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with CameraProcess(spec) as camera:
            assert [f.sequence for f in each_frame(camera)] == list(range(5))
    assert set(os.listdir("/proc/self/fd")) == before
