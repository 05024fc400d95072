"""The pipeline with real capture and engine processes: no frame lost, none twice, whatever is switched or killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from edge.bundle import load_bundle
from edge.cameras.supervise import SupervisedCamera
from edge.change import ChangeDetector
from edge.controller import Decision, Observation
from edge.journal import FrameRow
from edge.ledger import Ledger
from edge.pipeline import Pipeline, Shown
from edge.prepare import Preparers
from edge.steward import Known, Steward, Switch
from edge.tasks import open_task
from edge.variants import Pool
from tests.edge.tiny import STREET, write_bundle

VARIANTS = ("full", "half", "alone")


class Script:
    """A controller that goes through a list, one entry a decision, and stays at the last."""

    def __init__(self, wanted: list[str], max_fps: float | None = None) -> None:
        self.wanted, self.max_fps = wanted, max_fps

    def initial(self) -> int:
        return 0

    def decide(self, state: int, seen: Observation) -> tuple[int, Decision]:
        usable = {c.id for c in seen.candidates if c.usable}
        name = self.wanted[min(state, len(self.wanted) - 1)]
        if name not in usable:
            name = sorted(usable)[0]
        return state + 1, Decision(name, f"step {state}", max_fps=self.max_fps)


class Seen:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.variants: list[str] = []
        self.mious: list[float | None] = []

    def show(self, shown: Shown) -> None:
        self.sequences.append(shown.served.sequence)
        self.variants.append(shown.variant)
        self.mious.append(shown.miou)
        assert shown.answer.shape == shown.frame.truth.shape if shown.frame.truth is not None else True

    def close(self) -> None:
        return None


class Bench:
    """A whole pipeline over the tiny bundle."""

    def __init__(
        self,
        root: Path,
        source: str,
        wanted: list[str],
        labels: list[str] | None = None,
        detector: ChangeDetector | None = None,
    ) -> None:
        self.rows: list[FrameRow] = []
        self.switches: list[Switch] = []
        self.events: list[tuple[str, str, str]] = []
        self.seen = Seen()
        bundle = load_bundle(write_bundle(root / "bundle", labels))
        self.pool = Pool(bundle, threads=1, on_event=self.event)
        self.camera = SupervisedCamera(source, on_event=self.event)
        self.camera.open()
        known = tuple(Known(v.id, v.accuracy[0].value, v.macs) for v in bundle.manifest.variants)
        self.steward = Steward(
            known, Script(wanted), self.pool, dict,
            period_ns=0, on_switch=self.switches.append, on_decision=lambda seen, decision: None, on_event=self.event,
        )  # fmt: skip
        self.pipeline = Pipeline(
            self.camera, self.pool, self.steward, open_task(bundle.manifest),
            {v.id: v for v in bundle.manifest.variants}, {name: i for i, name in enumerate(VARIANTS)},
            Ledger(None, self.rows.append), Preparers, clock=time.monotonic_ns, sinks=[self.seen], on_event=self.event,
            detector=detector,
        )  # fmt: skip

    def event(self, *event: str) -> None:
        self.events.append(event)  # type: ignore[arg-type]

    def close(self) -> None:
        self.camera.close()
        self.pool.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Any]:
    made: list[Bench] = []

    def make(
        source: str, wanted: list[str], labels: list[str] | None = None, detector: ChangeDetector | None = None
    ) -> Bench:
        made.append(Bench(tmp_path, source, wanted, labels, detector))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _workers() -> list[int]:
    """The engine processes of this one, oldest first."""
    children = psutil.Process().children()
    workers = [p for p in children if "edge.engines.worker" in " ".join(p.cmdline())]
    return [p.pid for p in sorted(workers, key=lambda p: p.create_time())]


def test_every_frame_of_a_file_source_once_and_in_order_while_variants_alternate(bench: Any) -> None:
    one: Bench = bench("synthetic:32x48@0", ["full", "half", "full", "alone", "half"] * 50)
    for name in VARIANTS:
        one.pool.wait(name)
    counters = one.pipeline.run(frames=60)
    assert one.seen.sequences == list(range(60))
    assert counters.frames == 60
    assert counters.skipped == 0
    assert {"full", "half", "alone"} == set(one.seen.variants)
    # The first entry chose the variant to start with; from then on each frame boundary took the next one.
    assert one.seen.variants == (["full", "half", "full", "alone", "half"] * 50)[1:61]
    changes = sum(a != b for a, b in zip(["full", *one.seen.variants], one.seen.variants, strict=False))
    assert len(one.switches) == 1 + changes


def test_rows_tile_time_and_say_that_energy_is_unknown(bench: Any) -> None:
    one: Bench = bench("synthetic:32x48@0", ["full"])
    one.pipeline.run(frames=20)
    one.pipeline.ledger.close(time.monotonic_ns())
    assert [row.sequence for row in one.rows] == list(range(20))
    for earlier, later in zip(one.rows, one.rows[1:], strict=False):
        assert earlier.end_ns == later.start_ns
    assert all(row.energy_uj is None for row in one.rows)
    assert all(row.age_us > 0 and row.infer_us > 0 for row in one.rows)


def test_a_killed_engine_costs_no_frame(bench: Any) -> None:
    one: Bench = bench("synthetic:32x48@0", ["full"])
    one.pool.wait("full")
    one.pool.wait("alone")
    victim = _workers()[0]

    class Killer(Seen):
        def show(self, shown: Shown) -> None:
            if shown.served.sequence == 10:
                os.kill(victim, signal.SIGKILL)

    one.pipeline.add_sink(Killer())
    one.pipeline.run(frames=40)
    assert one.seen.sequences == list(range(40))
    assert set(one.seen.variants) == {"full", "alone"}
    assert any(kind == "engine_lost" for _, kind, _ in one.events)


def test_truth_is_scored_where_its_classes_fit_and_left_alone_where_not(bench: Any) -> None:
    one: Bench = bench("synthetic:32x48@0", ["full"], STREET)
    one.pipeline.run(frames=3)
    assert all(m is not None and 0 <= m <= 1 for m in one.seen.mious)


def test_a_truth_with_unknown_classes_is_said_once_and_does_not_stop_the_stream(bench: Any) -> None:
    one: Bench = bench("synthetic:96x160@0", ["full"], STREET[:5])
    one.pipeline.run(frames=5)
    assert one.seen.mious == [None] * 5
    assert [kind for _, kind, _ in one.events].count("truth_unusable") == 1


def test_a_live_source_skips_and_counts(bench: Any) -> None:
    one: Bench = bench("synthetic:32x48@200", ["full"])
    original = one.seen.show

    def slow(shown: Shown) -> None:
        time.sleep(0.03)
        original(shown)

    one.seen.show = slow  # type: ignore[method-assign]
    counters = one.pipeline.run(frames=15)
    assert counters.skipped > 0
    sequences = one.seen.sequences
    assert sequences == sorted(set(sequences))


def test_stop_ends_the_run_with_the_frame_under_way(bench: Any) -> None:
    one: Bench = bench("synthetic:32x48@0", ["full"])

    class Stopper(Seen):
        def show(self, shown: Shown) -> None:
            if shown.served.sequence == 5:
                one.pipeline.stop()

    one.pipeline.add_sink(Stopper())
    counters = one.pipeline.run()
    assert 6 <= counters.frames <= 9
    assert one.seen.sequences == list(range(counters.frames))


def test_a_sink_that_fails_ends_the_run_with_its_error(bench: Any) -> None:
    one: Bench = bench("synthetic:32x48@0", ["full"])

    class Broken(Seen):
        def show(self, shown: Shown) -> None:
            raise OSError("disk full")

    one.pipeline.add_sink(Broken())
    with pytest.raises(OSError, match="disk full"):
        one.pipeline.run(frames=20)


class Every(ChangeDetector):
    """Finds each `period`th frame changed, whatever it shows."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period, self.count = period, -1

    def unchanged(self, image: Any, at_ns: int) -> bool:
        self.count += 1
        return self.count % self.period != 0


