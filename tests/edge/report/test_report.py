from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.board import Quantity
from boards.sensor import Method
from edge.journal import JournalError, JournalReader
from edge.report import write_report
from edge.report.collect import MOST_POINTS, MOST_STRETCHES, collect
from edge.report.figure import figure
from edge.report.series import Buckets, Gathered
from tests.edge.journal.made import START_NS, FakeClock, frames, open_journal


def _journal(path: Path, count: int, switch_every: int, known: bool = True) -> None:
    with open_journal(path, FakeClock(), max_pending_rows=10**6) as journal:
        numbers = [journal.register_variant(f"path-<{number}>", f"path-{number}") for number in range(3)]
        journal.register_channel("VDD_IN", Quantity.POWER, Method.MODELLED)
        journal.register_channel("case", Quantity.TEMPERATURE)
        journal.register_channel("battery", Quantity.RATIO)
        journal.start_run("simulated", "demo", rails_included=["VDD_IN"])
        for place, first in enumerate(range(0, count, switch_every)):
            before, after = numbers[(place - 1) % 3], numbers[place % 3]
            start_ns = START_NS + first * 100_000_000
            journal.switch(start_ns, before if place else None, after, f"reason {place} </script>")
            journal.append_frames(frames(min(switch_every, count - first), after, first=first, known=known))
            for channel, value in (("VDD_IN", 6.0), ("case", 50.0), ("battery", 0.7)):
                journal.sample(channel, start_ns, value)


def _figure(page: str) -> Any:
    found = re.search(r"const figure = (\{.*?\});\n", page)
    assert found is not None
    return json.loads(found[1])


def test_a_short_run_is_drawn_frame_by_frame(tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="needs the extra [report]")
    _journal(tmp_path / "j.db", 60, 20)
    size = write_report(tmp_path / "j.db", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert size == len(page.encode()) < 8_000_000
    drawing = _figure(page)
    titles = {axis["title"]["text"] for name, axis in drawing["layout"].items() if name.startswith("yaxis")}
    assert titles == {
        "",
        "power (W)",
        "temperature (°C)",
        "battery (%)",
        "energy a frame<br>(J, modelled)",
        "accuracy<br>(mIoU of a frame, %)",
        "time (ms)",
    }
    assert drawing["layout"]["yaxis"]["dtick"] == 1  # every variant is named
    with JournalReader(tmp_path / "j.db") as reader:
        stored = list(reader.frames())
    dots = [trace for trace in drawing["data"] if trace.get("mode") == "markers" and trace["name"] != "switch"]
    drawn = [y for trace in dots for y in trace["y"]]
    assert drawn == pytest.approx([(row.energy_uj or 0) / 1e6 for row in stored])
    (switches,) = [trace for trace in drawing["data"] if trace.get("name") == "switch"]
    assert switches["text"][1] == "path-&lt;0&gt; → path-&lt;1&gt;<br>reason 1 &lt;/script&gt;"
    assert 'class="badge modelled"' in page
    assert "reason 1 &lt;/script&gt;" in page
    assert "http" not in page.replace(page[page.index("<script>") : page.rindex("const figure")], "")


@pytest.mark.parametrize(("variants", "named"), [(4, True), (5, False)])
def test_variants_are_named_above_their_energies_while_they_fit(tmp_path: Path, variants: int, named: bool) -> None:
    with open_journal(tmp_path / "j.db", FakeClock()) as journal:
        numbers = [journal.register_variant(f"v{number}", "p") for number in range(variants)]
        journal.start_run("simulated", "demo")
        for place, number in enumerate(numbers):
            journal.append_frames(frames(5, number, first=5 * place))
    with JournalReader(tmp_path / "j.db") as reader:
        drawing = figure(collect(reader, reader.run()))
    assert any("v3" in note["text"] for note in drawing["layout"]["annotations"]) is named


def test_unknown_energy_is_called_unknown(tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="needs the extra [report]")
    _journal(tmp_path / "j.db", 30, 30, known=False)
    write_report(tmp_path / "j.db", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert '<div class="value">unknown</div>' in page
    titles = [axis["title"]["text"] for name, axis in _figure(page)["layout"].items() if name.startswith("yaxis")]
    assert not any(title.startswith("energy") for title in titles)


def test_a_long_run_stays_small_and_keeps_its_extremes(tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="needs the extra [report]")
    _journal(tmp_path / "j.db", 30_000, 50)
    assert write_report(tmp_path / "j.db", tmp_path / "r.html") < 8_000_000
    with JournalReader(tmp_path / "j.db") as reader:
        data = collect(reader, reader.run())
        ages = [row.age_us / 1e3 for row in reader.frames()]
    assert data.thinned
    assert data.stretches_merged
    assert len(data.stretches) <= MOST_STRETCHES
    assert len(data.age_ms.times_s) <= MOST_POINTS // 2
    assert data.age_ms.high is not None
    assert data.age_ms.low is not None
    assert (data.age_ms.low.min(), data.age_ms.high.max()) == (min(ages), max(ages))


def test_a_mean_is_drawn_in_the_middle_of_what_its_row_covers(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j.db") as journal:
        journal.register_channel("VDD_IN", Quantity.POWER)
        journal.register_channel("case", Quantity.TEMPERATURE, row_s=10)
        journal.start_run("b", "b")
        for second in range(35):
            for channel in ("VDD_IN", "case"):
                journal.sample(channel, START_NS + second * 1_000_000_000, 20.0 + second)
        journal.append_frames(frames(350))
    with JournalReader(tmp_path / "j.db") as reader:
        fast, slow = (sampled.series for sampled in collect(reader, reader.run()).channels)
    assert list(fast.times_s[:3]) == [0.5, 1.5, 2.5]
    assert list(slow.times_s) == [0.0, 10.0, 20.0, 30.0]  # the run began in the middle of a row


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="needs the extra [report]")
    with open_journal(tmp_path / "j.db") as journal:
        journal.start_run("b", "b")
    assert write_report(tmp_path / "j.db", tmp_path / "r.html") > 0


def test_without_plotly_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _journal(tmp_path / "j.db", 10, 10)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(JournalError, match=r"joulepath\[report\]"):
        write_report(tmp_path / "j.db", tmp_path / "r.html")


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1e6, 1e6)), min_size=1, max_size=300), st.integers(1, 40))
def test_buckets_keep_the_sum_and_the_extremes(points: list[tuple[float, float]], count: int) -> None:
    times, values = (np.array(column) for column in zip(*points, strict=True))
    buckets = Buckets(100.0, count)
    buckets.add(times, values)
    series = buckets.series()
    assert series.low is not None
    assert series.high is not None
    assert len(series.times_s) <= count
    assert (series.low.min(), series.high.max()) == (values.min(), values.max())
    assert buckets.totals().sum() == pytest.approx(values.sum(), abs=1e-3)
    assert (series.low <= series.means + 1e-6).all()


def test_few_points_are_kept_as_they_are() -> None:
    gathered = Gathered(10.0, 3, 100)
    gathered.add(np.array([1.0, 2.0]), np.array([5.0, 6.0]))
    gathered.add(np.array([3.0]), np.array([7.0]))
    assert gathered.series().means.tolist() == [5.0, 6.0, 7.0]
    assert gathered.series().low is None
