"""`joulepath train`: fine-tune a network over its execution paths, or train it plainly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.errors import JoulepathError, UsageError

if TYPE_CHECKING:
    from converters.datasets import SegmentationDataset


def register(app: typer.Typer) -> None:
    """Add the command to the one command line."""
    app.command("train", help=_HELP)(train)


_HELP = """Train SegFormer with PyTorch and transformers (extra [train]); stop with Ctrl-C, go on with the same command.

Examples:

  joulepath train --out plain --data camvid:camvid/train --validation camvid:camvid/val --steps 4000

  joulepath train --out paths --weights plain --data camvid:camvid/train --paths 2 --freeze-batch-norm --steps 1500

  joulepath train --out mine --weights plain --data camvid:camvid/train --validation camvid:camvid/val --paths 1
  --path-file demo-paths.json --teacher b2-streets --device cuda
"""


def train(
    out: Annotated[Path, typer.Option(help="folder for the weights (Hugging Face format) and the state to go on from")],
    data: Annotated[str, typer.Option(help="labelled images with masks, KIND:DIR (docs/datasets.md)")],
    weights: Annotated[
        Path | None, typer.Option(help="Hugging Face folder to start from; a fresh network when absent")
    ] = None,
    model: Annotated[str, typer.Option(help="size of a fresh network: b0 to b5")] = "b0",
    new_classifier: Annotated[
        bool, typer.Option("--new-classifier", help="weights of other classes: start a new classifier for the data")
    ] = False,
    teacher: Annotated[
        str | None, typer.Option(help="network to learn from as well: a folder or hub id, with the same classes")
    ] = None,
    teacher_weight: Annotated[float, typer.Option(min=0, help="of its answer, against 1 for the labels")] = 1.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:NUMBER")] = "auto",
    validation: Annotated[str | None, typer.Option(help="labelled images to score on, KIND:DIR")] = None,
    validation_stride: Annotated[int, typer.Option(min=1, help="score every n-th image while training")] = 4,
    validation_size: Annotated[str | None, typer.Option(help="HxW that images are stretched to for scoring")] = None,
    auxiliary: Annotated[str | None, typer.Option(help="a second labelled set with a classifier of its own")] = None,
    auxiliary_batch: Annotated[int, typer.Option(min=1, help="crops of it in each batch")] = 2,
    synthetic_batch: Annotated[int, typer.Option(min=0, help="crops of the synthetic street in each batch")] = 0,
    batch: Annotated[int, typer.Option(min=2, help="crops of the data in each batch")] = 7,
    crop: Annotated[str, typer.Option(help="HxW in pixels, each a multiple of 32")] = "192x256",
    scale: Annotated[str, typer.Option(help="range of image scales, LOW-HIGH")] = "0.5-1.5",
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps in all")] = 4000,
    learning_rate: Annotated[float, typer.Option(help="peak of the cosine schedule")] = 6e-4,
    paths: Annotated[int, typer.Option(min=0, help="execution paths trained beside the full one in each step")] = 0,
    path_file: Annotated[
        Path | None,
        typer.Option(help="JSON file of paths (docs/paths.md) to train instead of random ones, and to validate"),
    ] = None,
    order_channels: Annotated[
        int,
        typer.Option(min=0, help="first put channels in order of importance, as so many images of --data show it"),
    ] = 0,
    min_decoder_width: Annotated[int, typer.Option(min=32, help="narrowest decoder among the paths, channels")] = 64,
    freeze_batch_norm: Annotated[bool, typer.Option(help="keep the decoder's statistics: paths share them")] = False,
    save_every: Annotated[int, typer.Option(min=1, help="steps between two saved states")] = 250,
    validate_every: Annotated[int, typer.Option(min=1, help="steps between two validations")] = 500,
    half: Annotated[bool, typer.Option("--half", help="write the weights as float16")] = False,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 is every core")] = 0,
    seed: Annotated[int, typer.Option(help="of crops, paths and fresh weights")] = 0,
) -> None:
    try:
        import torch
    except ImportError as error:
        raise JoulepathError("training needs PyTorch: pip install 'joulepath[train]'") from error
    from converters.datasets import open_dataset
    from converters.evaluate import spread
    from converters.paths import PathSpace, read_paths
    from converters.train.crops import CropSettings, Source, sampler_of
    from converters.train.load import fit_classifier, load_network, load_teacher, pick_device
    from converters.train.loop import Trainer
    from converters.train.losses import class_weights_of
    from converters.train.order import order_by_importance
    from converters.train.settings import TrainSettings
    from converters.train.state import STATE_NAME

    if threads:
        torch.set_num_threads(threads)
    chosen_device = pick_device(device)
    height, width = _size(crop)
    train_set = open_dataset(data)
    scored_set = None if validation is None else _same_classes(open_dataset(validation), train_set)
    torch.manual_seed(seed)  # of what is drawn afresh
    network = load_network(weights, train_set.classes, model)
    fit_classifier(network, train_set.classes, fresh=new_classifier)
    space = PathSpace(
        tuple(len(stage.blocks) for stage in network.segformer.stages), network.config.decoder_hidden_size
    )
    learnt_from = None if teacher is None else load_teacher(teacher, train_set.classes)
    typer.echo(f"reading {len(train_set)} pairs of {data}")
    pairs = list(train_set)
    sources = [Source(sampler_of(pairs), batch)]
    if synthetic_batch:
        from edge.cameras.synthetic import draw_random

        if len(train_set.classes) != 11:
            raise UsageError("--synthetic-batch needs data with the 11 CamVid classes")
        sources.append(Source(lambda rng: draw_random(rng, 360, 480), synthetic_batch))
    auxiliary_classes = 0
    if auxiliary is not None:
        second = open_dataset(auxiliary)
        typer.echo(f"reading {len(second)} pairs of {auxiliary}")
        sources.append(Source(sampler_of(list(second)), auxiliary_batch, head=1))
        auxiliary_classes = len(second.classes)
    if order_channels and not (out / STATE_NAME).is_file():  # a run that goes on has them in order
        if weights is None or new_classifier:
            raise UsageError("--order-channels orders what --weights has learnt, with the classifier that it has")
        typer.echo(f"ordering channels by their importance on {min(order_channels, len(pairs))} images")
        seen = [pairs[index][0] for index in spread(len(pairs), order_channels)]
        order_by_importance(network, weights, seen, (height, width))
    scored = [] if scored_set is None else [scored_set.read(i) for i in range(0, len(scored_set), validation_stride)]
    settings = TrainSettings(
        steps=steps,
        crop=CropSettings(height, width, _range(scale)),
        learning_rate=learning_rate,
        random_paths=paths,
        min_decoder_width=min(min_decoder_width, space.decoder_width),
        paths=() if path_file is None else read_paths(path_file, space),
        teacher=teacher,
        teacher_weight=teacher_weight,
        freeze_batch_norm=freeze_batch_norm,
        seed=seed,
        save_every=save_every,
        half=half,
        validate_every=validate_every,
        validation_size=None if validation_size is None else _size(validation_size),
        class_weights=class_weights_of([mask for _, mask in pairs], len(train_set.classes)),
    )
    Trainer(
        network, sources, settings, out, scored, auxiliary_classes, learnt_from, chosen_device, say=typer.echo
    ).run()


def _same_classes(scored: SegmentationDataset, trained: SegmentationDataset) -> SegmentationDataset:
    if scored.classes != trained.classes:
        raise UsageError(f"{scored.spec}: has other classes than {trained.spec}; validate on a set with the same ones")
    return scored


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or any(int(part) % 32 or int(part) == 0 for part in match.groups()):
        raise UsageError(f"size {text!r}: expected HxW with multiples of 32, as in 192x256")
    return int(match[1]), int(match[2])


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError:
        raise UsageError(f"--scale {text!r}: expected LOW-HIGH, as in 0.5-1.5") from None
    if not 0 < low <= high:
        raise UsageError(f"--scale {text!r}: LOW must be above 0 and not above HIGH")
    return low, high
