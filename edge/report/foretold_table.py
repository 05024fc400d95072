"""Foretold against measured as a table of errors by variant."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from edge.report.foretold import Compared, Foretold, errors
from edge.report.markup import badge, table_of

_HEAD = (
    "variant", "of", "obtained", "unit", "decisions", "foretold<br>mean", "came<br>mean",
    "error<br>p50", "error<br>p90",
)  # fmt: skip
_MEANING = (
    "A recorded decision foretells for the variant that it chooses. It is held against the mean over that variant's"
    " frames until the next recorded one, a temperature against the reading a minute later where the choice stood so"
    " long. The error is |foretold − came| / came, of a temperature the degrees between them."
)


def foretold_section(foretold: Foretold) -> str:
    """The table with what its figures mean, or sentences that say why there is nothing to compare."""
    notes = " ".join(foretold.absent)
    if not foretold.compared:
        return f'<p class="quiet">{notes}</p>'
    rows = [row for compared in foretold.compared for row in _rows(compared)]
    return f'<p class="quiet">{_MEANING} {notes}</p>{table_of(_HEAD, rows)}'


def _rows(compared: Compared) -> Iterator[tuple[str, ...]]:
    for row in errors(compared):
        yield (
            escape(row.variant),
            compared.what,
            badge(compared.method),
            compared.unit,
            f"{row.decisions:,}",
            f"{row.foretold:,.1f}",
            f"{row.came:,.1f}",
            *(f"{off * 100:,.1f} %" if compared.relative else f"{off:,.1f} °C" for off in (row.p50, row.p90)),
        )
