from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from edge.status import joules
from edge.view import TerminalView, plain_line
from tests.edge.sinks.test_video import NOTHING_KNOWN

BUSY = replace(
    NOTHING_KNOWN, variant="full-float16", reason="the most accurate variant: every limit is met", fps=14.9,
    infer_ms=52.3, age_ms=71.0, power_w=5.678, power_method="modelled", energy_per_frame_j=0.3812, temperature_c=66.4,
    battery=0.431, miou=0.613, frames=120, switches=2, elapsed_s=8.4,
)  # fmt: skip


def draw(status: object, terminal: bool) -> str:
    out = io.StringIO()
    view = TerminalView("streets", lambda: status, Console(file=out, force_terminal=terminal, width=110))  # type: ignore[arg-type]
    view.console.print(view.panel())
    return out.getvalue()


def test_the_panel_shows_every_figure_with_its_unit_and_method() -> None:
    text = draw(BUSY, terminal=False)
    for part in (
        "full-float16",
        "14.9 fps",
        "52.3 ms",
        "5.68 W (modelled)",
        "381 mJ (modelled)",
        "66.4 °C",
        "43.1 %",
        "61.3 % mIoU",
    ):
        assert part in text, part


def test_unknown_is_a_dash_never_zero() -> None:
    text = draw(NOTHING_KNOWN, terminal=False)
    assert "energy unavailable" in text
    assert "0.00 W" not in text
    assert "– (unavailable)" in text
    assert plain_line(NOTHING_KNOWN).count("–") == 5


def test_colour_only_on_a_terminal() -> None:
    assert "\x1b[" in draw(BUSY, terminal=True)
    assert "\x1b[" not in draw(BUSY, terminal=False)


def test_joules_carry_unit_and_method() -> None:
    assert joules(2.5, "measured") == "2.50 J (measured)"
    assert joules(0.0421, "modelled") == "42 mJ (modelled)"
    assert joules(None, "unavailable") == "energy unavailable"
