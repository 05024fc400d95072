"""A search as a page of figures under docs/bench: what it found, and how near its foretold times came."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from converters.search.finals import Final
from converters.search.identity import describe
from converters.search.job import Found, frontier_json
from edge.bench.machine import describe_machine
from edge.bench.record import Goal, Result, Table

LOST_AT_MOST_POINTS, FASTER_AT_LEAST, OFF_AT_MOST_PERCENT = 1.4, 1.5, 5.0
_LIBRARIES = ("ai-edge-litert", "numpy", "optuna", "tensorflow-cpu", "tensorflow")
_COLUMNS = (
    "path", "cut", "mIoU %", "points (95 %)", "agreement %", "M MACs", "foretold ms", "median ms", "off %",
    "times faster (p10-p90)",
)  # fmt: skip


def result_of(found: Found, command: str, started_utc: str) -> Result:
    """The page of a search whose paths were scored on a labelled set."""
    job, full = found.job, found.full
    return Result(
        name="search",
        title="What a search found, without training",
        command=command,
        machine=describe_machine(_LIBRARIES),
        started_utc=started_utc,
        method=(
            f"{Path(job.weights).name}, {job.size[0]}x{job.size[1]}: {found.evaluated} paths evaluated now, "
            f"{len(found.seen)} in all (the ledger keeps earlier ones), {len(found.steps)} cuts of slimming, "
            f"{job.trials} trials of {job.sampler}, seed {job.seed}.",
            f"Chosen by {job.search_images} images of the search set, repaired by {job.calibration_images} of the "
            f"calibration set, unlabelled; scored on {found.finals.images} images that neither saw, masks at their own "
            "resolution, intervals by paired block bootstrap. No weight was trained.",
            "median ms: ai-edge-litert, one thread, all paths taking turns; faster: ratios to the folded full path in "
            "the same round. foretold ms: the sum of the table's units, what the search went by.",
        ),
        tables=(Table("Paths that stand", _COLUMNS, tuple(_row(one, found) for one in found.finals.kept)),),
        goals=(_fastest(found), *_off(found)),
        notes=tuple(f"refused: {one.reason}" for one in found.finals.refused)
        + tuple(met.reason for met in found.met if met.reason is not None),
        details={"frontier": frontier_json(found), "full_searched_percent": 100 * full.accuracy},
    )


def _row(one: Final, found: Found) -> tuple[str | float | None, ...]:
    low, high = one.speedup_range
    points = None
    if one.difference is not None:
        points = "{:+.2f} ({:+.2f} to {:+.2f})".format(
            *(100 * value for value in (one.difference.miou, *one.difference.interval))
        )
    return (
        one.path.name,
        describe(one.path, found.full.path),
        f"{100 * one.accuracy:.2f}",
        points,
        f"{100 * one.agreement:.1f}",
        one.search.macs // 10**6,
        one.search.latency_ms,
        one.here_ms,
        f"{100 * _error(one):+.1f}",
        f"{one.speedup:.2f} ({low:.2f}-{high:.2f})",
    )


def _error(one: Final) -> float:
    return one.search.latency_ms / one.here_ms - 1


def _fastest(found: Found) -> Goal:
    near = [one for one in found.finals.kept if one.difference and -100 * one.difference.miou <= LOST_AT_MOST_POINTS]
    return Goal(
        f"fastest path at most {LOST_AT_MOST_POINTS} points below full, times the folded full path",
        max((one.speedup for one in near), default=None),
        FASTER_AT_LEAST,
        "x",
        why_unknown="the paths were not scored on a labelled set",
    )


def _off(found: Found) -> tuple[Goal, ...]:
    """How far foretold times, and foretold speed-ups, are from what came. A machine that is slower today than when its
    table was made shifts all times by one factor, which leaves speed-ups as they are."""
    predicted = [one for one in found.finals.kept if one.search.latency_kind == "predicted"]
    times = [abs(_error(one)) for one in predicted]
    full = found.full
    cut = [one for one in predicted if one.path.name != full.path.name]
    speedups = [abs(full.latency_ms / one.search.latency_ms / one.speedup - 1) for one in cut]
    why = "paths were timed, not foretold: no --table was given"
    return tuple(
        Goal(
            f"{what} foretold of the {len(errors)} paths that stand, median error",
            100 * median(errors) if errors else None,
            OFF_AT_MOST_PERCENT,
            " %",
            at_most=True,
            why_unknown=why,
        )
        for what, errors in (("latency", times), ("speed-up over the full path", speedups))
    )
