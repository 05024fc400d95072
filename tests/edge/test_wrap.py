from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bundle import load_bundle
from edge.engines.contract import EngineError, ModelRefused
from edge.engines.litert import open_litert
from edge.errors import UsageError
from edge.tasks import open_task
from edge.tasks.score import IncrementalConfusion
from edge.variants import Pool
from edge.wrap import WrapError, WrapOptions, golden_says_little, read_labels, wrap
from tests.edge.engines.models import CUSTOM, DATA, INT8, MODELS, PLAIN, TWO, WHY_NO_MODELS

VOC_MODELS = (
    "deeplabv3_mnv2_pascal_quant.tflite",
    "deeplabv3_mnv2_dm05_pascal_quant.tflite",
    "deeplabv3_257_float.tflite",
)
needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason=WHY_NO_MODELS)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("sky\nroad\ncar\ntree\nperson\n\nThese five were drawn by lot.\n")
    return path


def options(labels: Path | None, **changes: Any) -> WrapOptions:
    return WrapOptions(**{"task": "segment", "labels": labels, "mean": (0.0,), "std": (1.0,), **changes})


def test_signatures_become_variants_that_share_a_file(tmp_path: Path, labels: Path) -> None:
    bundle = wrap([TWO], tmp_path / "b", options(labels, name="two", colour="BGR", command="joulepath wrap"))
    full, half = bundle.manifest.variants
    assert (full.id, full.signature, half.id, half.signature) == ("tiny_two-full", "full", "tiny_two-half", "half")
    assert full.file == half.file == "tiny_two.tflite"
    assert (full.macs, half.macs) == (11712, 10176)
    assert full.input.model_dump() == {
        "height": 16, "width": 24, "dtype": "float32", "colour": "BGR", "scale": (1.0,) * 3, "offset": (0.0,) * 3,
        "quantum": None, "zero_point": None,
    }  # fmt: skip
    assert (full.output.kind, full.output.shape) == ("logits", (1, 4, 6, 5))
    assert bundle.manifest.labels == ("sky", "road", "car", "tree", "person")
    assert bundle.manifest.provenance.command == "joulepath wrap"
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["golden.npz", "manifest.json", "tiny_two.tflite"]


def test_a_wrapped_bundle_loads_and_its_golden_pair_is_checked(tmp_path: Path, labels: Path) -> None:
    bundle = wrap([TWO, PLAIN], tmp_path / "b", options(labels))
    assert bundle.golden is not None
    assert set(bundle.golden.outputs) == {"tiny_two-full", "tiny_two-half", "tiny_plain"}
    bundle.golden.outputs["tiny_plain"] = -bundle.golden.outputs["tiny_plain"]  # type: ignore[operator]
    with Pool(bundle) as pool:
        pool.wait("tiny_two-half")
        with pytest.raises(EngineError, match=r"golden output is not reproduced: .* is 2, allowed 0\.02"):
            pool.wait("tiny_plain")


def test_byte_inputs_take_raw_pixels(tmp_path: Path, labels: Path) -> None:
    (variant,) = wrap([INT8], tmp_path / "b", options(labels, mean=None, std=None)).manifest.variants
    assert variant.precision == "int8"
    assert (variant.input.dtype, variant.input.scale, variant.input.offset) == ("uint8", (1.0,) * 3, (0.0,) * 3)
    assert variant.input.quantum is None
    assert (variant.output.kind, variant.output.dtype, variant.output.zero_point) == ("logits", "uint8", 154)


def test_given_normalisation_is_quantized(tmp_path: Path, labels: Path) -> None:
    (variant,) = wrap([INT8], tmp_path / "b", options(labels, mean=(1.0, 2.0, 3.0), std=(0.5,))).manifest.variants
    assert variant.input.offset == (1.0, 2.0, 3.0)
    assert variant.input.scale == (2.0,) * 3
    assert (variant.input.quantum, variant.input.zero_point) == (1.0, 0)


def test_float_input_without_normalisation_is_refused(tmp_path: Path, labels: Path) -> None:
    with pytest.raises(WrapError, match=r"tiny_plain\.tflite: does not say how its float input is normalised"):
        wrap([PLAIN], tmp_path / "b", options(labels, mean=None, std=None))
    with pytest.raises(UsageError, match="--mean and --std belong together"):
        wrap([PLAIN], tmp_path / "b", options(labels, std=None))
    with pytest.raises(UsageError, match="--std must be above zero"):
        wrap([PLAIN], tmp_path / "b", options(labels, std=(0.0,)))
    with pytest.raises(WrapError, match="normalisation has 2 numbers"):
        wrap([PLAIN], tmp_path / "b", options(labels, mean=(1.0, 2.0)))


def test_operation_that_the_engine_lacks_leaves_nothing_behind(tmp_path: Path, labels: Path) -> None:
    with pytest.raises(EngineError, match=r"tiny_custom\.tflite: needs Betainc, which .* does not have"):
        wrap([CUSTOM], tmp_path / "b", options(labels, output_kind="class_ids"))
    assert [p.name for p in tmp_path.iterdir()] == ["labels.txt"]


def test_damaged_model_is_refused(tmp_path: Path, labels: Path) -> None:
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(TWO.read_bytes()[:2000])
    with pytest.raises(ModelRefused, match=r"cut\.tflite: damaged or incomplete"):
        wrap([cut], tmp_path / "b", options(labels))


