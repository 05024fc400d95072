"""`joulepath convert` and `joulepath evaluate`."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from converters.cli_evaluate import register as register_evaluate
from edge.errors import UsageError

_CONVERT_HELP = """Turn SegFormer weights (B0-B5, Hugging Face format) into a bundle of execution paths.

Networks are folded first: exact rewrites that compute the same with less work. Needs the extra [convert].

Examples:

  joulepath convert segformer --weights nvidia/segformer-b0-finetuned-ade-512-512 --size 512x512 --out ade-b0

  joulepath convert segformer --weights streets/ --size 240x320 --out streets.bundle --precision float16,int8
  --calibration camvid:camvid/train --dataset camvid:camvid/val
"""


def register(app: typer.Typer) -> None:
    """Add the commands to the one command line."""
    convert = typer.Typer(no_args_is_help=True)
    convert.callback()(_convert)
    convert.command("segformer", help=_CONVERT_HELP)(convert_segformer_command)
    app.add_typer(convert, name="convert")
    register_evaluate(app, timed_say)


def _convert() -> None:
    """Turn a family's pretrained weights into a bundle."""


def convert_segformer_command(
    weights: Annotated[str, typer.Option(help="a Hugging Face folder, or a hub id OWNER/NAME")],
    size: Annotated[str, typer.Option(help="input HEIGHTxWIDTH in pixels, such as 512x512")],
    out: Annotated[Path, typer.Option(help="the bundle directory to make")],
    paths: Annotated[str, typer.Option(help="`default`, `full`, or a JSON file of paths (docs/paths.md)")] = "default",
    precision: Annotated[
        str | None,
        typer.Option(
            help="float32, float16, int8, int8-wide, int8-mixed, joined by commas; "
            "the first three with --calibration, else the first two"
        ),
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(help="training set KIND:DIR whose images measure int8 ranges and guide repairs")
    ] = None,
    calibration_images: Annotated[int, typer.Option(min=1, help="how many of them, evenly spread")] = 32,
    cache: Annotated[
        Path | None, typer.Option(help="a folder that keeps what was measured and fitted, for a run that follows")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="dataset KIND:DIR to score every variant on")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="score on so many images, evenly spread")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="threads for scoring; every core by default")] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="leave out what is beyond these bounds; needs --dataset")
    ] = False,
    max_loss: Annotated[float, typer.Option(min=0, help="points of mIoU that it may lose to the float variant")] = 0.5,
    min_speedup: Annotated[float, typer.Option(min=0, help="how many times faster it must be on this machine")] = 1.05,
    name: Annotated[str | None, typer.Option(help="the bundle's name; the weights' by default")] = None,
    licence: Annotated[str, typer.Option(help="licence of the weights, for the manifest")] = "unknown",
    data: Annotated[str, typer.Option(help="what the weights were trained on, for the manifest")] = "",
    notes: Annotated[str, typer.Option(help="a note for the manifest")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="replace an existing bundle")] = False,
) -> None:
    from converters.convert import ConvertJob, convert_segformer
    from converters.families.segformer import SegformerWeights
    from converters.paths import ExecutionPath, read_paths
    from converters.precision import Bounds

    def chosen(found: SegformerWeights) -> Sequence[ExecutionPath]:
        if paths == "default":
            return found.space.default_set()
        return (found.space.full(),) if paths == "full" else read_paths(Path(paths), found.space)

    _need_convert_extra()
    default = "float32,float16,int8" if calibration else "float32,float16"
    job = ConvertJob(
        weights=weights,
        size=parse_size(size),
        out=out,
        paths=chosen,
        precisions=tuple(dict.fromkeys(part.strip() for part in (precision or default).split(","))),
        calibration=calibration,
        calibration_images=calibration_images,
        cache=cache,
        dataset=dataset,
        limit=limit,
        threads=threads,
        gate=Bounds(max_loss, min_speedup) if gate else None,
        name=name,
        licence=licence,
        data=data,
        notes=notes,
        command=" ".join(["joulepath", *sys.argv[1:]]),
        replace=replace,
    )
    bundle = convert_segformer(job, timed_say())
    for variant in bundle.manifest.variants:
        accuracy = f", mIoU {100 * variant.accuracy[0].value:.1f} %" if variant.accuracy else ""
        print(f"{variant.id}: {(variant.macs or 0) / 1e9:.2f} G multiply-accumulates{accuracy}")


def parse_size(text: str) -> tuple[int, int]:
    """``HEIGHTxWIDTH`` as two numbers of pixels; raises UsageError."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if match is None or not all(32 <= int(part) <= 16384 for part in match.groups()):
        raise UsageError(f"--size {text!r}: expected HEIGHTxWIDTH in pixels, 32 or more each, such as 512x512")
    return int(match[1]), int(match[2])


def _need_convert_extra() -> None:
    from importlib.util import find_spec

    from converters.quiet import hush_tensorflow

    hush_tensorflow()
    missing = [name for name in ("tensorflow", "ai_edge_quantizer", "safetensors") if find_spec(name) is None]
    if missing:
        raise UsageError(f"converting needs {', '.join(missing)}; install with: pip install 'joulepath[convert]'")


def timed_say() -> Callable[[str], None]:
    """Progress on stderr, each line with the seconds since the start."""
    start = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - start:7.1f} s  {text}", file=sys.stderr, flush=True)

    return say
