"""Pieces of the page that several sections use."""

from __future__ import annotations

from collections.abc import Iterable


def badge(method: str) -> str:
    return f'<span class="badge {method}">{method}</span>'


def table_of(head: Iterable[str], rows: Iterable[Iterable[str]], text_from: int | None = None) -> str:
    """A table; numbers stand to the right, also from `text_from` on unless that is given."""
    kind = "" if text_from is None else ' class="texts"'
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table{kind}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
