"""`joulepath train`: fine-tune a network over its execution paths, or train it plainly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from edge.errors import JoulepathError, UsageError


def register(app: typer.Typer) -> None:
    """Add the command to the one command line."""
    app.command("train", help=_HELP)(train)


_HELP = """Train SegFormer with PyTorch and transformers (extra [train]); stop with Ctrl-C, go on with the same command.

Examples:

  joulepath train --out plain --data camvid:camvid/train --validation camvid:camvid/val --steps 4000

  joulepath train --out paths --weights plain --data camvid:camvid/train --paths 2 --freeze-batch-norm --steps 1500
"""


def train(
    out: Annotated[Path, typer.Option(help="folder for the weights (Hugging Face format) and the state to go on from")],
    data: Annotated[str, typer.Option(help="labelled images, KIND:DIR as in camvid:DIR, voc:DIR, folder:DIR")],
    weights: Annotated[
        Path | None, typer.Option(help="Hugging Face folder to start from; a fresh B0 when absent")
    ] = None,
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
    from converters.train.crops import CropSettings, Source, sampler_of
    from converters.train.loop import Trainer, TrainSettings, class_weights_of
    from converters.train.network import load_network

    if threads:
        torch.set_num_threads(threads)
    height, width = _size(crop)
    train_set = open_dataset(data)
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
    scored = []
    if validation is not None:
        score_set = open_dataset(validation)
        scored = [score_set.read(i) for i in range(0, len(score_set), validation_stride)]
    settings = TrainSettings(
        steps=steps,
        crop=CropSettings(height, width, _range(scale)),
        learning_rate=learning_rate,
        random_paths=paths,
        min_decoder_width=min_decoder_width,
        freeze_batch_norm=freeze_batch_norm,
        seed=seed,
        save_every=save_every,
        half=half,
        validate_every=validate_every,
        validation_size=None if validation_size is None else _size(validation_size),
        class_weights=class_weights_of([mask for _, mask in pairs], len(train_set.classes)),
    )
    network = load_network(weights, train_set.classes)
    Trainer(network, sources, settings, out, scored, auxiliary_classes, lambda line: typer.echo(line)).run()


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
