"""Commands about bundles: wrap, inspect, profile."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edge.errors import UsageError


class TaskName(str, Enum):
    segment = "segment"
    classify = "classify"


class ColourOrder(str, Enum):
    RGB = "RGB"
    BGR = "BGR"


class OutputKind(str, Enum):
    logits = "logits"
    class_ids = "class_ids"
    probability = "probability"
    scores = "scores"


class LibraryName(str, Enum):
    auto = "auto"
    ai_edge_litert = "ai-edge-litert"
    tflite_runtime = "tflite-runtime"


Library = Annotated[
    LibraryName, typer.Option("--engine-library", help="Which LiteRT library.", envvar="JOULEPATH_ENGINE_LIBRARY")
]
Threads = Annotated[int, typer.Option("--threads", min=1, max=64, help="Inference threads.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("wrap")(wrap_command)


def wrap_command(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL.tflite...", help="Model files.", show_default=False)],
    task: Annotated[TaskName, typer.Option(help="What the outputs mean.")],
    out: Annotated[Path, typer.Option(help="The bundle directory to make.", show_default=False)],
    labels: Annotated[
        Path | None, typer.Option(help="Class names, one a line; a blank line ends the list. Default: from the file.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The bundle's name. Default: the first file's.")] = None,
    mean: Annotated[str | None, typer.Option(help="Input normalisation (p - mean) / std: 127.5 or R,G,B.")] = None,
    std: Annotated[str | None, typer.Option(help="See --mean.")] = None,
    colour: Annotated[ColourOrder, typer.Option(help="Colour order of the model's input.")] = ColourOrder.RGB,
    output_kind: Annotated[OutputKind | None, typer.Option(help="What the output is, where its shape cannot say.")] = None,
    output_index: Annotated[int | None, typer.Option(min=0, help="Which output, where there are several.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Foreground from this probability on.")] = 0.5,
    golden_image: Annotated[Path | None, typer.Option(help="Image of the golden pair. Default: made from a seed.")] = None,
    library: Library = LibraryName.auto,
) -> None:
    """Make a bundle out of TFLite models that exist already."""
    from edge.wrap import WrapOptions, wrap

    options = WrapOptions(
        task=task.value,
        name=name,
        labels=labels,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        colour=colour.value,
        output_kind=output_kind.value if output_kind is not None else None,
        output_index=output_index,
        threshold=threshold,
        golden_image=golden_image,
        library=library.value,
        command=" ".join(["joulepath", *sys.argv[1:]]),
    )
    bundle = wrap(models, out, options)
    for variant in bundle.manifest.variants:
        size = f"{variant.input.width}x{variant.input.height} {variant.input.dtype}"
        print(f"{variant.id}: {variant.precision}, {size} {variant.input.colour} -> {variant.output.kind}")
    print(f"{out}: {len(bundle.manifest.variants)} variants, {len(bundle.manifest.labels)} labels")


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: give one number, or three with commas between them") from error
