from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.board import Quantity
from boards.sensor import Method
from edge.journal import FrameRow, Journal, JournalReader
from edge.report import write_report
from edge.report.collect import RunData, collect
from edge.report.figure import figure
from edge.report.foretold import Errors, errors
from edge.report.foretold_table import foretold_section
from edge.report.series import MOST_POINTS
from edge.report.traces import PALETTE
from tests.edge.journal.made import START_NS, FakeClock, open_journal

SECOND = 1_000_000_000
COMING = 500_000_000  # a frame's window


def _frame(number: int, variant: int, infer_us: int, energy_uj: int | None, **other: Any) -> FrameRow:
    """Frame `number` of a stream of two a second."""
    method = Method.UNAVAILABLE if energy_uj is None else Method.MODELLED
    start_ns = START_NS + number * COMING
    row = FrameRow(
        number,
        start_ns,
        start_ns + COMING,
        variant,
        0,
        90_000,
        1_000,
        infer_us,
        1_000,
        energy_uj,
        None,
        None,
        5,
        method,
    )
    return row._replace(**other)


def _decide(journal: Journal, at_s: float, variant: int, energy_mj: float | None, latency_ms: float | None) -> None:
    body = {"expected_energy_mj": energy_mj, "expected_latency_ms": latency_ms, "power_w": 5.0}
    kept = {name: value for name, value in body.items() if value is not None}
    journal.decision(START_NS + round(at_s * SECOND), None, variant, "because", kept)


def _open(path: Path) -> Journal:
    journal = open_journal(path, FakeClock(), max_pending_rows=10**6)
    for name in ("full", "cheap"):
        journal.register_variant(name, name)
    journal.start_run("simulated", "demo")
    return journal


def _collect(path: Path) -> RunData:
    with JournalReader(path) as reader:
        return collect(reader, reader.run())


def test_what_was_foretold_is_held_against_the_mean_of_the_frames_that_followed(tmp_path: Path) -> None:
    with _open(tmp_path / "j.db") as journal:
        _decide(journal, 0.0, 1, 412.0, 50.0)
        _decide(journal, 1.0, 2, 110.0, 18.0)
        _decide(journal, 3.0, 2, 90.0, 20.0)
        journal.append_frames(
            [
                _frame(0, 1, 40_000, 398_000),
                _frame(1, 1, 60_000, 402_000),
                _frame(2, 1, 99_000, 999_000),  # the chosen variant is not ready yet
                _frame(3, 2, 20_000, 100_000),
                _frame(4, 2, 20_000, None),  # unknown is not zero
                _frame(5, 2, 14_000, 100_000),
                _frame(6, 2, 25_000, 120_000),
            ]
        )
    foretold = _collect(tmp_path / "j.db").foretold
    energy, latency = foretold.compared
    assert (energy.what, energy.unit, energy.method) == ("energy a frame", "mJ", "modelled")
    assert energy.variants == ("full", "cheap", "cheap")
    assert energy.foretold.tolist() == [412.0, 110.0, 90.0]
    assert energy.came.tolist() == [400.0, 100.0, 120.0]
    assert (energy.start_s.tolist(), energy.end_s.tolist()) == ([0.0, 1.5, 3.0], [1.0, 3.0, 3.5])
    assert list(errors(energy)) == [
        Errors("full", 1, 412.0, 400.0, pytest.approx(0.03), pytest.approx(0.03)),
        # errors of 10 % and 25 %
        Errors("cheap", 2, 100.0, 110.0, pytest.approx(0.175), pytest.approx(0.235)),
    ]
    assert (latency.what, latency.unit, latency.method) == ("inference", "ms", "measured")
    assert latency.foretold.tolist() == [50.0, 18.0, 20.0]
    assert latency.came.tolist() == [50.0, 18.0, 25.0]
    assert [(row.p50, row.p90) for row in errors(latency)] == [
        (0.0, 0.0),
        (pytest.approx(0.1), pytest.approx(0.18)),
    ]
    assert foretold.absent == ("No recorded decision foretells the temperature in a minute.",)


def test_joules_of_different_methods_are_never_put_together(tmp_path: Path) -> None:
    with _open(tmp_path / "j.db") as journal:
        _decide(journal, 0.0, 1, 300.0, None)
        journal.append_frames(
            [
                _frame(0, 1, 40_000, 200_000, method=Method.MEASURED),
                _frame(1, 1, 40_000, 400_000),
                _frame(2, 1, 40_000, 300_000, method=Method.MEASURED),
            ]
        )
    foretold = _collect(tmp_path / "j.db").foretold
    assert [(each.method, each.came.tolist()) for each in foretold.compared] == [
        ("modelled", [400.0]),
        ("measured", [250.0]),
    ]
    assert foretold.absent == (
        "No recorded decision foretells the latency of an inference or the temperature in a minute.",
    )


