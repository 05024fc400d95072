"""Scores from confusion matrices against hand counts and against scikit-learn; classes matched to labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.datasets import IGNORE, SegmentationDataset
from converters.datasets.labels import match_classes
from converters.errors import ConvertError
from converters.evaluate import _label_table, readable, spread, summarise
from converters.metrics.bootstrap import block_picks
from edge.errors import UsageError
from edge.tasks.score import IncrementalConfusion

LABELS = ("road", "sky", "tree")


def matrix(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(rows, np.int64)


RIGHT = matrix((90, 0, 0, 0), (0, 10, 0, 0), (0, 0, 0, 0))
WRONG = matrix((60, 30, 0, 0), (5, 3, 0, 2), (0, 0, 0, 0))


def test_scores_count_all_images_together() -> None:
    good, bad = summarise({"good": np.stack([RIGHT, RIGHT]), "bad": np.stack([RIGHT, WRONG])}, LABELS, "set")
    assert (good.miou, good.pixel_accuracy, good.difference) == (1.0, 1.0, 0.0)
    # road: 150 right of 180 true and 5 false; sky: 13 right of 20 true and 30 false; no tree in the truth.
    road, sky = 150 / 185, 13 / 50
    assert bad.per_class == {"road": pytest.approx(road), "sky": pytest.approx(sky), "tree": None}
    assert bad.miou == pytest.approx((road + sky) / 2)
    assert bad.difference == pytest.approx((road + sky) / 2 - 1)
    assert bad.pixel_accuracy == pytest.approx(163 / 200)
    assert bad.as_accuracy().images == 2


def test_intervals_are_of_pairs_and_hold_the_value() -> None:
    rng = np.random.default_rng(2)
    hard = rng.integers(0, 60, 64)
    one = np.stack([matrix((100 - h, h, 0, 0), (h, 100 - h, 0, 0), (0, 0, 0, 0)) for h in hard])
    two = np.stack([matrix((98 - h, h + 2, 0, 0), (h, 100 - h, 0, 0), (0, 0, 0, 0)) for h in hard])
    first, second = summarise({"one": one, "two": two}, LABELS, "set")
    for score in (first, second):
        low, high = score.confidence_interval
        assert low < score.miou < high
    # Images differ widely, the two variants always by the same little: pairing sees it, the single intervals overlap.
    assert second.confidence_interval[1] > first.confidence_interval[0]
    assert second.difference_interval[1] < 0
    assert summarise({"one": one, "two": two}, LABELS, "set") == [first, second]


def test_blocks_are_neighbours_of_the_cube_root_length() -> None:
    picks = block_picks(64)
    assert picks.shape == (1000, 64)
    blocks = picks.reshape(1000, 16, 4)
    assert (np.diff(blocks, axis=2) % 64 == 1).all()
    assert np.unique(picks).size == 64


def test_nothing_but_void_is_no_score() -> None:
    with pytest.raises(ConvertError, match="void"):
        summarise({"a": np.zeros((2, 3, 4), np.int64)}, LABELS, "set")


def test_limit_spreads_evenly() -> None:
    assert spread(4, None) == spread(4, 9) == [0, 1, 2, 3]
    assert spread(10, 2) == [2, 7]


def dataset(*classes: str) -> SegmentationDataset:
    return SegmentationDataset("folder:x", classes, (), lambda path: np.zeros((1, 1), np.uint8))


def test_classes_meet_labels_by_name_then_by_place() -> None:
    table = _label_table(dataset("Tree", "road"), LABELS)
    assert (table[0], table[1], table[2], table[IGNORE]) == (2, 0, IGNORE, IGNORE)
    assert list(_label_table(dataset("street", "sky", "bush"), LABELS)[:3]) == [0, 1, 2]
    with pytest.raises(UsageError, match="street, bush are no labels of the bundle"):
        _label_table(dataset("street", "bush"), LABELS)


def test_a_missing_dataset_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="no such directory"), readable(f"voc:{tmp_path / 'nowhere'}"):
        pass


def test_a_bundle_of_fewer_classes_is_scored_on_these() -> None:
    table = _label_table(dataset("sky", "car", "road", "tree", "pole"), LABELS)
    assert list(table[:6]) == [1, IGNORE, 0, 2, IGNORE, IGNORE]


def test_repeated_names_are_matched_in_order_or_not_at_all() -> None:
    labels = ("background", "tench", "crane", "crane")
    assert match_classes(("Tench", "crane", "crane"), labels, "s") == (1, 2, 3)
    with pytest.raises(UsageError, match="the class 'crane' occurs 1 times there and 2 times among"):
        match_classes(("tench", "crane"), labels, "s")


def test_blocks_of_one_are_an_ordinary_bootstrap() -> None:
    picks = block_picks(50, length=1)
    assert picks.shape == (1000, 50)
    # The mean number of draws of each image is one, and neighbours are drawn independently.
    assert np.bincount(picks.ravel(), minlength=50) / 1000 == pytest.approx(np.ones(50), abs=0.15)
    assert (np.diff(picks, axis=1) == 1).mean() < 0.05


def test_scores_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")
    rng = np.random.default_rng(4)
    truth = rng.choice(np.array([0, 1, 2, 3, IGNORE], np.uint8), (6, 40, 50), p=[0.5, 0.3, 0.1, 0.02, 0.08])
    given = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 5, truth.shape)).astype(np.uint8)
    counts = []
    for mask, right in zip(given, truth, strict=True):
        confusion = IncrementalConfusion(5)
        confusion.add(mask, right)
        counts.append(confusion.matrix)
    score = summarise({"a": np.stack(counts)}, tuple("abcde"), "set")[0]
    known = truth != IGNORE
    assert set(np.unique(given[known])) == {0, 1, 2, 3, 4}  # class 4 is given, but never true: it has no IoU
    theirs = metrics.jaccard_score(truth[known], given[known], labels=[0, 1, 2, 3], average=None)
    assert [score.per_class[name] for name in "abcd"] == pytest.approx(theirs.tolist(), abs=1e-12)
    assert score.per_class["e"] is None
    assert score.miou == pytest.approx(theirs.mean(), abs=1e-12)
    assert score.pixel_accuracy == pytest.approx(metrics.accuracy_score(truth[known], given[known]), abs=1e-12)