def test_labels_must_fit(tmp_path: Path) -> None:
    four = tmp_path / "four.txt"
    four.write_text("a\nb\nc\nd\n")
    with pytest.raises(WrapError, match=r"needs 5 labels .*, there are 4; check --labels"):
        wrap([PLAIN], tmp_path / "b", options(four))
    with pytest.raises(UsageError, match="no labels: give --labels FILE"):
        wrap([PLAIN], tmp_path / "b", options(None))
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n")
    with pytest.raises(WrapError, match="holds no labels"):
        read_labels(empty)
    with pytest.raises(WrapError, match="cannot be read as labels"):
        read_labels(tmp_path / "none.txt")


def test_what_is_there_is_not_overwritten(tmp_path: Path, labels: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        wrap([PLAIN], tmp_path / "b", options(labels))
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(PLAIN, other / PLAIN.name)
    with pytest.raises(UsageError, match=r"two files are called 'tiny_plain\.tflite'"):
        wrap([PLAIN, other / PLAIN.name], tmp_path / "c", options(labels))


def test_golden_image(tmp_path: Path, labels: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    bundle = wrap([PLAIN], tmp_path / "b", options(labels, golden_image=tmp_path / "image.png"))
    assert bundle.golden is not None
    np.testing.assert_array_equal(bundle.golden.image, image)
    with pytest.raises(WrapError, match="not an image that can be read"):
        wrap([PLAIN], tmp_path / "c", options(labels, golden_image=labels))


@needs_models
def test_classifiers_with_labels_inside(tmp_path: Path) -> None:
    files = [MODELS / "mobilenet_v1_0.25_128_quant.tflite", MODELS / "tf2_mobilenet_v2_1.0_224_ptq.tflite"]
    bundle = wrap(files, tmp_path / "b", WrapOptions(task="classify"))
    assert len(bundle.manifest.labels) == 1001
    assert [v.input.width for v in bundle.manifest.variants] == [128, 224]
    assert {v.output.kind for v in bundle.manifest.variants} == {"scores"}


@needs_models
def test_person_matting_is_a_probability(tmp_path: Path) -> None:
    labels = tmp_path / "two.txt"
    labels.write_text("background\nperson\n")
    file = MODELS / "selfie_segmentation.tflite"
    if open_litert().name == "tflite-runtime":
        with pytest.raises(EngineError, match="Convolution2DTransposeBias, which tflite-runtime"):
            wrap([file], tmp_path / "b", options(labels, std=(255.0,)))
        return
    (variant,) = wrap([file], tmp_path / "b", options(labels, std=(255.0,))).manifest.variants
    assert (variant.output.kind, variant.output.threshold) == ("probability", 0.5)


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("voc") / "bundle"
    given = WrapOptions(task="segment", labels=MODELS / "pascal_voc_segmentation_labels.txt")
    wrap([MODELS / name for name in VOC_MODELS], out, given)
    return out


@needs_models
def test_real_models_say_what_they_are(voc: Path) -> None:
    manifest = load_bundle(voc).manifest
    assert len(manifest.labels) == 21
    described = [(v.input.width, v.input.dtype, v.output.kind, v.precision) for v in manifest.variants]
    assert described == [
        (513, "uint8", "class_ids", "int8"),
        (513, "uint8", "class_ids", "int8"),
        (257, "float32", "logits", "float32"),
    ]
    assert {v.input.colour for v in manifest.variants} == {"RGB"}
    np.testing.assert_allclose(manifest.variants[2].input.scale, 1 / 127.5)
    assert manifest.variants[2].input.offset == (127.5,) * 3


@needs_models
def test_golden_output_of_one_class_is_noticed(voc: Path) -> None:
    bundle = load_bundle(voc)
    flat = golden_says_little(bundle)
    assert bundle.golden is not None
    for variant in bundle.manifest.variants[:2]:
        ids = np.unique(bundle.golden.outputs[variant.id])
        assert (variant.id in flat) == (len(ids) == 1)
    assert bundle.manifest.variants[2].id not in flat  # logits say much, whatever wins


@needs_models
@pytest.mark.slow
def test_real_models_score_what_was_measured(voc: Path) -> None:
    """Mean IoU over the 14 classes that occur, image stretched to the input, labels back by nearest: within a point."""
    Image = pytest.importorskip("PIL.Image", reason="masks are palette images, which Pillow reads")  # noqa: N806
    bundle = load_bundle(voc)
    task = open_task(bundle.manifest)
    scores = {v.id: IncrementalConfusion(21) for v in bundle.manifest.variants}
    with Pool(bundle) as pool:
        for variant in bundle.manifest.variants:
            pool.wait(variant.id)
        for path in sorted((DATA / "voc-val" / "images").iterdir()):
            frame = cv2.imread(str(path))
            truth = np.array(Image.open(DATA / "voc-val" / "masks" / f"{path.stem}.png"))
            for variant in bundle.manifest.variants:
                output = pool.infer(variant.id, frame).output
                scores[variant.id].add(task.finish(output, variant, truth.shape), truth)
    found = [100 * (score.miou() or 0.0) for score in scores.values()]
    assert [int(np.isfinite(score.iou()).sum()) for score in scores.values()] == [14, 14, 14]
    np.testing.assert_allclose(found, [64.5, 62.3, 51.3], rtol=0, atol=1.0)