def test_a_repeated_answer_counts_to_the_inference_before_it(tmp_path: Path) -> None:
    with _open(tmp_path / "j.db") as journal:
        _decide(journal, 0.0, 1, 300.0, 40.0)
        _decide(journal, 2.0, 1, 300.0, 40.0)
        journal.append_frames([_frame(n, 1, 40_000, 200_000) for n in (0, 1)])
        journal.append_frames([_frame(n, 1, 0, 100_000, reused=1) for n in (2, 3)])
        journal.append_frames([_frame(4, 1, 40_000, 200_000), _frame(5, 1, 0, None, reused=1)])
    foretold = _collect(tmp_path / "j.db").foretold
    energy, latency = foretold.compared
    assert energy.came.tolist() == [300.0]  # 600 mJ, two inferences; of the second decision a part is unknown
    assert latency.came.tolist() == [40.0, 40.0]


NO_HEAT = "No recorded decision foretells the temperature in a minute."
NO_ENERGY = "The energy of a frame was foretold, but no frame whose energy is known came on its variant."
NO_LATENCY = "The latency of an inference was foretold, but no frame was inferred on its variant."


@pytest.mark.parametrize(
    ("foretells", "known", "variant", "sentences", "drawn"),
    [
        (None, True, 1, ("This run recorded no decision, so nothing was foretold.",), 0),
        (
            (None, None),
            True,
            1,
            (
                "No recorded decision foretells the energy of a frame or the latency of an inference or the temperature"
                " in a minute.",
            ),
            0,
        ),
        ((300.0, 40.0), False, 1, (NO_HEAT, NO_ENERGY), 1),
        ((300.0, 40.0), True, 2, (NO_HEAT, NO_ENERGY, NO_LATENCY), 0),
    ],
)
def test_what_cannot_be_compared_is_said(
    tmp_path: Path,
    foretells: tuple[float | None, float | None] | None,
    known: bool,
    variant: int,
    sentences: tuple[str, ...],
    drawn: int,
) -> None:
    with _open(tmp_path / "j.db") as journal:
        if foretells is not None:
            _decide(journal, 0.0, 1, *foretells)
        journal.append_frames([_frame(n, variant, 40_000, 300_000 if known else None) for n in range(3)])
    data = _collect(tmp_path / "j.db")
    assert data.foretold.absent == sentences
    section = foretold_section(data.foretold)
    assert " ".join(sentences) in section
    assert sum("foretold" in axis["title"]["text"] for axis in _axes(figure(data))) == drawn
    assert section.count("<table>") == drawn


def test_a_temperature_is_held_against_what_was_seen_a_minute_later(tmp_path: Path) -> None:
    decided = [  # at s, variant, rate, foretold °C, seen °C
        (0, 1, None, 61.0, 50.0),
        (30, 1, None, 66.0, 55.0),
        (61, 1, None, 69.0, 62.0),  # 60 s: 30 of 31 from 55 to 62
        (89, 1, 5.0, 70.0, 63.0),  # another rate within a minute of the two before
        (121, 1, 5.0, 71.0, 64.0),
        (151, 1, 5.0, None, 66.5),
        (250, 1, 5.0, 70.0, 70.0),  # no reading for 99 s
    ]
    with _open(tmp_path / "j.db") as journal:
        journal.register_channel("case", Quantity.TEMPERATURE, Method.MODELLED)
        journal.sample("case", START_NS, 50.0)
        for at_s, variant, rate, foretold_c, seen_c in decided:
            at_ns = START_NS + at_s * SECOND
            number = journal.observation(at_ns, {"temperature_c": seen_c})
            body = {"expected_temperature_c": foretold_c, "max_fps": rate}
            journal.decision(at_ns, number, variant, "because", {k: v for k, v in body.items() if v is not None})
        journal.append_frames([_frame(0, 1, 40_000, 300_000)])
    data = _collect(tmp_path / "j.db")
    (heat,) = data.foretold.compared
    assert (heat.what, heat.unit, heat.method) == ("temperature", "°C", "modelled")
    assert (heat.foretold.tolist(), heat.start_s.tolist()) == ([61.0, 70.0], [60.0, 149.0])
    assert heat.came.tolist() == [pytest.approx(55 + 7 * 30 / 31), pytest.approx(64 + 2.5 * 28 / 30)]
    (errors_c,) = errors(heat)
    # errors of 0.774 and 3.667 °C
    assert (errors_c.p50, errors_c.p90) == (pytest.approx(2.220, abs=1e-3), pytest.approx(3.377, abs=1e-3))
    assert "<td>2.2 °C</td><td>3.4 °C</td>" in foretold_section(data.foretold)
    (axis,) = [axis for axis in _axes(figure(data)) if "foretold" in axis["title"]["text"]]
    assert axis["title"]["text"] == "temperature (°C),<br>foretold a minute before"
    dots = [trace for trace in figure(data)["data"] if trace.get("mode") == "lines+markers"]
    assert [trace["name"] for trace in dots] == ["came", "foretold"]


