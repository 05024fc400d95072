from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.bench import pipeline
from edge.bench.record import BenchError
from tests.edge.tiny import write_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bench") / "tiny")


def test_runs_and_bare_loops_are_compared(bundle: Path) -> None:
    said: list[str] = []
    result = pipeline.bench_pipeline(
        bundle, variant="half", frames=16, rounds=2, threads=(1,), command="joulepath bench pipeline", say=said.append
    )
    overhead, live = result.tables
    assert said == ["1 thread: round 1 of 2", "1 thread: round 2 of 2", "1 thread: live sources"]
    assert overhead.title == "half, 16x24, 2 rounds of 16 frames"
    rounds = result.details["rounds"]["1 thread"]
    assert len(rounds) == 2
    for one in rounds:
        # A frame of the run holds an inference, and this model's takes microseconds.
        assert one["frame_ms"] > one["bare_ms"] > 0
        assert one["prepare_ms"] > 0
    assert [row[0] for row in live.rows] == ["1 thread", "1 thread"]
    for one in result.details["live"]["1 thread"]:
        assert one["frames"] == 16 - pipeline.WARM_FRAMES
        assert one["age_ms"]["median"] > 0
    assert [goal.what.split(",")[0] for goal in result.goals] == [
        "overhead over the bare invoke loop",
        "share of the camera's rate that is served",
        "frames lost",
    ]
    assert result.goals[0].met is False  # nothing can be within 5 % of microseconds


def test_an_unknown_variant_is_refused(bundle: Path) -> None:
    with pytest.raises(BenchError, match="has no variant 'nine'; it has: full, half, alone"):
        pipeline.bench_pipeline(bundle, variant="nine")


def test_too_few_frames_are_refused(bundle: Path) -> None:
    with pytest.raises(BenchError, match="--frames 10: a run needs more than 10 frames"):
        pipeline.bench_pipeline(bundle, frames=10)


def test_the_overhead_is_the_frames_time_over_the_models() -> None:
    one = pipeline.Round(frame_ms=104.0, bare_ms=100.0, infer_ms=101.0, prepare_ms=1.0, finish_ms=2.0, gap_ms=0.1)
    worse = replace(one, frame_ms=106.0)
    goals = list(pipeline._goals({1: [one, one, worse], 0: [one, worse, worse]}, {}))
    assert [goal.measured for goal in goals] == [pytest.approx(4.0), pytest.approx(6.0)]
    assert [goal.met for goal in goals] == [True, False]
    assert goals[1].what.endswith("every core")


def test_a_rate_is_that_of_all_frames_and_not_of_the_ends() -> None:
    steady = [number * 100_000_000 for number in range(40)]
    assert pipeline.rate_fps(steady) == pytest.approx(10.0)
    late = [steady[0] + 80_000_000, *steady[1:]]
    assert pipeline.rate_fps(late) == pytest.approx(10.0, rel=0.004)
