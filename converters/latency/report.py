"""A latency table as a result for people: findings with their verdicts, and how far predictions are to be trusted."""

from __future__ import annotations

from collections.abc import Iterator

from converters.latency.model import LatencyModel
from edge.bench.interleave import Spread
from edge.bench.machine import Machine
from edge.bench.record import Goal, Result, Table
from edge.study.findings import verdicts
from edge.study.table import LatencyTable

ERROR_GOAL = 5.0  # percent


def report(table: LatencyTable, command: str) -> Result:
    """The result of `joulepath study latency`."""
    model = LatencyModel(table)
    return Result(
        name="latency",
        title=f"What pieces of networks cost on {table.engine} {table.version}",
        command=command,
        machine=Machine(**{**table.machine, "flags": tuple(table.machine["flags"])}),
        started_utc=table.measured_utc,
        method=_method(table),
        tables=(*_finding_tables(table), *_prediction_tables(model)),
        goals=tuple(_goals(model)),
        notes=tuple(
            f"{verdict.finding.claim} {verdict.words[0].upper()}{verdict.words[1:]}." for verdict in verdicts(table)
        ),
        details={
            "board": table.board,
            "factor": model.correction.factor,
            "unit_ms": model.correction.unit_ms,
            "units": len(table.entries),
            "compared_ms": {name: entry.values_ms for name, entry in table.compared.items()},
            "networks": {name: whole.timing.model_dump(exclude_none=True) for name, whole in table.wholes.items()},
            "unit_times": {key: entry.model_dump(exclude_none=True) for key, entry in table.entries.items()},
        },
    )


def _finding_tables(table: LatencyTable) -> Iterator[Table]:
    for verdict in verdicts(table):
        rows = [
            (
                answer.pair.slow,
                answer.slow.median_ms,
                f"{100 * answer.slow.spread:.0f} %",
                answer.pair.fast,
                answer.fast.median_ms,
                f"{100 * answer.fast.spread:.0f} %",
                str(answer.ratio),
                {True: "holds", False: "does not hold", None: "open"}[answer.holds],
            )
            for answer in verdict.answers
        ]
        columns = ("this", "ms", "spread", "against", "ms", "spread", "times (95 %)", "the claim")
        yield Table(f"{verdict.finding.name}: {verdict.words}", columns, tuple(rows))
    others = sorted(
        set(table.compared) - {n for v in verdicts(table) for a in v.answers for n in (a.pair.slow, a.pair.fast)}
    )
    if others:
        rows_of_others = tuple(
            (name, table.compared[name].median_ms, f"{100 * table.compared[name].spread:.0f} %") for name in others
        )
        yield Table("for comparison", ("graph", "ms", "spread"), rows_of_others)


def _prediction_tables(model: LatencyModel) -> Iterator[Table]:
    checks = model.checks()
    if checks:
        rows = tuple((c.name, c.predicted_ms, c.measured_ms, f"{100 * c.error:+.1f} %") for c in checks)
        yield Table(
            f"held-out paths: predicted and measured ({len(model.table.entries)} units in the table)",
            ("path", "predicted ms", "measured ms", "error"),
            rows,
        )


def _goals(model: LatencyModel) -> Iterator[Goal]:
    errors = [100 * abs(check.error) for check in model.checks()]
    if errors:
        spread = Spread.of(errors)
        yield Goal(
            f"latency model: median error over {len(errors)} held-out paths (90 % of them within {spread.p90:.1f} %)",
            spread.median,
            ERROR_GOAL,
            " %",
            at_most=True,
        )


def _method(table: LatencyTable) -> tuple[str, ...]:
    threads = f"{table.threads} thread{'s' * (table.threads > 1)}"
    fitted = sum(whole.fitted for whole in table.wholes.values())
    found = [
        f"{table.engine} {table.version}, {threads}, float32, one process; only the inference is timed. Graphs take "
        "turns, shuffled, three rounds at a visit, visits spread over the whole time. Spread: the middle 80 % of "
        "rounds over the median. A turn in which the system gave the processor to somebody else is repeated; if that "
        "happens again and again, the thread's own processor time counts.",
        "Comparisons: a turn is one settling run, then runs for at least 2 ms. A ratio is taken round by round, with a "
        "95 % bootstrap interval; it counts as different when the whole interval lies above 1.05.",
    ]
    if table.entries:
        found.append(
            f"Units (a patch embedding, an attention with its residual addition, a feed-forward layer with its, a "
            f"decoder): a turn is one run after {table.between_bytes >> 20} MiB of other memory were written, so that "
            "weights and buffers are as cold as within a network. A prediction is the sum of a path's units, with a "
            f"factor and a constant a unit fitted to {fitted} whole networks; held-out paths are drawn by another seed "
            "and are not among those."
        )
    return tuple(found)
