"""The journal's, the meter's and the sampler's own measurements as results, held against what they should reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from edge.bench.interleave import Spread
from edge.bench.machine import describe_machine
from edge.bench.record import Goal, Result, Table, now_utc

if TYPE_CHECKING:
    from edge.bench.energy import Score
    from edge.bench.journal import JournalBench
    from edge.bench.sampling import Cost

MB = 1e6
SAMPLING_RATES_HZ = (50.0, 100.0)


def measure_journal(frames: int, command: str) -> Result:
    """Run the journal's benchmark: about two minutes and 1 GB of disk for 2.6 million frames."""
    from edge.bench.journal import bench_journal

    machine, started = describe_machine(("numpy",)), now_utc()
    found = bench_journal(frames)
    return Result(
        name="journal",
        title="Journal: how fast, how small, how gentle to a card",
        command=command,
        machine=machine,
        started_utc=started,
        method=(
            "One process, one writer; a new journal of the stated number of frames in batches, then its summary from "
            "roll-ups (median of the stated runs), opening with the check, and a whole day at 10 frames/s and three "
            "channels with a made-up clock at the default settings, on a journal that is already full.",
            "Bytes of the day: what SQLite hands to the kernel, and the pages that the kernel sends to the disk "
            "(/proc/self/io); WAL, checkpoints and retention deletes included.",
            f"SQLite {found.sqlite}",
        ),
        tables=(_journal_table(found),),
        goals=tuple(_journal_goals(found)),
        details=asdict(found),
    )


def _journal_table(found: JournalBench) -> Table:
    rows = (
        (f"ingest of {found.frames:,} frames, frames/s", found.ingest_frames_per_s),
        ("ingest, frames a second of processor time", found.ingest_frames_per_cpu_s),
        ("on disk, bytes a frame", found.bytes_per_frame),
        (f"summary of all runs, s (median of {found.summary_runs})", found.summary_s),
        ("open, check and close, s", found.open_and_check_s),
        (f"a day of {found.day_frames:,} frames: handed to the kernel, MB", found.day_wchar_bytes / MB),
        ("the same day: pages sent to the disk, MB", found.day_write_bytes / MB),
        ("the same day: processor time, s", found.day_cpu_s),
        ("size of that full journal, MB", found.day_journal_bytes / MB),
    )
    return Table("Journal", ("what", "measured"), rows)


def _journal_goals(found: JournalBench) -> list[Goal]:
    most_mb = max(found.day_wchar_bytes, found.day_write_bytes) / MB
    return [
        Goal("ingest in batches", found.ingest_frames_per_s, 200_000, " frames/s"),
        Goal("on disk", found.bytes_per_frame, 70, " bytes a frame", at_most=True),
        Goal(f"summary of {found.frames:,} frames", found.summary_s, 2.0, " s", at_most=True),
        Goal("written a day at 10 fps, the larger of both counts", most_mb, 200, " MB", at_most=True),
    ]


def measure_energy(total_s: float, seed: int, command: str) -> Result:
    """Score the meter on every known waveform at 100 Hz; all times are simulated."""
    from edge.bench.energy import cases, score

    machine, started = describe_machine(()), now_utc()
    scores = [score(case, seed=seed + number) for number, case in enumerate(cases(total_s, seed))]
    return Result(
        name="energy",
        title="Energy: is a frame's figure right, and does its uncertainty hold?",
        command=command,
        machine=machine,
        started_utc=started,
        method=(
            f"{total_s:g} s of each waveform, whose integral is exact, sampled at 100 Hz with jitter by the real "
            "meter; times are simulated, so the result depends on the seed alone, not on the machine.",
            "sum: (sum of frame energies - true integral) / true integral. covered: share of frames whose true error "
            "is within the stated uncertainty. ratio: median stated uncertainty / median true error.",
            "Goals are stated for the worst waveform.",
        ),
        tables=(_energy_table(scores),),
        goals=tuple(_energy_goals(scores)),
        details={"scores": [asdict(one) | {"holds": one.holds} for one in scores], "seed": seed},
    )


def _energy_table(scores: Sequence[Score]) -> Table:
    rows = tuple(
        (
            one.name,
            one.frames,
            f"{100 * one.sum_error:+.4f}",
            100 * one.coverage,
            one.median_error_uj,
            one.median_uncertainty_uj,
            one.ratio,
            "yes" if one.telescopes else "no",
            "yes" if one.holds else "no",
        )
        for one in scores
    )
    columns = (
        "waveform", "frames", "sum off by %", "covered %", "median error uJ", "median stated uJ", "ratio",
        "sum is the meter's", "all hold",
    )  # fmt: skip
    return Table("Frames against the exact integral", columns, rows)


def _energy_goals(scores: Sequence[Score]) -> list[Goal]:
    off = max(scores, key=lambda one: abs(one.sum_error))
    bare = min(scores, key=lambda one: one.coverage)
    wide = max(scores, key=lambda one: one.ratio)
    apart = sum(not one.telescopes for one in scores)
    return [
        Goal(
            f"sum of frames against the true integral ({off.name})", 100 * abs(off.sum_error), 0.5, " %", at_most=True
        ),
        Goal("waveforms whose frames do not add up to the meter's integral", apart, 0, at_most=True),
        Goal(f"frames whose error the uncertainty covers ({bare.name})", 100 * bare.coverage, 95, " %"),
        Goal(f"median uncertainty over median error ({wide.name})", wide.ratio, 3, "x", at_most=True),
    ]


def measure_sampling(seconds: float, runs: int, command: str) -> Result:
    """Sample three rails in real time at two rates in turn; the process does nothing else."""
    from edge.bench.sampling import measure

    machine, started = describe_machine(("numpy",)), now_utc()
    costs = [measure(rate_hz, seconds) for _ in range(runs) for rate_hz in SAMPLING_RATES_HZ]
    return Result(
        name="sampling",
        title="Sampling: what reading three rails costs",
        command=command,
        machine=machine,
        started_utc=started,
        method=(
            f"The real sampler and meter on the files of three INA226 in a folder, {runs} runs of {seconds:g} s at "
            "each rate, in turn; processor time of the whole process. Reading a real chip adds the time of its bus.",
        ),
        tables=(_sampling_table(costs),),
        goals=(
            Goal("three rails at 50 Hz, of one core, median", _median_percent(costs, 50.0), 1.5, " %", at_most=True),
        ),
        details={"runs": [asdict(cost) for cost in costs]},
    )


def _median_percent(costs: Sequence[Cost], rate_hz: float) -> float:
    return Spread.of([100 * cost.core_share for cost in costs if cost.rate_hz == rate_hz]).median


def _sampling_table(costs: Sequence[Cost]) -> Table:
    rows = []
    for rate_hz in SAMPLING_RATES_HZ:
        found = [cost for cost in costs if cost.rate_hz == rate_hz]
        rows.append(
            (
                rate_hz,
                _median_percent(costs, rate_hz),
                sum(cost.reads for cost in found),
                sum(cost.missed for cost in found),
                max(cost.longest_gap_ms for cost in found),
            )
        )
    return Table("Three rails", ("Hz", "% of one core", "reads", "missed ticks", "longest gap ms"), tuple(rows))
