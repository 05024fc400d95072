"""The whole job: a checkpoint and images in, a checked, scored bundle out; and nothing left behind when it fails."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.convert import ConvertJob, _beside, convert_segformer
from converters.errors import ConvertError
from converters.evaluate import evaluate
from converters.families import segformer
from converters.paths import ExecutionPath
from edge.bundle import Bundle
from edge.errors import UsageError
from edge.tasks.score import IncrementalConfusion
from edge.tasks.upsample import upsampled_argmax
from tests.converters.reference.make import write_checkpoint
from tests.converters.running import run_eagerly

pytestmark = pytest.mark.host

SIZE, LABELS = (64, 96), ("road", "sky", "tree")


def two_paths(weights: segformer.SegformerWeights) -> Sequence[ExecutionPath]:
    return weights.space.full(), weights.space.first("small", (1, 1, 0, 1), 32)


@pytest.fixture(scope="module")
def weights() -> segformer.SegformerWeights:
    config = replace(segformer.SegformerConfig.b0(3), depths=(1, 1, 1, 1), decoder_width=64, labels=LABELS)
    return segformer.random_weights(config, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, weights: segformer.SegformerWeights) -> Path:
    """A checkpoint, and a labelled set whose truth the full path gets right, but for a void row and one wrong image."""
    root = tmp_path_factory.mktemp("convert")
    for name in ("weights", "images", "masks"):
        (root / name).mkdir()
    write_checkpoint(weights, root / "weights")
    (root / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
    rng = np.random.default_rng(8)
    network = segformer.network(weights, weights.space.full())
    for number in range(3):
        image = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
        truth = upsampled_argmax(run_eagerly(network, image), SIZE)
        if number == 2:
            truth = (truth + 1) % 3
        truth[:5] = 255
        cv2.imwrite(str(root / "images" / f"{number}.png"), image)
        cv2.imwrite(str(root / "masks" / f"{number}.png"), truth)
    return root


@pytest.fixture(scope="module")
def job(folder: Path) -> ConvertJob:
    pytest.importorskip("tensorflow", reason="converting needs the extra [convert]")
    return ConvertJob(
        weights=str(folder / "weights"),
        size=SIZE,
        out=folder / "out" / "bundle",
        paths=two_paths,
        precisions=("float32", "float16", "int8"),
        calibration=f"folder:{folder}",
        dataset=f"folder:{folder}",
        threads=1,
        licence="CC0",
        command="joulepath convert ...",
    )


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def bundle(job: ConvertJob, said: list[str]) -> Bundle:
    return convert_segformer(job, said.append)


def test_every_path_at_every_precision_is_there(bundle: Bundle) -> None:
    variants = bundle.manifest.variants
    assert [variant.id for variant in variants] == [
        "full-float32", "small-float32", "full-float16", "small-float16", "full-int8", "small-int8",
    ]  # fmt: skip
    assert [variant.file for variant in variants[::2]] == ["float32.tflite", "float16.tflite", "int8.tflite"]
    assert variants[0].signature == "full"
    assert (variants[0].input.height, variants[0].input.width, variants[0].input.colour) == (*SIZE, "BGR")
    assert variants[0].output.shape == (1, 16, 24, 3)
    assert bundle.manifest.labels == LABELS
    assert [path.depths for path in bundle.manifest.paths] == [(1, 1, 1, 1), (1, 1, 0, 1)]
    assert variants[1].macs is not None
    assert variants[0].macs is not None
    assert variants[1].macs < variants[0].macs
    assert bundle.golden is not None
    assert sorted(bundle.golden.outputs) == sorted(variant.id for variant in variants)


def test_the_manifest_says_where_it_comes_from(bundle: Bundle, folder: Path) -> None:
    provenance = bundle.manifest.provenance
    expected = hashlib.sha256((folder / "weights" / "model.safetensors").read_bytes()).hexdigest()
    assert (provenance.weights, provenance.weights_sha256, provenance.licence) == ("weights", expected, "CC0")
    assert "ai-edge-litert" in provenance.tools
    assert str(folder) not in json.dumps(provenance.model_dump())


def test_accuracy_is_that_of_a_count_by_hand(bundle: Bundle, folder: Path, weights: segformer.SegformerWeights) -> None:
    network = segformer.folded(segformer.network(weights, two_paths(weights)[1]))
    by_hand = IncrementalConfusion(3)
    for number in range(3):
        image = cv2.imread(str(folder / "images" / f"{number}.png"))
        truth = cv2.imread(str(folder / "masks" / f"{number}.png"), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        assert truth is not None
        by_hand.add(upsampled_argmax(run_eagerly(network, image.astype(np.uint8)), SIZE), truth.astype(np.uint8))
    small = bundle.manifest.variant("small-float32").accuracy[0]
    assert small.value == pytest.approx(by_hand.miou(), abs=1e-3)
    full = bundle.manifest.variant("full-float32").accuracy[0]
    # Two images of three are right, the third is wrong everywhere.
    assert full.pixel_accuracy == pytest.approx(2 / 3, abs=1e-3)
    assert (full.metric, full.images, full.dataset) == ("mIoU", 3, f"folder:{folder}")


def test_each_step_was_said(bundle: Bundle, said: list[str], job: ConvertJob) -> None:
    words = " / ".join(said)
    for step in ("reading", "folding 2 paths: full, small", "float16", "int8 on 3 images", "golden", "scored 3 of 3"):
        assert step in words
    assert said[-1].startswith(f"{job.out}: 6 variants, ")


def test_only_chosen_variants_are_scored_and_the_rest_of_the_set_is_left(bundle: Bundle, folder: Path) -> None:
    scores = evaluate(bundle, f"folder:{folder}", only=["small-int8"], limit=1, threads=1)
    assert [(score.variant_id, score.images, score.difference) for score in scores] == [("small-int8", 1, 0.0)]
    with pytest.raises(UsageError, match=r"no variant 'huge'; it has: full-float32"):
        evaluate(bundle, f"folder:{folder}", only=["huge"])


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with pytest.raises(OSError, match="nowhere"), _beside(out, replace=False) as beside:
        shutil.copy("/nowhere", beside)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "old").touch()
    with pytest.raises(ConvertError, match="stop"), _beside(out, replace=True):
        raise ConvertError("stop")
    assert [path.name for path in out.iterdir()] == ["old"]
    with _beside(out, replace=True) as beside:
        (beside / "new").touch()
        assert [path.name for path in out.iterdir()] == ["old"]
    assert [path.name for path in out.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_is_replaced_only_when_asked_and_nothing_else_ever(bundle: Bundle, job: ConvertJob) -> None:
    with pytest.raises(UsageError, match="give --replace"):
        convert_segformer(job)
    other = job.out.parent / "precious"
    other.mkdir()
    with pytest.raises(UsageError, match="is no bundle"):
        convert_segformer(replace(job, out=other, replace=True))


def test_a_missing_dataset_is_refused_before_any_work(job: ConvertJob, tmp_path: Path) -> None:
    quick = replace(job, out=tmp_path / "bundle")
    for wrong in (replace(quick, dataset="voc:/nowhere"), replace(quick, calibration="voc:/nowhere")):
        said: list[str] = []
        with pytest.raises(ConvertError, match="no such directory"):
            convert_segformer(wrong, said.append)
        assert said == []


def test_int8_without_images_and_unknown_precisions_are_refused(job: ConvertJob) -> None:
    with pytest.raises(UsageError, match="give --calibration"):
        convert_segformer(replace(job, calibration=None))
    with pytest.raises(UsageError, match="precision int4: choose from float32, float16, int8"):
        convert_segformer(replace(job, precisions=("int4",)))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys, typer; from converters.cli import register; import edge.cli as cli; app = typer.Typer();"
        "register(app); cli.build_app = lambda: app; sys.exit(cli.run(sys.argv[1:]))"
    )
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_the_command_scores_a_bundle_as_json(bundle: Bundle, folder: Path) -> None:
    done = run("evaluate", str(bundle.root), "--dataset", f"folder:{folder}", "--threads", "1", "--json")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    recorded = {variant.id: variant.accuracy[0].value for variant in bundle.manifest.variants}
    assert {score["variant_id"]: score["miou"] for score in scores} == pytest.approx(recorded)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--weights", "/nowhere/at/all", "--size", "64x96"), 1, "no such folder"),
        (("--weights", "x", "--size", "64"), 2, "expected HEIGHTxWIDTH"),
        (("--weights", "x", "--size", "16x64"), 2, "32 or more"),
        (("--weights", "WEIGHTS", "--size", "64x96", "--paths", "/nowhere.json"), 1, "cannot read the paths"),
        (("--weights", "WEIGHTS", "--size", "64x96", "--precision", "int8"), 2, "give --calibration"),
    ],
)
def test_the_command_says_what_is_wrong_without_a_traceback(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    pytest.importorskip("tensorflow", reason="converting needs the extra [convert]")
    filled = [str(folder / "weights") if word == "WEIGHTS" else word for word in arguments]
    done = run("convert", "segformer", *filled, "--out", str(tmp_path / "bundle"))
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "bundle").exists()
