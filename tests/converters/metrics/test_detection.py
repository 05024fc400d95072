"""COCO AP: pycocotools' figures reach the score, and a weighted resample is pycocotools on repeated images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="needs the extra [metrics]")

from converters.cli_evaluate import show_scores
from converters.datasets import Box, DetectionDataset, DetectionImage
from converters.datasets.coco import Prediction
from converters.evaluate import evaluate_predictions
from converters.metrics.detection import _average_precision, _evaluated, score_predictions
from edge.errors import UsageError
from tests.converters.datasets.making import instances, write_coco
from tests.converters.metrics.command import joulepath

CATEGORIES = {1: "person", 3: "car", 90: "toothbrush"}


def scene(images: int, seed: int) -> tuple[DetectionDataset, list[Prediction]]:
    """Random boxes, and predictions of which some are shifted, some invented, some missing. No two scores are equal."""
    rng = np.random.default_rng(seed)
    boxes, found = [], []
    for image in range(1, images + 1):
        for _ in range(int(rng.integers(0, 6))):
            x, y, w, h = (float(v) for v in rng.uniform([0, 0, 5, 5], [300, 300, 180, 180]))
            category = int(rng.choice([1, 3]))
            boxes.append(Box(image, category, x, y, w, h, w * h, crowd=bool(rng.random() < 0.1)))
            if rng.random() < 0.8:
                shift = float(rng.uniform(-0.2, 0.2))
                found.append(Prediction(image, category, x + shift * w, y, w, h, float(rng.random())))
        for _ in range(int(rng.integers(0, 3))):
            x, y, w, h = (float(v) for v in rng.uniform([0, 0, 5, 5], [300, 300, 180, 180]))
            found.append(Prediction(image, int(rng.choice([1, 3, 90])), x, y, w, h, float(rng.random())))
    pictures = tuple(DetectionImage(n, Path(f"{n}.jpg"), 480, 480) for n in range(1, images + 1))
    return DetectionDataset("coco:made", CATEGORIES, pictures, tuple(boxes)), found


def repeated(
    dataset: DetectionDataset, found: list[Prediction], times: list[int]
) -> tuple[DetectionDataset, list[Prediction]]:
    """The set in which each image occurs so many times, under new ids."""
    images, boxes, predictions = [], [], []
    for image, count in zip(dataset.images, times, strict=True):
        for _ in range(count):
            new = len(images) + 1
            images.append(replace(image, id=new))
            boxes += [replace(box, image_id=new) for box in dataset.boxes if box.image_id == image.id]
            predictions += [replace(p, image_id=new) for p in found if p.image_id == image.id]
    return DetectionDataset("coco:made", CATEGORIES, tuple(images), tuple(boxes)), predictions


def test_all_right_is_one_and_nothing_found_is_zero() -> None:
    dataset, _ = scene(8, 0)
    perfect = [Prediction(b.image_id, b.category_id, b.x, b.y, b.width, b.height, 0.9) for b in dataset.boxes]
    good, nothing = score_predictions(dataset, {"good": perfect, "nothing": []})
    assert (good.ap, good.confidence_interval, good.difference) == (pytest.approx(1), pytest.approx((1, 1)), 0)
    assert (nothing.ap, nothing.confidence_interval, nothing.difference) == (0, (0, 0), pytest.approx(-1))
    assert good.per_class == {"person": pytest.approx(1), "car": pytest.approx(1), "toothbrush": None}
    assert good.others["AP50"] == pytest.approx(1)
    assert good.as_accuracy().metric == "COCO AP"


def test_a_hand_count() -> None:
    """Two objects; the surest box is right at IoU 0.5 only, the next is wrong, the last is exact."""
    image = DetectionImage(1, Path("1.jpg"), 100, 100)
    truth = (Box(1, 1, 0, 0, 20, 20, 400), Box(1, 1, 50, 50, 20, 20, 400))
    dataset = DetectionDataset("coco:made", {1: "person"}, (image,), truth)
    found = [
        Prediction(1, 1, 0, 5, 20, 20, 0.9),  # IoU 300 / 500 = 0.6: right at 0.5, 0.55 and 0.6
        Prediction(1, 1, 80, 0, 20, 20, 0.8),
        Prediction(1, 1, 50, 50, 20, 20, 0.7),
    ]
    (score,) = score_predictions(dataset, {"a": found})
    # At IoU 0.5: precision 1 up to recall 0.5 (51 of 101 recalls), then 2/3. Above 0.6: 1/3 up to recall 0.5.
    low, high = (51 + 50 * 2 / 3) / 101, 51 / 3 / 101
    assert score.others["AP50"] == pytest.approx(low)
    assert score.others["AP75"] == pytest.approx(high)
    assert score.ap == pytest.approx((3 * low + 7 * high) / 10, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_weights_of_images_are_repetitions_of_them(seed: int) -> None:
    dataset, found = scene(12, seed)
    evaluation = _evaluated(dataset, found)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(12, np.full(12, 1 / 12), size=5)
    weights[0] = 1
    ours = _average_precision(evaluation, weights.astype(np.float64))
    assert ours[0] == pytest.approx(evaluation.stats[0], abs=1e-12)
    for weight, value in zip(weights, ours, strict=True):
        theirs = _evaluated(*repeated(dataset, found, weight.tolist())).stats[0]
        assert value == pytest.approx(theirs, abs=1e-9)


def test_intervals_hold_the_value_and_are_of_pairs() -> None:
    dataset, found = scene(60, 9)
    worse = [p for number, p in enumerate(found) if number % 12]
    first, second = score_predictions(dataset, {"first": found, "second": worse})
    for score in (first, second):
        assert score.confidence_interval[0] < score.ap < score.confidence_interval[1]
    width = first.confidence_interval[1] - first.confidence_interval[0]
    assert second.difference_interval[1] - second.difference_interval[0] < width / 2
    assert score_predictions(dataset, {"first": found, "second": worse}) == [first, second]


def test_a_set_of_crowds_has_nothing_to_find() -> None:
    dataset, found = scene(3, 0)
    with pytest.raises(UsageError, match="no box that counts"):
        score_predictions(replace(dataset, boxes=tuple(replace(b, crowd=True) for b in dataset.boxes)), {"a": found})


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    folder = write_coco(tmp_path, instances())
    results = tmp_path / "results.json"
    results.write_text(json.dumps([{"image_id": 139, "category_id": 1, "bbox": [1, 1, 3, 2], "score": 0.9}]))
    return folder, results


def test_the_command_scores_predictions(files: tuple[Path, Path]) -> None:
    folder, results = files
    for image in folder.iterdir():
        image.unlink()
    done = joulepath("evaluate", "--predictions", str(results), "--dataset", f"coco:{folder}", "--json")
    assert done.returncode == 0, done.stderr
    (score,) = json.loads(done.stdout)
    # One of two categories is found, exactly.
    assert (score["ap"], score["images"], score["variant_id"]) == (pytest.approx(0.5), 2, str(results))
    assert score["per_class"] == {"person": pytest.approx(1), "toothbrush": 0}


def test_the_table_names_its_metric(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder, results = files
    show_scores(evaluate_predictions([results], f"coco:{folder}"))
    out = capsys.readouterr().out
    assert "AP50" in out
    assert "50.0" in out


def test_wrong_use_is_said(files: tuple[Path, Path]) -> None:
    folder, results = files
    with pytest.raises(UsageError, match="scored on a COCO detection set"):
        evaluate_predictions([results], f"voc:{folder}")
    with pytest.raises(UsageError, match="given twice"):
        evaluate_predictions([results, results], f"coco:{folder}")
    done = joulepath("evaluate", "--dataset", f"coco:{folder}")
    assert (done.returncode, "give either a bundle or --predictions FILE" in done.stderr) == (2, True)
    done = joulepath("evaluate", "--predictions", str(results), "--dataset", f"coco:{folder}", "--limit", "3")
    assert (done.returncode, "belong to a bundle" in done.stderr) == (2, True)
