"""The page and the files of a search, from a result made up here."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.evaluate import summarise
from converters.paths import PathSpace, read_paths
from converters.search.budgets import Budget, Met
from converters.search.contract import Measured, Refused
from converters.search.errors import SearchError
from converters.search.finals import Difference, Example, Final, Finals
from converters.search.job import Found, SearchJob, frontier_json, write_results, write_whole
from converters.search.record import result_of
from converters.search.report import page
from converters.search.slimming import slim
from edge.bench.record import markdown
from tests.converters.search.streets import LABELS
from tests.converters.search.toy import FULL_MS, SIZE, SPACE, Toy, directly

pytest.importorskip("plotly", reason="the report needs the extra [report]")


def found_in(folder: Path) -> Found:
    """Slimming of the landscape, two of its paths reported on random masks."""
    toy = Toy(folder / "log")
    full = replace(toy(SPACE.full()), path=replace(SPACE.full(), name="full"))
    steps = slim(full, SPACE, directly(toy), 70.0)
    last = replace(steps[-1].measured, path=replace(steps[-1].measured.path, name="p1"))
    steps = [*steps[:-1], replace(steps[-1], measured=last)]
    rng = np.random.default_rng(3)
    counts = {name: rng.integers(1, 50, (4, 3, 4)) for name in ("full", "p1")}
    scores = {score.variant_id: score for score in summarise(counts, LABELS, "set")}
    frame, truth = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), rng.integers(0, 3, (48, 64), dtype=np.uint8)

    def final(each: Measured) -> Final:
        return Final(
            each, each.latency_ms, "measured", each.latency_ms, FULL_MS / each.latency_ms, (1.0, 2.0),
            scores[each.path.name], Difference(-0.01, (-0.02, 0.001)), 0.97,
        )  # fmt: skip

    example = Example(frame, truth, {"full": truth, "p1": 2 - truth})
    refused = (Refused(replace(SPACE.path_of({"skip_1_1": 1}), name="c1"), "p1 is more accurate <and> faster"),)
    return Found(
        job=SearchJob("weights/<b>", SIZE, "camvid:a", "camvid:a", folder / "out", "camvid:b"),
        full=full,
        seen=(full, *(step.measured for step in steps)),
        steps=tuple(steps),
        met=(Met(Budget("1.4x", FULL_MS / 1.4), last), Met(Budget("9 ms", 9.0), last, "9 ms cannot be met")),
        finals=Finals((final(full), final(last)), (), (example,), "camvid:b", 4),
        refused=refused,
        labels=LABELS,
        agreement=False,
        evaluated=7,
    )


def test_the_page_needs_nothing_else_and_holds_what_was_found(tmp_path: Path) -> None:
    text = page(found_in(tmp_path))
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"(?!data:)", text)
    assert re.search(r"p1, \d+\.\d % as full", text)
    assert "{{" not in text.split("<script>")[0]
    for words in (
        "Execution paths of &lt;b&gt;", "9 ms cannot be met", "p1 is more accurate &lt;and&gt; faster",
        "skip 1 2", "<th>p1</th>",
    ):  # fmt: skip
        assert words in text
    charts = json.loads(text.split("const charts = ", 1)[1].split(";\n(function", 1)[0].replace("<\\/", "</"))
    assert [chart["id"] for chart in charts] == ["searched", "reported"]
    assert charts[1]["data"][0]["x"] == [100.0, 70.0]
    assert len(charts[0]["layout"]["shapes"]) == 2


def test_the_files_can_be_converted_and_read(tmp_path: Path) -> None:
    found = found_in(tmp_path)
    write_results(found)
    space = PathSpace(SPACE.depths, SPACE.full().decoder_width)
    paths = read_paths(found.job.out / "paths.json", space)
    assert [path.name for path in paths] == ["full", "p1"]
    assert paths[1] == found.finals.kept[1].path
    told = json.loads((found.job.out / "frontier.json").read_text())
    assert told == json.loads(json.dumps(frontier_json(found)))
    assert told["paths"][1]["speedup_here"] == pytest.approx(100 / 70, abs=1e-5)
    assert told["budgets"][1] == {"asked": "9 ms", "latency_ms": 9.0, "path": "p1", "unmet": "9 ms cannot be met"}
    assert told["refused"][0]["reason"] == "p1 is more accurate <and> faster"
    assert sorted(file.name for file in found.job.out.iterdir()) == ["frontier.json", "paths.json", "report.html"]


def test_a_file_that_cannot_be_written_is_not_there_half(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"/dev/full/x: cannot be written"):
        write_whole(Path("/dev/full/x"), "text")
    (tmp_path / "taken").mkdir()
    with pytest.raises(SearchError, match=r"taken: cannot be written .* give the same command again"):
        write_whole(tmp_path / "taken", "text")
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]


def test_the_recorded_page_holds_times_foretold_to_what_came(tmp_path: Path) -> None:
    found = found_in(tmp_path)
    told = result_of(found, "joulepath search", "2030-01-01T00:00:00Z")
    fastest, off, faster = told.goals
    full, path = found.finals.kept
    assert fastest.measured == path.speedup  # both lost one point, at most 1.4 are allowed
    assert (off.measured, off.met) == (0.0, True)
    assert faster.measured == pytest.approx(0.0, abs=1e-9)

    def foretold(one: Final, times: float) -> Final:
        return replace(one, search=replace(one.search, latency_kind="predicted"), here_ms=one.search.latency_ms / times)

    kept = (foretold(full, 1.02), foretold(path, 0.9), foretold(path, 1.04))
    told = result_of(replace(found, finals=replace(found.finals, kept=kept)), "joulepath search", "2030")
    assert told.goals[1].measured == pytest.approx(4.0)
    slower = tuple(replace(one, here_ms=1.3 * one.search.latency_ms, speedup=one.speedup / 1.1) for one in kept[1:2])
    told_slower = result_of(replace(found, finals=replace(found.finals, kept=slower)), "joulepath search", "2030")
    assert told_slower.goals[2].measured == pytest.approx(10.0)  # the common factor of 1.3 is no error of a speed-up
    assert [row[-2] for row in told.tables[0].rows] == ["+2.0", "-10.0", "+4.0"]
    assert told.tables[0].rows[1][3] == "-1.00 (-2.00 to +0.10)"
    assert "9 ms cannot be met" in told.notes
    assert str(tmp_path) not in markdown(told)
    timed = tuple(replace(one, search=replace(one.search, latency_kind="measured")) for one in kept)
    told = result_of(replace(found, finals=replace(found.finals, kept=timed)), "joulepath search", "2030")
    assert (told.goals[1].measured, told.goals[1].met) == (None, None)


def test_paths_that_lose_too_much_are_not_the_fastest(tmp_path: Path) -> None:
    found = found_in(tmp_path)
    full, path = found.finals.kept
    poor = replace(path, difference=Difference(-0.0141, (-0.02, -0.01)))
    told = result_of(replace(found, finals=replace(found.finals, kept=(full, poor))), "joulepath search", "2030")
    assert told.goals[0].measured == full.speedup