def test_frames_before_the_first_decision_are_held_against_none(tmp_path: Path) -> None:
    with _open(tmp_path / "j.db") as journal:
        _decide(journal, 0.6, 1, 300.0, 40.0)
        journal.append_frames([_frame(0, 1, 90_000, 900_000), _frame(1, 1, 80_000, 800_000)])
        journal.append_frames([_frame(2, 1, 40_000, 300_000)])
    energy, _ = _collect(tmp_path / "j.db").foretold.compared
    assert energy.came.tolist() == [300.0]  # a frame belongs to what was decided when it began


def _axes(drawing: Any) -> list[Any]:
    return [axis for name, axis in drawing["layout"].items() if name.startswith("yaxis")]


def test_each_decision_is_drawn_as_two_levels_and_listed(tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="needs the extra [report]")
    with _open(tmp_path / "j.db") as journal:
        _decide(journal, 0.0, 1, 412.0, 50.0)
        _decide(journal, 1.0, 1, 408.0, 50.0)
        journal.append_frames([_frame(n, 1, 40_000, 400_000) for n in range(4)])
    write_report(tmp_path / "j.db", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    found = re.search(r"const figure = (\{.*?\});\n", page)
    assert found is not None
    drawing = json.loads(found[1])
    titles = [axis["title"]["text"] for axis in _axes(drawing)]
    assert titles[-2:] == [
        "energy a frame<br>(mJ, modelled),<br>foretold and came",
        "inference (ms),<br>foretold and came",
    ]
    came, foretold, _, _ = drawing["data"][-4:]
    assert (came["name"], came["line"]["color"]) == ("came (mean of the frames)", PALETTE[0])
    assert came["x"] == foretold["x"] == [0.0, 1.0, None, 1.0, 2.0, None]
    assert came["y"] == [400.0, 400.0, None, 400.0, 400.0, None]
    assert foretold["y"] == [412.0, 412.0, None, 408.0, 408.0, None]
    row = (
        '<td>full</td><td>energy a frame</td><td><span class="badge modelled">modelled</span></td><td>mJ</td><td>2</td>'
    )
    assert f"{row}<td>410.0</td><td>400.0</td><td>2.5 %</td><td>2.9 %</td>" in page


def test_many_decisions_are_thinned(tmp_path: Path) -> None:
    count = 4000
    with _open(tmp_path / "j.db") as journal:
        for number in range(count):
            _decide(journal, number * 0.5, 1, 412.0, 50.0)
        journal.append_frames([_frame(n, 1, 40_000, 400_000 + n % 7) for n in range(count)])
    data = _collect(tmp_path / "j.db")
    energy, _ = data.foretold.compared
    assert len(energy.came) == count
    traces = [trace for trace in figure(data)["data"] if trace.get("name") == "foretold"]
    assert [len(trace["x"]) for trace in traces] == [MOST_POINTS // 2] * 2
    assert set(traces[0]["y"]) == {412.0}


@settings(max_examples=30, deadline=None)  # each writes a journal
@given(
    st.lists(
        st.tuples(
            st.sampled_from((1, 2)),  # the variant that was chosen
            st.none() | st.integers(1, 10**6),
            st.lists(st.tuples(st.sampled_from((1, 2)), st.none() | st.integers(1, 10**7)), max_size=4),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_as_a_loop_over_the_frames_would_have_it(
    tmp_path_factory: pytest.TempPathFactory,
    decided: list[tuple[int, int | None, list[tuple[int, int | None]]]],
) -> None:
    path = tmp_path_factory.mktemp("loop") / "j.db"
    number, expected = 0, []
    with _open(path) as journal:
        for chosen, foretold_mj, rows in decided:
            _decide(journal, number * 0.5, chosen, foretold_mj, None)
            journal.append_frames([_frame(number + n, variant, 40_000, uj) for n, (variant, uj) in enumerate(rows)])
            number += len(rows)
            came = [uj / 1e3 for variant, uj in rows if variant == chosen and uj is not None]
            if foretold_mj is not None and came:
                expected.append((foretold_mj, sum(came) / len(came)))
        journal.append_frames([_frame(number, 9, 40_000, None)])
    energy = _collect(path).foretold.compared
    drawn = [pair for each in energy for pair in zip(each.foretold, each.came, strict=True)]
    assert drawn == [(foretold, pytest.approx(came)) for foretold, came in expected]
