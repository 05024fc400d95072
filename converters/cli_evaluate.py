"""`joulepath evaluate`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.errors import UsageError

if TYPE_CHECKING:
    from converters.metrics.contract import Scored

_HELP = """Score a bundle's variants on a labelled set: mIoU at the masks' own resolution, void ignored, or top-1.

Boxes that a detector wrote in COCO's result format are scored with --predictions (extra [metrics]). Intervals hold
95 %, by a bootstrap that draws the same images for every contestant. Sets: see docs/datasets.md.

Examples:

  joulepath evaluate streets.bundle --dataset camvid:camvid/val

  joulepath evaluate mobilenet.bundle --dataset imagenet:imagenet/val --limit 1000 --json

  joulepath evaluate --predictions results.json --dataset coco:coco/val2017
"""


def register(app: typer.Typer, say: Callable[[], Callable[[str], None]]) -> None:
    """Add the command; `say` gives a function that reports progress from now on."""

    @app.command("evaluate", help=_HELP)
    def evaluate_command(
        dataset: Annotated[str, typer.Option(help="labelled images, KIND:DIR (docs/datasets.md)")],
        bundle: Annotated[Path | None, typer.Argument(help="the bundle directory", show_default=False)] = None,
        predictions: Annotated[
            list[Path] | None, typer.Option(help="boxes in COCO's result format instead of a bundle; may be repeated")
        ] = None,
        only: Annotated[
            list[str] | None, typer.Option("--variant", help="score only this one; may be repeated")
        ] = None,
        limit: Annotated[int | None, typer.Option(min=1, help="so many images, evenly spread")] = None,
        threads: Annotated[int | None, typer.Option(min=1, help="inference threads; every core by default")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    ) -> None:
        from converters.evaluate import evaluate_any, evaluate_predictions
        from edge.bundle import load_bundle

        scores: Sequence[Scored]
        if (bundle is None) != bool(predictions):
            raise UsageError("give either a bundle or --predictions FILE")
        if bundle is None:
            if only or limit or threads:
                raise UsageError("--variant, --limit and --threads belong to a bundle, not to --predictions")
            scores = evaluate_predictions(predictions or (), dataset)
        else:
            report = (lambda _: None) if as_json else say()
            opened, chosen = load_bundle(bundle), tuple(only or ())
            scores = evaluate_any(opened, dataset, only=chosen, limit=limit, threads=threads, say=report)
        if as_json:
            print(json.dumps([vars(score) for score in scores], indent=1))
        else:
            show_scores(scores)


def show_scores(scores: Sequence[Scored]) -> None:
    """Print the table: each contestant's value and its distance from the best, with 95 % intervals, in percent."""
    from rich.console import Console
    from rich.table import Table

    first = scores[0]
    table = Table(title=f"{first.dataset}: {first.images} images, percent, 95 % intervals")
    for heading in ("variant", first.metric, "interval", "to the best", "interval", *first.beside()):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for score in scores:
        table.add_row(
            score.variant_id,
            f"{100 * score.value:.1f}",
            f"{100 * score.confidence_interval[0]:.1f} .. {100 * score.confidence_interval[1]:.1f}",
            f"{100 * score.difference:+.1f}",
            f"{100 * score.difference_interval[0]:+.1f} .. {100 * score.difference_interval[1]:+.1f}",
            *(f"{100 * value:.1f}" for value in score.beside().values()),
        )
    Console().print(table)
