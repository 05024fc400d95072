"""`joulepath analyze`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.errors import UsageError

if TYPE_CHECKING:
    from converters.analyze.accelerator import Accelerator
    from converters.analyze.layers import Breakdown
    from converters.families import segformer

_HELP = """Where a SegFormer's multiply-accumulates, parameters, bytes and time go by layer, published and folded.

Times are measured on this machine's engine, each layer by itself with caches as cold as within the network; --no-time
leaves them out, --table takes and keeps them in a latency table. `--energy accelerator` adds what a weight-stationary
CNN accelerator would take, modelled from published constants, and recomputes the headline savings of the paper.

Examples:

  joulepath analyze segformer --config b2

  joulepath analyze segformer --weights streets/ --size 288x384 --out analysis/

  joulepath analyze segformer --config b2 --no-time --energy accelerator
"""
CONFIGS: dict[str, dict[str, Any]] = {
    # Xie et al. 2021, table 6: blocks and channels of each stage, width of the decoder.
    "b0": {},
    "b1": {"hidden_sizes": (64, 128, 320, 512)},
    "b2": {"depths": (3, 4, 6, 3), "hidden_sizes": (64, 128, 320, 512), "decoder_width": 768},
    "b3": {"depths": (3, 4, 18, 3), "hidden_sizes": (64, 128, 320, 512), "decoder_width": 768},
    "b4": {"depths": (3, 8, 27, 3), "hidden_sizes": (64, 128, 320, 512), "decoder_width": 768},
    "b5": {"depths": (3, 6, 40, 3), "hidden_sizes": (64, 128, 320, 512), "decoder_width": 768},
}


def register(app: typer.Typer) -> None:
    """Add the group `analyze` to the one command line."""
    analyze = typer.Typer(no_args_is_help=True, help="Where a network's work, bytes, time and energy go.")
    analyze.callback()(_analyze)
    analyze.command("segformer", help=_HELP)(analyze_segformer_command)
    app.add_typer(analyze, name="analyze")


def _analyze() -> None:
    """Where a network's work, bytes, time and energy go."""


def analyze_segformer_command(
    weights: Annotated[str | None, typer.Option(help="a Hugging Face folder or hub id")] = None,
    config: Annotated[str | None, typer.Option(help=f"random weights instead: {', '.join(CONFIGS)}")] = None,
    size: Annotated[str, typer.Option(help="input HEIGHTxWIDTH in pixels")] = "512x512",
    classes: Annotated[int, typer.Option(min=2, help="classes of --config")] = 150,
    energy: Annotated[str | None, typer.Option(help="`accelerator`: a modelled CNN accelerator")] = None,
    no_time: Annotated[bool, typer.Option("--no-time", help="count only")] = False,
    table: Annotated[Path | None, typer.Option(help="latency table (JSON) to take times from and keep them in")] = None,
    threads: Annotated[int, typer.Option(min=1, help="inference threads")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="how often each layer is measured")] = 9,
    top: Annotated[int, typer.Option(min=0, help="print so many of the dearest layers of each form")] = 12,
    out: Annotated[Path | None, typer.Option(help="folder for analysis.json and analysis.html")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    from converters.analyze.accelerator import Accelerator
    from converters.cli import parse_size

    if energy not in (None, "accelerator"):
        raise UsageError(f"--energy {energy!r}: only `accelerator` is modelled")
    machine = Accelerator() if energy else None
    found = _breakdowns(_weights(weights, config, classes), config or Path(weights or "").name, parse_size(size))
    forms = [breakdown for breakdown, _ in found]
    where = "counted only, nothing was timed"
    if not no_time:
        forms, where = _timed(found, parse_size(size), table, threads, rounds)
    body = _body(forms, machine, where)
    if out is not None:
        _write(forms, machine, body, out)
    if as_json:
        print(json.dumps(body, indent=1))
    else:
        _show(forms, machine, body, top)


def _weights(weights: str | None, config: str | None, classes: int) -> segformer.SegformerWeights:
    from converters.families import segformer

    if (weights is None) == (config is None):
        raise UsageError("give --weights, or --config for random weights (time and counts do not depend on them)")
    if weights is not None:
        return segformer.load(weights)
    if config not in CONFIGS:
        raise UsageError(f"--config {config!r}: there are {', '.join(CONFIGS)}")
    labels = tuple(f"class {number}" for number in range(classes))
    return segformer.random_weights(segformer.SegformerConfig(labels=labels, **CONFIGS[config]), 0)


def _breakdowns(
    weights: segformer.SegformerWeights, name: str, size: tuple[int, int]
) -> list[tuple[Breakdown, segformer.Network]]:
    from converters.analyze.layers import breakdown
    from converters.families import segformer

    published = segformer.network(weights, weights.space.full())
    title = f"{name} {size[0]}x{size[1]}, {weights.config.classes} classes"
    forms = {"published": published, "folded": segformer.folded(published)}
    return [
        (breakdown(f"{title}, {form}", network, segformer.builders({form: network}, size)[form]), network)
        for form, network in forms.items()
    ]


def _timed(
    found: list[tuple[Breakdown, segformer.Network]],
    size: tuple[int, int],
    table_file: Path | None,
    threads: int,
    rounds: int,
) -> tuple[list[Breakdown], str]:
    from converters.analyze.measure import timed
    from converters.quiet import hush_tensorflow

    hush_tensorflow()
    if find_spec("tensorflow") is None:
        raise UsageError("building each layer needs TensorFlow: pip install 'joulepath[convert]', or give --no-time")
    return timed(found, size, table_file, threads, rounds)


def _body(forms: Sequence[Breakdown], machine: Accelerator | None, where: str) -> dict[str, Any]:
    from converters.analyze.report import as_json

    body: dict[str, Any] = {"measured_on": where, "forms": [as_json(form, machine) for form in forms]}
    if machine is not None:
        from converters.analyze.headline import resnet_points, segformer_points, sentences

        b2, subnets = segformer_points(machine), resnet_points(machine)
        body["accelerator"] = asdict(machine) | {"method": "modelled"}
        body["headline"] = {
            "method": "modelled",
            "segformer_b2": [asdict(point) for point in b2],
            "ofa_resnet50": [asdict(point) for point in subnets],
            "sentences": list(sentences(b2, subnets)),
        }
    return body


def _write(forms: Sequence[Breakdown], machine: Accelerator | None, body: dict[str, Any], out: Path) -> None:
    from converters.analyze.plot import draw
    from converters.errors import ConvertError

    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "analysis.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConvertError(f"{out}: the analysis cannot be written ({error.strerror})") from error
    draw(forms, machine, out / "analysis.html")


def _show(forms: Sequence[Breakdown], machine: Accelerator | None, body: dict[str, Any], top: int) -> None:
    from converters.analyze.report import energy_table, kind_table, layer_table
    from converters.analyze.show import show_points, show_table

    for form in forms:
        show_table(kind_table(form))
        if top:
            show_table(layer_table(form, top))
        if machine is not None:
            show_table(energy_table(form, machine))
    if machine is not None:
        show_points(body["headline"])
    for form in body["forms"]:
        if form["finding"] is not None:
            print(form["finding"]["sentence"])
    for sentence in body.get("headline", {}).get("sentences", ()):
        print(sentence)
    print(f"times: {body['measured_on']}")
