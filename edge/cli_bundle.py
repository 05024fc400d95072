"""Commands about bundles: wrap, inspect, profile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
Threads = Annotated[int, typer.Option("--threads", min=0, max=64, help="Inference threads; 0 is every core.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("wrap")(wrap_command)
    app.command("inspect")(inspect_command)
    app.command("profile")(profile_command)


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
    output_kind: Annotated[OutputKind | None, typer.Option(help="What the output is, if its shape cannot say.")] = None,
    output_index: Annotated[int | None, typer.Option(min=0, help="Which output, where there are several.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Foreground from this probability on.")] = 0.5,
    golden_image: Annotated[Path | None, typer.Option(help="Image of the golden pair. Default: a made one.")] = None,
    library: Library = LibraryName.auto,
) -> None:
    """Make a bundle out of TFLite models that exist already."""
    from edge.wrap import WrapOptions, golden_says_little, wrap

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
    flat = golden_says_little(bundle)
    if flat:
        print(
            f"note: on the golden image {', '.join(flat)} sees one class only, so the check at loading proves little; "
            "give --golden-image with a picture that the model knows"
        )


def inspect_command(
    bundle: Annotated[Path, typer.Argument(help="The bundle directory.", show_default=False)],
    as_json: AsJson = False,
    measure: Annotated[bool, typer.Option(help="Measure latency here; without, the stored profile is shown.")] = True,
    threads: Threads = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure, all variants together.")] = 5.0,
    library: Library = LibraryName.auto,
) -> None:
    """What is in a bundle, and how fast it is here."""
    from edge import inspect, profile
    from edge.bundle import load_bundle

    opened = load_bundle(bundle)
    if measure:
        with _progress("measuring", quiet=as_json) as on_round:
            found: profile.Profile | None = profile.measure(
                opened, threads=threads, library=library.value, seconds=seconds, on_round=on_round
            )
    else:
        found = profile.load_profile(opened, threads=threads)
    described = inspect.describe(opened, found)
    if as_json:
        print(json.dumps(described, indent=1))
    else:
        inspect.show(described)


def profile_command(
    bundle: Annotated[Path, typer.Argument(help="The bundle directory.", show_default=False)],
    board: Annotated[str, typer.Option(help="The board that tells the energy, as in joulepath run --board.")] = "auto",
    threads: Threads = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure, all variants together.")] = 20.0,
    folder: Annotated[
        Path | None, typer.Option("--profiles", help="Where profiles are kept. Default: the state folder.")
    ] = None,
    as_json: AsJson = False,
    library: Library = LibraryName.auto,
) -> None:
    """Measure latency, and energy where the board can tell, of every variant here; the controller uses it."""
    from dataclasses import asdict

    from edge import profile
    from edge.board import open_named_board
    from edge.bundle import load_bundle

    opened = load_bundle(bundle)
    opened_board = open_named_board(board)
    try:
        with _progress("profiling", quiet=as_json) as on_round:
            measured = profile.measure(
                opened,
                board=opened_board,
                threads=threads,
                library=library.value,
                seconds=seconds,
                on_round=on_round,
            )
    finally:
        opened_board.close()
    path = profile.save_profile(measured, folder)
    if as_json:
        print(json.dumps(asdict(measured), indent=1))
        return
    profile.show(measured)
    print(f"kept in {path}")


@contextmanager
def _progress(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal's error stream; gives the function that moves it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: give one number, or three with commas between them") from error
