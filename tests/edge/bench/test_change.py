from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bench.change import SIZES, THRESHOLDS, Clip, bench_change, read_clip
from edge.bench.record import BenchError
from edge.bundle import load_bundle
from edge.bundle.load import Bundle
from tests.edge.tiny import STREET, write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(write_bundle(tmp_path / "tiny", STREET))


def pictures(folder: Path, shades: list[int]) -> Path:
    """Grey pictures, one shade each, in a texture that a piece of another differs from."""
    folder.mkdir()
    texture = np.random.default_rng(0).integers(0, 30, (60, 96, 3))
    for number, shade in enumerate(shades):
        image = np.roll(texture, number // 4, axis=1) + shade
        assert cv2.imwrite(str(folder / f"{number:02}.png"), image.astype(np.uint8))
    return folder


def test_what_is_reused_is_counted_and_held_against_what_was_computed(bundle: Bundle, tmp_path: Path) -> None:
    shades = [50] * 4 + [120] * 3 + [200]
    folder = pictures(tmp_path / "clip", shades)
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in range(len(shades)):
        cv2.imwrite(str(masks / f"{number:02}.png"), np.full((60, 96), 11 if number == 0 else 2, np.uint8))
    clip = read_clip(folder, 15.0, masks, void=11)
    assert clip.truths is not None
    assert (clip.truths[0] == 255).all()
    result = bench_change(bundle, [clip], variant="half")
    rows = [row for row in result.tables[1].rows if row[1] == 6.0]
    assert [(row[0], row[2]) for row in rows] == [(clip.name, 100 * 5 / 8)]
    # Frames 1 to 3 are frame 0 over again, 5 and 6 are frame 4.
    by_threshold = {one["threshold"]: one["reused_share"] for one in result.details["reuse"]}
    assert list(by_threshold) == list(THRESHOLDS)
    assert list(by_threshold.values()) == sorted(by_threshold.values())
    assert all(0 <= (one["agreement"] or 0) <= 1 for one in result.details["reuse"])
    still = result.details["still"][clip.name]
    assert still["noise 0"] == pytest.approx(3 / 90)
    things = result.details["things"][clip.name]
    assert len(things) == len(SIZES)
    assert all(list(seen.values()) == sorted(seen.values(), reverse=True) for seen in things.values())
    (goal,) = result.goals
    assert goal.at_most
    assert goal.measured is not None


def test_a_video_has_its_own_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 12.0, (96, 60))  # type: ignore[attr-defined]
    for shade in (10, 120, 240):
        writer.write(np.full((60, 96, 3), shade, np.uint8))
    writer.release()
    clip = read_clip(path)
    assert (clip.name, clip.fps, len(clip.frames), clip.truths) == ("clip.avi", 12.0, 3, None)


def test_mistakes_are_named(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no clip"):
        bench_change(bundle, [])
    with pytest.raises(BenchError, match="give a video, or a folder and --fps"):
        read_clip(pictures(tmp_path / "clip", [1, 2, 3]))
    with pytest.raises(BenchError, match="variant 'none' is not in"):
        bench_change(bundle, [Clip("still", 10.0, [np.zeros((60, 96, 3), np.uint8)] * 2)], variant="none")
