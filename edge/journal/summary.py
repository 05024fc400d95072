"""What a run came to, from its roll-ups: no frame is read, so millions of frames take milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from boards.sensor import Method
from edge.journal.reader import JournalReader
from edge.journal.rollup import QUANTITIES, RollUps, Tally, Totals
from edge.journal.rows import EventRow, Level, RunRow, VariantRow

PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}
LABELS = {Method.UNAVAILABLE: "unavailable", Method.MODELLED: "modelled", Method.MEASURED: "measured"} | {
    Method.COUNTER: "counter"
}


@dataclass(frozen=True)
class Spread:
    """A quantity over frames: mean, exact ends, and percentiles within 0.5 % (`edge.journal.sketch`)."""

    mean: float
    min: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True)
class VariantSummary:
    """Frames of one variant whose energy was obtained in one way. `energy_j` is None when it was not.

    `uncertainty_j` adds up the uncertainties of all frames, as if every error pointed the same way: an upper bound.
    `fps` is frames over the time that their windows cover.
    """

    variant: str
    path: str
    precision: str
    engine: str
    method: str
    frames: int
    skipped: int
    reused: int  # of the frames: answered with an earlier answer, as they showed nothing new
    fps: float | None
    seconds: float
    energy_j: float | None
    uncertainty_j: float | None
    power_w: float | None
    frame_energy_j: Spread | None
    infer_ms: Spread | None
    age_ms: Spread | None
    miou: float | None


@dataclass(frozen=True)
class SwitchSummary:
    """One change of variant, `at_s` after the run's start."""

    at_s: float
    before: str | None
    after: str
    reason: str
    cost_ms: float | None


@dataclass(frozen=True)
class EventSummary:
    """One event, `at_s` after the run's start."""

    at_s: float
    level: str
    kind: str
    message: str


@dataclass(frozen=True)
class RunSummary:
    """One run. `energy_j` and `uncertainty_j` are by method: joules of different methods are not added up."""

    run: int
    started_utc: str
    clock_synchronised: bool
    outcome: str
    board: str
    bundle: str
    rails_included: tuple[str, ...]
    frames: int
    skipped: int
    reused: int
    seconds: float
    fps: float | None
    energy_j: dict[str, float]
    uncertainty_j: dict[str, float]
    frames_without_energy: int
    infer_ms: Spread | None
    age_ms: Spread | None
    miou: float | None
    variants: tuple[VariantSummary, ...]
    switches: tuple[SwitchSummary, ...]
    events: tuple[EventSummary, ...]


def summarise(journal: JournalReader, run: RunRow) -> RunSummary:
    """The summary of one run; raises JournalError when the journal cannot be read."""
    rollups = journal.rollups(run.id)
    names = journal.variants()
    clock = journal.clock(run.id)
    started_ns = clock.utc_ns(run.start_ns) or run.started_utc_ns
    whole = _whole(rollups)
    seconds = whole["duration_ns"].sum / 1e9
    energy: dict[str, float] = {}
    uncertainty: dict[str, float] = {}
    for key, totals in rollups.items():
        if totals["energy_uj"].count:
            label = LABELS[Method(key.method)]
            energy[label] = energy.get(label, 0.0) + totals["energy_uj"].sum / 1e6
            uncertainty[label] = uncertainty.get(label, 0.0) + totals["uncertainty_uj"].sum / 1e6
    return RunSummary(
        run=run.id,
        started_utc=datetime.fromtimestamp(started_ns / 1e9, timezone.utc).isoformat(timespec="seconds"),
        clock_synchronised=clock.synchronised,
        outcome=run.outcome or "going on",
        board=run.board,
        bundle=run.bundle,
        rails_included=run.rails_included,
        frames=whole["duration_ns"].count,
        skipped=whole["skipped"].sum,
        reused=whole["reused"].sum,
        seconds=seconds,
        fps=whole["duration_ns"].count / seconds if seconds else None,
        energy_j=energy,
        uncertainty_j=uncertainty,
        frames_without_energy=whole["duration_ns"].count - whole["energy_uj"].count,
        infer_ms=spread(whole["infer_us"], 1e3),
        age_ms=spread(whole["age_us"], 1e3),
        miou=_scaled(whole["miou_ppm"].mean, 1e6),
        variants=tuple(
            _variant(names.get(key.variant_id), key.variant_id, Method(key.method), totals)
            for key, totals in sorted(rollups.items())
        ),
        switches=tuple(
            SwitchSummary(
                at_s=(row.time_ns - run.start_ns) / 1e9,
                before=None if row.from_id is None else variant_name(names, row.from_id),
                after=variant_name(names, row.to_id),
                reason=row.reason,
                cost_ms=_scaled(row.cost_us, 1e3),
            )
            for row in journal.switches(run.id)
        ),
        events=tuple(_event(row, run) for row in journal.events(run.id)),
    )


def variant_name(names: dict[int, VariantRow], variant_id: int) -> str:
    """A variant's id in its bundle; its number where the journal does not know it."""
    return names[variant_id].name if variant_id in names else f"variant {variant_id}"


def spread(tally: Tally, scale: float) -> Spread | None:
    """A tally of integers as figures in a unit `scale` times as large; None where nothing is known."""
    if tally.mean is None or tally.min is None or tally.max is None:
        return None
    at = {name: (tally.quantile(q) or 0.0) / scale for name, q in PERCENTILES.items()}
    return Spread(mean=tally.mean / scale, min=tally.min / scale, max=tally.max / scale, **at)


def _whole(rollups: RollUps) -> Totals:
    sets = list(rollups.values())
    whole = {name: Tally() for name in QUANTITIES}
    for totals in sets:
        whole = {name: tally.plus(totals[name]) for name, tally in whole.items()}
    return whole


def _variant(known: VariantRow | None, number: int, method: Method, totals: Totals) -> VariantSummary:
    frames = totals["duration_ns"].count
    seconds = totals["duration_ns"].sum / 1e9
    energy = totals["energy_uj"]
    energy_j = energy.sum / 1e6 if energy.count else None
    return VariantSummary(
        variant=known.name if known else f"variant {number}",
        path=known.path if known else "",
        precision=known.precision if known else "",
        engine=known.engine if known else "",
        method=LABELS[method],
        frames=frames,
        skipped=totals["skipped"].sum,
        reused=totals["reused"].sum,
        fps=frames / seconds if seconds else None,
        seconds=seconds,
        energy_j=energy_j,
        uncertainty_j=totals["uncertainty_uj"].sum / 1e6 if totals["uncertainty_uj"].count else None,
        power_w=energy_j / seconds if energy_j is not None and seconds else None,
        frame_energy_j=spread(energy, 1e6),
        infer_ms=spread(totals["infer_us"], 1e3),
        age_ms=spread(totals["age_us"], 1e3),
        miou=_scaled(totals["miou_ppm"].mean, 1e6),
    )


def _event(row: EventRow, run: RunRow) -> EventSummary:
    level = Level(row.level).name.lower() if row.level in set(Level) else str(row.level)
    return EventSummary((row.time_ns - run.start_ns) / 1e9, level, row.kind, row.message)


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value / scale
