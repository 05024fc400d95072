from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bundle import OutputSpec, load_bundle
from edge.errors import JoulepathError
from edge.tasks import ClassifyTask, SegmentTask, open_task
from edge.tasks.draw import draw, resize_mask
from edge.tasks.palette import palette_for
from edge.tasks.segment import to_mask
from edge.tasks.upsample import upsampled_argmax
from tests.edge.tiny import write_bundle

RNG = np.random.default_rng(9)
IDS = RNG.integers(0, 21, (1, 9, 13))


def nearest(ids: np.ndarray, height: int, width: int) -> np.ndarray:
    """The id whose pixel each centre falls into."""
    rows = ((np.arange(height) + 0.5) * ids.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * ids.shape[1] / width).astype(int)
    return ids[rows][:, columns]


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
@pytest.mark.parametrize("shape", [(1, 9, 13), (1, 9, 13, 1)])
@pytest.mark.parametrize("size", [(9, 13), (18, 26), (37, 50), (5, 4)])
def test_class_ids_take_the_nearest(dtype: str, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    spec = OutputSpec(kind="class_ids", shape=shape, dtype=dtype)
    mask = to_mask(IDS.astype(dtype).reshape(shape), spec, size)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, nearest(IDS[0], *size))


def test_logits_are_the_exact_upsampling() -> None:
    logits = RNG.normal(size=(1, 5, 6, 4)).astype(np.float32)
    spec = OutputSpec(kind="logits", shape=(1, 5, 6, 4), dtype="float32")
    np.testing.assert_array_equal(to_mask(logits, spec, (20, 24)), upsampled_argmax(logits[0], (20, 24)))


def test_probability_is_cut_at_the_threshold() -> None:
    plane = np.linspace(0, 1, 24, dtype=np.float32).reshape(1, 4, 6, 1)
    spec = OutputSpec(kind="probability", shape=(1, 4, 6, 1), dtype="float32", threshold=0.7)
    np.testing.assert_array_equal(to_mask(plane, spec, (4, 6)), plane[0, ..., 0] >= 0.7)
    big = cv2.resize(plane[0, ..., 0], (18, 12), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(to_mask(plane, spec, (12, 18)), big >= 0.7)


def test_quantized_probability_means_the_same() -> None:
    stored = np.arange(0, 256, 4, dtype=np.uint8).reshape(1, 8, 8, 1)
    spec = OutputSpec(kind="probability", shape=(1, 8, 8, 1), dtype="uint8", quantum=1 / 256, zero_point=0)
    np.testing.assert_array_equal(to_mask(stored, spec, (8, 8)), stored[0, ..., 0] >= 128)


def test_task_of_a_bundle(tmp_path: Path) -> None:
    manifest = load_bundle(write_bundle(tmp_path / "tiny")).manifest
    task = open_task(manifest)
    assert isinstance(task, SegmentTask)
    output = RNG.normal(size=(1, 4, 6, 5)).astype(np.float32)
    answer = task.finish(output, manifest.variant("full"), (16, 24))
    assert answer.shape == (16, 24)
    assert task.score(answer, answer) == 1.0
    assert task.score(answer, np.full((16, 24), 255, np.uint8)) is None


def test_tasks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    manifest = load_bundle(write_bundle(tmp_path / "tiny")).manifest
    with pytest.raises(JoulepathError, match="'detect' is not supported yet; segment and classify are"):
        open_task(manifest.model_copy(update={"task": "detect"}))
    with pytest.raises(JoulepathError, match="'full' gives 120 logits; classification needs one score"):
        ClassifyTask(manifest.model_copy(update={"task": "classify"}))
    with pytest.raises(JoulepathError, match="256 labels; masks hold at most 255"):
        SegmentTask(manifest.model_copy(update={"labels": ("x",) * 256}))


def test_draw_mixes_frame_and_colours() -> None:
    frame = RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    mask = RNG.integers(0, 3, (6, 8)).astype(np.uint8)
    palette = palette_for(("a", "b", "c"), [(200, 100, 0), (0, 0, 0), (10, 20, 30)])
    before = frame.copy()
    picture = draw(frame, mask, palette, 0.25)
    expected = 0.75 * frame + 0.25 * palette[mask][..., ::-1]
    assert np.abs(picture - expected).max() <= 0.51
    np.testing.assert_array_equal(frame, before)
    # A mask of another size is stretched.
    np.testing.assert_array_equal(
        draw(np.repeat(frame, 2, 0), mask, palette), draw(np.repeat(frame, 2, 0), np.repeat(mask, 2, 0), palette)
    )


def test_resize_mask_invents_no_ids() -> None:
    mask = np.array([[0, 20], [7, 255]], np.uint8)
    assert set(np.unique(resize_mask(mask, (33, 9)))) == {0, 7, 20, 255}
    assert resize_mask(mask, (2, 2)) is mask
