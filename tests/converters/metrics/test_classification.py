"""Top-1 and top-5 against scikit-learn, and a published classifier wrapped and scored through the command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.metrics.classification import rank_of, summarise_ranks
from tests.converters.metrics.command import joulepath

DATA = Path(os.environ.get("JOULEPATH_DATA", Path(__file__).parents[4] / "shared" / "data"))
MODEL = "mobilenet_v1_0.25_128_quant.tflite"


def test_ranks_count_what_comes_before() -> None:
    scores = np.array([0.1, 0.4, 0.1, 0.4], np.float32)
    assert [rank_of(scores, truth) for truth in range(4)] == [2, 0, 3, 1]


def test_scores_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")
    rng = np.random.default_rng(3)
    scores, truth = rng.random((300, 20)).astype(np.float32), rng.integers(0, 20, 300)
    scores[np.arange(300), truth] += rng.random(300).astype(np.float32)
    ranks = np.array([rank_of(row, int(label)) for row, label in zip(scores, truth, strict=True)])
    score = summarise_ranks({"a": ranks}, "set")[0]
    for k, ours in ((1, score.top1), (5, score.top5)):
        assert ours == pytest.approx(metrics.top_k_accuracy_score(truth, scores, k=k, labels=range(20)), abs=1e-12)


def test_intervals_are_of_pairs() -> None:
    rng = np.random.default_rng(1)
    one = (rng.random(2000) > 0.6).astype(np.int64)
    two = one.copy()
    two[np.flatnonzero(one == 0)[:40]] = 1
    first, second = summarise_ranks({"one": one, "two": two}, "set")
    assert first.difference == 0
    assert second.difference == pytest.approx(-0.02)
    assert second.confidence_interval[1] > first.confidence_interval[0]
    # Forty images of 2000 differ: the deviation of their share is sqrt(0.02 * 0.98 / 2000) = 0.0031.
    assert second.difference_interval == pytest.approx((-0.02 - 1.96 * 0.0031, -0.02 + 1.96 * 0.0031), abs=0.001)
    # The same against the formula for a share.
    margin = 1.96 * float(np.sqrt(first.top1 * (1 - first.top1) / 2000))
    assert first.confidence_interval == pytest.approx((first.top1 - margin, first.top1 + margin), abs=0.003)


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = DATA / "models"
    if not models.is_dir():
        pytest.skip("needs the data of $JOULEPATH_DATA")
    out = tmp_path_factory.mktemp("classify") / "mobilenet"
    labels = str(models / "imagenet_labels.txt")
    done = joulepath("wrap", str(models / MODEL), "--task", "classify", "--labels", labels, "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def test_a_published_classifier_is_scored_as_its_own_interpreter_answers(mobilenet: Path, tmp_path: Path) -> None:
    """Truth is what the model says when run by hand, but for images that get a wrong class on purpose."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    interpreter = litert.Interpreter(str(DATA / "models" / MODEL), num_threads=1)
    interpreter.allocate_tensors()
    names = [line.strip() for line in (DATA / "models" / "imagenet_labels.txt").read_text().splitlines()][1:]
    synsets = [f"n{number:08d}" for number in range(1, 1001)]
    words = "".join(f"{synset} {name}\n" for synset, name in zip(synsets, names, strict=True))
    (tmp_path / "synset_words.txt").write_text(words, encoding="utf-8")
    top1 = top5 = 0
    pictures = sorted((DATA / "voc-val" / "images").iterdir())[:12]
    for number, source in enumerate(pictures):
        picture = cv2.resize(cv2.imread(str(source)), (128, 128), interpolation=cv2.INTER_AREA)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None, ..., ::-1])
        interpreter.invoke()
        scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].astype(int)
        order = [int(k) for k in np.argsort(-scores, kind="stable") if k != 0]
        place = (0, 0, 0, 3, 900)[number % 5]
        label = order[place] - 1  # the model's label 0 is background, ImageNet's first class is the tench
        answer = int(np.argsort(-scores, kind="stable").tolist().index(label + 1))
        top1, top5 = top1 + (answer == 0), top5 + (answer < 5)
        folder = tmp_path / "val" / synsets[label]
        folder.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / f"{number}.png"), picture)
    spec = f"imagenet:{tmp_path / 'val'}"
    done = joulepath("evaluate", str(mobilenet), "--dataset", spec, "--threads", "1", "--json")
    assert done.returncode == 0, done.stderr
    (score,) = json.loads(done.stdout)
    assert (score["images"], score["top1"], score["top5"]) == (12, pytest.approx(top1 / 12), pytest.approx(top5 / 12))
    assert 0 < top1 < top5 < 12
    table = joulepath("evaluate", str(mobilenet), "--dataset", spec, "--limit", "2")
    assert table.returncode == 0, table.stderr
    assert "top-1" in table.stdout


def test_a_classifier_is_not_scored_against_masks(mobilenet: Path) -> None:
    done = joulepath("evaluate", str(mobilenet), "--dataset", f"voc:{DATA}/voc-val")
    assert (done.returncode, done.stdout) == (2, "")
    assert "task 'classify' is scored on classes of images, as in imagenet:DIR" in done.stderr
