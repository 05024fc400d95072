"""A run that was interrupted ends with the weights of one that was not; and what it refuses to go on from."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (extra [train])")
pytest.importorskip("transformers", reason="needs transformers (extra [train])")

from converters.errors import ConvertError, WeightsError  # noqa: E402
from converters.paths import PathSpace  # noqa: E402
from converters.train.crops import BatchLoader, CropSettings, Source, sampler_of  # noqa: E402
from converters.train.load import fit_classifier, labels_of, load_network, load_teacher, pick_device  # noqa: E402
from converters.train.loop import Trainer  # noqa: E402
from converters.train.losses import soft_loss  # noqa: E402
from converters.train.settings import TrainSettings  # noqa: E402
from edge.errors import UsageError  # noqa: E402

pytestmark = pytest.mark.oracle
LABELS = ("left", "right")
SMALL = PathSpace((2, 2, 1, 1), 64).first("small", (1, 1, 1, 1), 32)
SETTINGS = TrainSettings(
    5,
    CropSettings(32, 32, scale=(0.9, 1.1)),
    random_paths=1,
    paths=(SMALL,),
    min_decoder_width=32,
    warmup_steps=2,
    validate_every=2,
    save_every=2,
)


def tiny() -> Any:
    """A SegFormer of a few thousand weights, with its stochastic depth."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        depths=[2, 2, 1, 1],
        hidden_sizes=[8, 16, 20, 32],
        decoder_hidden_size=64,
        id2label=dict(enumerate(LABELS)),
        label2id={name: number for number, name in enumerate(LABELS)},
        semantic_loss_ignore_index=255,
    )
    return SegformerForSemanticSegmentation(config)


def pair() -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 1
    noise = np.random.default_rng(0).integers(0, 50, (48, 64, 3), dtype=np.uint8)
    return noise + (mask * 150)[..., None], mask


def trainer(
    out: Path, settings: TrainSettings = SETTINGS, say: Callable[[str], None] = lambda _: None, **more: Any
) -> Trainer:
    torch.manual_seed(11)
    return Trainer(tiny(), [Source(sampler_of([pair()]), 2)], settings, out, [pair()], say=say, **more)


