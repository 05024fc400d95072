"""report.html: what a search found, in one page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from converters.search import figures, pictures
from converters.search.errors import SearchError
from converters.search.finals import Example, Final
from converters.search.identity import describe
from edge.tasks.palette import Palette, palette_for

if TYPE_CHECKING:
    from converters.search.job import Found

_MOST_REFUSED = 400
_PARTS_OF_A_HUNDRED = 1.4  # the paper's loss for its saving: what a card answers for


def page(found: Found) -> str:
    """The whole page. Raises SearchError when plotly is missing."""
    charts = [figures.searched(found), figures.reported(found)]
    parts = {
        "title": escape(f"Execution paths of {found.job.weights.rstrip('/').split('/')[-1]}"),
        "subtitle": _subtitle(found),
        "style": _resource("edge.report", "style.css") + _resource("converters.search", "style.css"),
        "cards": _cards(found),
        "paths": _paths(found),
        "notes": _notes(found),
        "classes": _classes(found),
        "examples": _examples(found),
        "steps": _steps(found),
        "refused": _refused(found),
        # A closing tag inside a string would end the script that holds it.
        "charts": json.dumps(charts, separators=(",", ":"), allow_nan=False).replace("</", "<\\/"),
        "script": _resource("converters.search", "draw.js"),
        "plotly": _plotly_script(),
    }
    head, *rest = _resource("converters.search", "page.html").split("{{")
    return head + "".join(parts[name] + text for name, text in (piece.split("}}", 1) for piece in rest))


def _plotly_script() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise SearchError("the report needs plotly: pip install 'joulepath[report]', then search again") from error
    return str(get_plotlyjs())


def _resource(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _subtitle(found: Found) -> str:
    job, finals = found.job, found.finals
    where = (
        f"reported on {finals.dataset}, {finals.images} images" if finals.dataset else "no labelled set to report on"
    )
    return escape(
        f"input {job.size[0]}x{job.size[1]} · {len(found.seen)} paths evaluated · compared on {job.search_set}, "
        f"{job.search_images} images at most · {where}"
    )


def _cards(found: Found) -> str:
    kept = found.finals.kept
    full, fastest = kept[0], kept[-1]
    near = [each for each in kept if full.accuracy - each.accuracy <= _PARTS_OF_A_HUNDRED / 100]
    best = max(near, key=lambda each: full.latency_ms / each.latency_ms)
    cards = [
        ("full path", f"{100 * full.accuracy:.1f} %", f"{full.latency_ms:.1f} ms {full.latency_kind}, folded"),
        (
            f"within {_PARTS_OF_A_HUNDRED} points",
            f"{full.latency_ms / best.latency_ms:.2f}x",
            f"{escape(best.path.name)}, {100 * (best.accuracy - full.accuracy):+.1f} points",
        ),
        (
            "fastest path",
            f"{full.latency_ms / fastest.latency_ms:.2f}x",
            f"{escape(fastest.path.name)}, {100 * (fastest.accuracy - full.accuracy):+.1f} points",
        ),
        ("paths that stand", str(len(kept)), f"{len(found.refused):,} refused"),
    ]
    return "".join(
        f'<div class="card"><div class="name">{name}</div><div class="value">{value}</div>'
        f'<div class="note">{note}</div></div>'
        for name, value, note in cards
    )


def _notes(found: Found) -> str:
    notes = [met.reason for met in found.met if met.reason]
    if found.agreement:
        notes.append("The search set has no labels: paths were compared by how far they agree with the full path.")
    if found.finals.dataset:
        notes.append(
            "Paths were chosen on the search set and are reported on another set; intervals hold 95 %, by a block "
            "bootstrap that draws the same images for every path."
        )
    notes.append("Speed-ups are over the folded full path, measured on this machine with all paths taking turns.")
    return "".join(f'<p class="quiet">{escape(note)}</p>' for note in notes)


def _paths(found: Found) -> str:
    head = (
        "path", "what is cut", "mIoU (%)", "95 %", "to full", "95 %", "agrees (%)", "latency (ms)", "speed-up here",
        "G MACs", "MB",
    )  # fmt: skip
    return _table(head, (_path_row(found, each) for each in found.finals.kept), "paths")


def _path_row(found: Found, each: Final) -> tuple[str, ...]:
    low_high = each.speedup_range
    return (
        f"<b>{escape(each.path.name)}</b>",
        escape(describe(each.path, found.full.path)),
        f"{100 * each.accuracy:.1f}",
        "" if each.score is None else _interval(each.score.confidence_interval, ".1f"),
        "" if each.difference is None else f"{100 * each.difference.miou:+.1f}",
        "" if each.difference is None else _interval(each.difference.interval, "+.1f"),
        f"{100 * each.agreement:.1f}",
        f"{each.latency_ms:.1f} {each.latency_kind}",
        f"{each.speedup:.2f}x <small>{low_high[0]:.2f} .. {low_high[1]:.2f}</small>",
        f"{each.search.macs / 1e9:.2f}",
        f"{each.search.bytes / 1e6:.2f}",
    )


def _interval(values: tuple[float, float], form: str) -> str:
    return f"<small>{format(100 * values[0], form)} .. {format(100 * values[1], form)}</small>"


def _classes(found: Found) -> str:
    kept = found.finals.kept
    full = kept[0].score
    if full is None:
        return '<p class="quiet">Without labels there is no accuracy by class; give --dataset.</p>'
    head = ("class", *(escape(each.path.name) for each in kept))
    rows = []
    for label in found.labels:
        base = full.per_class[label]
        cells = [escape(label)]
        for each in kept:
            value = None if each.score is None else each.score.per_class[label]
            cells.append("" if value is None or base is None else _shaded(100 * value, 100 * (value - base)))
        rows.append(cells)
    return _table(head, rows, "classes")


def _shaded(value: float, change: float) -> str:
    """The number on a ground that is the redder the more is lost, and green where something is gained."""
    strength = min(0.75, abs(change) / 30)
    colour = "213,94,0" if change < 0 else "0,158,115"
    return f'<span class="shade" style="background:rgba({colour},{strength:.2f})">{value:.1f}</span>'


def _examples(found: Found) -> str:
    palette = palette_for(found.labels)
    blocks = [_example(found, example, palette) for example in found.finals.examples]
    return _legend(found.labels, palette) + "".join(blocks)


def _example(found: Found, example: Example, palette: Palette) -> str:
    names = [each.path.name for each in found.finals.kept]
    full = example.masks[names[0]]
    cells: list[tuple[str, str, str | None]] = [("image", pictures.photo(example.frame), None)]
    if example.truth is not None:
        cells.append(("truth", pictures.masked(example.frame, example.truth, palette), None))
    for name in names:
        mask = example.masks[name]
        differs = None if name == names[0] else pictures.disagreement(example.frame, mask, full)
        same = "" if name == names[0] else f", {100 * float(np.mean(mask == full)):.1f} % as full"
        cells.append((name + same, pictures.masked(example.frame, mask, palette), differs))
    return '<div class="examples">' + "".join(_cell(*cell) for cell in cells) + "</div>"


def _cell(name: str, picture: str, differs: str | None) -> str:
    below = "" if differs is None else f'<img src="{differs}" alt="where {escape(name)} differs from the full path">'
    return f'<figure><figcaption>{escape(name)}</figcaption><img src="{picture}" alt="{escape(name)}">{below}</figure>'


def _legend(labels: Iterable[str], palette: Palette) -> str:
    chips = (
        f'<span class="chip"><i style="background:rgb({red},{green},{blue})"></i>{escape(label)}</span>'
        for label, (red, green, blue) in zip(labels, palette.tolist(), strict=False)
    )
    return f'<p class="legend">{"".join(chips)}</p>'


def _steps(found: Found) -> str:
    rows = (
        (
            str(number),
            escape(step.action.replace("_", " ")),
            f"{100 * step.measured.accuracy:.1f}",
            f"{-100 * step.loss:+.2f}",
            f"{step.measured.latency_ms:.1f}",
            f"{step.saved:.2f}",
            f"{100 * step.loss / step.saved:.3f}",
        )
        for number, step in enumerate(found.steps, start=1)
    )
    head = ("cut", "ladder", "accuracy (%)", "change", "latency (ms)", "saved (ms)", "points a ms")
    return _table(head, rows, "steps")


def _refused(found: Found) -> str:
    shown = found.refused[:_MOST_REFUSED]
    rows = (
        (escape(each.path.name), escape(describe(each.path, found.full.path)), escape(each.reason)) for each in shown
    )
    more = "" if len(shown) == len(found.refused) else f"<p>The first {len(shown)}; all are in frontier.json.</p>"
    return _table(("path", "what is cut", "why not"), rows, "refused") + more


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], kind: str) -> str:
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )
