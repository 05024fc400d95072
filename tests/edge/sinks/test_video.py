"""The overlay as a player sees it: H.264, the frames' own times, the mask over the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.cameras.frame import Frame
from edge.ledger import Served
from edge.pipeline import Shown
from edge.sinks.video import STRIP_HEIGHT, VideoSink, compose
from edge.status import Status
from edge.tasks.palette import palette_for
from tests.edge.tiny import STREET

MS = 1_000_000
PALETTE = palette_for(STREET)
NOTHING_KNOWN = Status(
    variant=None, reason="", pinned=None, frames=0, skipped=0, fps=None, infer_ms=None, age_ms=None, power_w=None,
    power_method="unavailable", energy_per_frame_j=None, energy_j=None, temperature_c=None, battery=None,
    throttled=None, load=None, miou=None, camera="streaming", journal="writing", elapsed_s=0.0, switches=0,
)  # fmt: skip


def shown(index: int, height: int = 360, width: int = 640) -> Shown:
    image = np.full((height, width, 3), 100, np.uint8)
    start = 50 * MS * index
    served = Served(index, 1, 0, start, start, start + MS, start + 2 * MS, MS, MS)
    return Shown(Frame(image, start, index, 0), np.full((90, 160), 3, np.uint8), "full", served, None)


def test_the_mask_lies_over_the_picture_and_the_strip_below() -> None:
    picture = compose(shown(0), PALETTE, NOTHING_KNOWN)
    assert picture.shape == (360 + STRIP_HEIGHT, 640, 3)
    road_bgr = PALETTE[3][::-1].astype(float)
    assert np.abs(picture[100, 100].astype(float) - (0.5 * 100 + 0.5 * road_bgr)).max() <= 1


def test_small_frames_are_enlarged_and_sides_are_even() -> None:
    picture = compose(shown(0, 45, 81), PALETTE, NOTHING_KNOWN)
    assert picture.shape[1] == 640
    assert picture.shape[0] % 2 == 0


def test_a_player_reads_every_frame_at_its_own_time(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs the extra [video]")
    path = tmp_path / "seen.mp4"
    sink = VideoSink(path, PALETTE, lambda: NOTHING_KNOWN)
    indices = [0, 1, 2, 10, 11]
    for index in indices:
        sink.show(shown(index))
    assert not path.exists()
    sink.close()
    sink.close()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        times = [float(frame.pts * stream.time_base) for frame in container.decode(stream)]
    assert times == pytest.approx([0.05 * i for i in indices], abs=0.002)


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra [video]")
    sink = VideoSink(tmp_path / "none.mp4", PALETTE, lambda: NOTHING_KNOWN)
    sink.close()
    assert list(tmp_path.iterdir()) == []