def weights_of(run: Trainer) -> dict[str, Any]:
    return {**run.average, **{f"now.{key}": value for key, value in run.modules.state_dict().items()}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Path]:
    """A run of five steps that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    run = trainer(out)
    run.run()
    return run, out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_where_the_other_one_did(
    number: signal.Signals, whole: tuple[Trainer, Path], tmp_path: Path
) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("  validation full") and not said:
            said.append(line)
            os.kill(os.getpid(), number)

    said: list[str] = []
    before = signal.getsignal(number)
    first = trainer(tmp_path, replace(SETTINGS, validate_every=1, save_every=99), interrupt)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert first.progress.step == 1
    assert signal.getsignal(number) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

    second = trainer(tmp_path, replace(SETTINGS, validate_every=1, save_every=99))
    assert second.progress.step == 1
    second.run()
    for name, value in weights_of(whole[0]).items():
        assert value.equal(weights_of(second)[name]), name
    written = [folder / "model.safetensors" for folder in (whole[1], tmp_path)]
    assert written[0].read_bytes() == written[1].read_bytes()


def test_every_path_is_in_the_record_at_each_validation(whole: tuple[Trainer, Path]) -> None:
    record = json.loads((whole[1] / "training.json").read_text())
    assert record["step"] == 5
    assert [(entry["step"], entry["path"]) for entry in record["validation"]] == [
        (step, path) for step in (2, 4, 5) for path in ("full", "small")
    ]
    assert all(0 <= entry["miou"] <= 1 and len(entry["iou"]) == 2 for entry in record["validation"])
    assert record["settings"]["paths"][0]["name"] == "small"


def test_other_settings_are_no_going_on(whole: tuple[Trainer, Path]) -> None:
    with pytest.raises(UsageError, match=r"learning-rate was 0.0006, now 0.1; .*seed was 0, now 3"):
        trainer(whole[1], replace(SETTINGS, learning_rate=0.1, seed=3))
    assert trainer(whole[1], replace(SETTINGS, steps=9, validate_every=7)).progress.step == 5


def test_a_damaged_state_is_refused_by_name(tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04 nothing", b"\x80\x02}q\x00."):
        (tmp_path / "training-state.pt").write_bytes(content)
        with pytest.raises(ConvertError, match=r"training-state\.pt: no state that this version can go on from"):
            trainer(tmp_path)


def test_a_full_disk_leaves_what_was_saved_before(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.save()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    run.progress.step = 4
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, limits[1]))
    try:
        with pytest.raises(ConvertError, match=r"cannot be saved .* is the disk full"):
            run.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "file").touch()
    with pytest.raises(ConvertError, match="cannot be written"):
        trainer(tmp_path / "file").save()


def test_batches_are_those_of_their_numbers() -> None:
    sources, crop = [Source(sampler_of([pair()]), 2)], CropSettings(32, 32)
    first, later = BatchLoader(sources, crop, 7), BatchLoader(sources, crop, 7, first=2)
    drawn = [first.next() for _ in range(3)]
    assert all(np.array_equal(a, b) for a, b in zip(drawn[2], later.next(), strict=True))
    assert not np.array_equal(drawn[1][0], drawn[2][0])
    first.close()
    later.close()


def test_what_goes_wrong_in_a_batch_is_raised_where_it_is_waited_for() -> None:
    def fails(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        raise UsageError("no such picture")

    loader = BatchLoader([Source(fails, 1)], CropSettings(32, 32), 0)
    with pytest.raises(UsageError, match="no such picture"):
        loader.next()
    loader.close()


def test_a_teacher_draws_the_network_to_its_answer(tmp_path: Path) -> None:
    """The teacher says class 1 everywhere, and so do the labels; the teacher stays as it is."""
    teacher = tiny()
    teacher.decode_head.classifier.bias.data = torch.tensor([0.0, 4.0])
    kept = {key: value.clone() for key, value in teacher.state_dict().items()}
    teacher.save_pretrained(str(tmp_path / "teacher"))
    settings = replace(
        SETTINGS, steps=12, random_paths=0, paths=(), teacher="teacher", dice_weight=0.0, learning_rate=2e-3
    )
    run = trainer(tmp_path / "out", settings, teacher=load_teacher(str(tmp_path / "teacher"), LABELS))

    def distance() -> float:
        pixels = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 64, 64)).astype(np.float32))
        run.model.eval()
        with torch.inference_mode():
            answer = teacher.eval()(pixel_values=pixels).logits.softmax(1)
            return float(soft_loss(run.model(pixel_values=pixels).logits, answer))

    run.sources[0] = Source(sampler_of([(pair()[0], np.ones((48, 64), np.uint8))]), 2)
    before = distance()
    run.run()
    assert distance() < before
    assert all(value.equal(kept[key]) for key, value in run.teacher.state_dict().items())


def test_teachers_that_do_not_suit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere: cannot be loaded"):
        load_teacher(str(tmp_path / "nowhere"), LABELS)
    load_network(None, ("cat", "dog")).save_pretrained(str(tmp_path))
    with pytest.raises(UsageError, match="knows the classes cat, dog"):
        load_teacher(str(tmp_path), LABELS)


def test_weights_of_other_classes_need_a_new_classifier() -> None:
    network = load_network(None, ("cat", "dog", "cow"))
    with pytest.raises(UsageError, match="--new-classifier starts a new classifier"):
        fit_classifier(network, LABELS, fresh=False)
    fit_classifier(network, LABELS, fresh=True)
    assert labels_of(network) == LABELS
    assert network.decode_head.classifier.weight.shape[:2] == (2, 256)
    fit_classifier(network, ("Left ", "RIGHT"), fresh=False)


def test_sizes_are_the_published_ones() -> None:
    # Millions of parameters with 150 classes: Xie et al., 2021, table 1, and the published checkpoints.
    for name, millions, near in (("b0", 3.75, 0.06), ("b2", 27.5, 0.2)):
        network = load_network(None, ["x"] * 150, name)
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=near)
    with pytest.raises(UsageError, match="choose from b0, b1, b2, b3, b4, b5"):
        load_network(None, LABELS, "b9")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta"])
def test_devices_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected auto, cpu, cuda or cuda:NUMBER"):
        pick_device(name)
    assert pick_device("cpu").type == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said() -> None:
    assert pick_device("auto").type == "cpu"
    with pytest.raises(UsageError, match="use --device cpu"):
        pick_device("cuda")


def test_a_path_of_another_size_sees_smaller_crops(tmp_path: Path) -> None:
    path = replace(SMALL, size=(64, 96))
    with pytest.raises(UsageError, match="--validation-size"):
        trainer(tmp_path, replace(SETTINGS, paths=(path,)))
    run = trainer(tmp_path, replace(SETTINGS, paths=(path,), validation_size=(128, 192), steps=1))
    assert run._as_path_sees(torch.zeros(1, 3, 128, 128), path).shape == (1, 3, 64, 64)
    assert run._as_path_sees(torch.zeros(1, 3, 128, 128), SMALL).shape == (1, 3, 128, 128)
    run.run()
    assert [entry["path"] for entry in run.progress.history] == ["full", "small"]
