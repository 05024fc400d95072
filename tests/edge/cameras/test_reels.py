from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras.device import Device
from edge.cameras.frame import CameraError
from edge.cameras.reels import FolderReel, VideoReel, open_reel
from edge.cameras.source import parse_source
from tests.edge.cameras.conftest import Counted, number_in


@pytest.mark.parametrize(("name", "fourcc"), [("a.avi", "MJPG"), ("a.mp4", "mp4v")])
def test_a_video_from_any_frame(video: Counted, name: str, fourcc: str) -> None:
    spec = parse_source(str(video(30, name, fourcc)))
    for start in (0, 1, 17):
        reel = VideoReel(spec)
        assert reel.fps == 25.0
        shown = []
        for index in range(start, 30):
            picture = reel.frame(index)
            assert picture is not None
            shown.append(number_in(picture[0]))
        assert shown == list(range(start, 30))
        assert reel.frame(30) is None
        assert reel.short_by == 0
        reel.close()


def test_frames_of_a_video_may_be_passed_over(video: Counted) -> None:
    reel = VideoReel(parse_source(str(video(30))))
    pictures = [reel.frame(index) for index in (0, 3, 4, 29)]
    assert [number_in(picture[0]) for picture in pictures if picture] == [0, 3, 4, 29]
    assert reel.frame(35) is None


def test_a_folder_with_masks(folder: Counted) -> None:
    reel = FolderReel(parse_source(str(folder(4))))
    image, truth = reel.frame(2) or (None, None)
    assert image is not None
    assert truth is not None
    assert (image.shape, truth.shape) == ((96, 256, 3), (96, 256))
    assert (truth[0] == 255).all()
    assert (truth[1:] == 2).all()
    assert reel.frame(4) is None


def test_a_colour_mask_is_refused(folder: Counted) -> None:
    home = folder(1)
    cv2.imwrite(str(home.with_name("streetannot") / "000.png"), np.zeros((48, 128, 3), np.uint8))
    with pytest.raises(CameraError, match="must be a greyscale PNG of class ids"):
        open_reel(parse_source(str(home)))


def test_a_mask_of_another_size_is_refused(folder: Counted) -> None:
    home = folder(1)
    cv2.imwrite(str(home.with_name("streetannot") / "000.png"), np.zeros((24, 64), np.uint8))
    with pytest.raises(CameraError, match="mask is 24x64 but its image is 48x128"):
        open_reel(parse_source(str(home)))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no images in it"):
        open_reel(parse_source(str(tmp_path)))


def test_a_missing_device_is_refused() -> None:
    with pytest.raises(CameraError, match=r"/dev/video987: no such device.*ls /dev/video"):
        Device(parse_source("/dev/video987"))


def test_a_device_that_is_no_camera_is_refused() -> None:
    with pytest.raises(CameraError, match=r"/dev/null: it gives no frames in format YUYV"):
        Device(parse_source("/dev/null"))
