"""The streams that the demonstration is judged on, where they are to be had."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edge.cameras.frame import each_frame
from edge.cameras.supervise import SupervisedCamera

DATA = Path(os.environ.get("JOULEPATH_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
CLIP, CAMVID = DATA / "video" / "road-960x540.mp4", DATA / "camvid" / "val"


@pytest.mark.skipif(not CLIP.is_file(), reason=f"no road clip at {CLIP} (set JOULEPATH_DATA)")
def test_the_road_clip_is_handed_over_whole() -> None:
    with SupervisedCamera(str(CLIP)) as camera:
        assert camera.fps == pytest.approx(25.0)
        frames = [(f.sequence, f.skipped, f.image.shape, f.truth) for f in each_frame(camera)]
    assert frames == [(n, 0, (540, 960, 3), None) for n in range(221)]


@pytest.mark.skipif(not CAMVID.is_dir(), reason=f"no CamVid at {CAMVID} (set JOULEPATH_DATA)")
def test_camvid_brings_its_truth() -> None:
    labels: set[int] = set()
    with SupervisedCamera(str(CAMVID)) as camera:
        count = 0
        for frame in each_frame(camera):
            assert frame.truth is not None
            assert frame.truth.shape == frame.image.shape[:2] == (360, 480)
            labels |= set(np.unique(frame.truth).tolist())
            count += 1
    assert count == 101
    assert labels == {*range(11), 255}