def test_an_unchanged_frame_is_answered_with_the_answer_before_and_says_so(bench: Any) -> None:
    one: Bench = bench("synthetic:32x48@0", ["full", "full", "half"] * 40, STREET, Every(4))
    answers: list[Any] = []

    class Keeper(Seen):
        def show(self, shown: Shown) -> None:
            answers.append(shown.answer)

    for name in VARIANTS:
        one.pool.wait(name)
    one.pipeline.add_sink(Keeper())
    counters = one.pipeline.run(frames=42)
    one.pipeline.ledger.close(time.monotonic_ns())
    assert one.seen.sequences == list(range(42))
    assert [row.reused for row in one.rows] == [int(i % 4 != 0) for i in range(42)]
    assert (counters.frames, counters.reused) == (42, 31)
    for i, row in enumerate(one.rows):
        begun = i - i % 4
        assert answers[i] is answers[begun]
        assert one.seen.variants[i] == one.seen.variants[begun]
        assert (row.infer_us == 0) == bool(row.reused)
        assert row.miou_ppm is not None  # scored against its own truth, not against that of the frame before
    for earlier, later in zip(one.rows, one.rows[1:], strict=False):
        assert earlier.end_ns == later.start_ns


def test_a_killed_engine_is_no_reason_to_answer_with_nothing(bench: Any) -> None:
    one: Bench = bench("synthetic:32x48@0", ["full"], None, Every(3))
    one.pool.wait("full")
    one.pool.wait("alone")
    victim = _workers()[0]

    class Killer(Seen):
        def show(self, shown: Shown) -> None:
            if shown.served.sequence == 9:
                os.kill(victim, signal.SIGKILL)

    one.pipeline.add_sink(Killer())
    one.pipeline.run(frames=30)
    assert one.seen.sequences == list(range(30))


def test_pictures_that_repeat_are_inferred_once(bench: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    shades = [40] * 5 + [200] * 4 + [40] * 3
    for number, shade in enumerate(shades):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.full((32, 48, 3), shade, np.uint8))
    one: Bench = bench(str(folder), ["full"], None, ChangeDetector(longest_s=1e6))
    counters = one.pipeline.run()
    one.pipeline.ledger.close(time.monotonic_ns())
    assert [row.reused for row in one.rows] == [0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1]
    assert counters.reused == 9


@pytest.mark.parametrize("source", ["synthetic:32x48@200", "synthetic:32x48@0"])
def test_no_more_frames_than_the_controller_lets_through_are_inferred(bench: Any, source: str) -> None:
    one: Bench = bench(source, ["full"])
    decisions: list[int] = []
    one.steward = Steward(
        (Known("full", 0.5, 1),), Script(["full"], max_fps=10.0), one.pool, dict,
        period_ns=20_000_000, on_switch=one.switches.append,
        on_decision=lambda seen, decision: decisions.append(seen.monotonic_ns), on_event=one.event,
    )  # fmt: skip
    one.pipeline._steward = one.steward
    counters = one.pipeline.run(frames=8)
    one.pipeline.ledger.close(time.monotonic_ns())
    assert counters.frames == 8
    spread_s = (one.rows[-1].start_ns - one.rows[0].start_ns) / 1e9
    assert spread_s >= 0.5  # 0.7 s, less what the first inference came late
    if source.endswith("@200"):
        assert counters.skipped >= 7 * 10  # a live source goes on meanwhile, and what nobody saw is counted
    else:
        assert one.seen.sequences == list(range(8))  # any other waits
    # The controller looks on between two frames that are far apart.
    assert len(decisions) > 2 * 8
