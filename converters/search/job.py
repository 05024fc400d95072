"""The search from weights to three files: paths.json, frontier.json, report.html."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.evaluate import readable
from converters.families import segformer
from converters.paths import Choice, Compensation, ExecutionPath, path_to_json
from converters.search.budgets import Met, budgets, meet
from converters.search.contract import Measured, Outcome, Refused, Say
from converters.search.energy import EnergyModel
from converters.search.errors import SearchError
from converters.search.evaluator import SegformerEvaluator, SegformerSpec
from converters.search.finals import Finals, judge
from converters.search.ledger import Ledger
from converters.search.optuna_search import Sampler, explore
from converters.search.pareto import frontier
from converters.search.pool import Processes, Workers
from converters.search.ray_pool import RayWorkers
from converters.search.remember import Remembering
from converters.search.running import Running, interleaved
from converters.search.slimming import Per, Step, slim
from converters.search.space import KNOBS, SearchSpace
from edge.errors import UsageError

DEFAULT_SPEEDUPS = (1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
LEDGER, REFERENCE = "ledger.jsonl", "reference.json"
_REFERENCE_ROUNDS = 60


@dataclass(frozen=True)
class SearchJob:
    """What to search for. `out` keeps the ledger: the same job given again goes on where it was.

    `calibration` and `search_set` are dataset specs (``images:DIR`` for a search set without labels); `dataset` is what
    is reported on. `table` is the latency table of the target board; without one paths are timed on this machine. With
    an `energy` model cuts are chosen by the millijoule instead of the millisecond.
    """

    weights: str
    size: tuple[int, int]
    calibration: str
    search_set: str
    out: Path
    dataset: str | None = None
    table: Path | None = None
    latencies_ms: Sequence[float] = ()
    speedups: Sequence[float] = ()
    trials: int = 64
    seed: int = 0
    sampler: Sampler = "nsga2"
    workers: int = 1
    ray: str | None = None
    calibration_images: int = 32
    search_images: int = 64
    limit: int | None = None
    knobs: Sequence[str] = KNOBS
    choice: Choice = "importance"
    compensation: Compensation = "ridge"
    energy: EnergyModel | None = None


@dataclass(frozen=True)
class Found:
    """What a search knows in the end, for the report.

    `seen` are all paths evaluated in the order of asking, with their names; `steps` the cuts that slimming took.
    """

    job: SearchJob
    full: Measured
    seen: tuple[Outcome, ...]
    steps: tuple[Step, ...]
    met: tuple[Met, ...]
    finals: Finals
    refused: tuple[Refused, ...]
    labels: tuple[str, ...]
    agreement: bool
    evaluated: int

    @property
    def measured(self) -> tuple[Measured, ...]:
        """Those that could be built."""
        return tuple(each for each in self.seen if isinstance(each, Measured))


def search(job: SearchJob, say: Say = lambda _: None) -> Found:
    """Search, judge what was found and write the three files. Raises JoulepathError; what finished is kept."""
    say(f"reading {job.weights}")
    weights = segformer.load(job.weights)
    spec = _spec(job)
    spec.indices()  # sets that are too small are better told of now than after minutes
    if job.dataset is not None:
        with readable(job.dataset):
            pass
    space = SearchSpace.of(
        weights.config.depths, weights.config.decoder_width, job.size, job.knobs, job.choice, job.compensation
    )
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(job.out / LEDGER))
        if job.table is None:
            spec = replace(spec, reference_ms=_reference_ms(job, spec, say))
        fingerprint = spec.fingerprint
        workers = _workers(job, spec, say)
        stack.callback(workers.close)
        if len(ledger):
            say(f"{len(ledger)} evaluations are known from before ({ledger.file})")
        if ledger.damaged:
            say(f"{ledger.damaged} lines of {ledger.file} were damaged; their evaluations are repeated")
        evaluate = Remembering(workers, ledger, fingerprint, job.size, say, energy=job.energy)
        full, steps, met = _explored(job, space, evaluate, say)
    return _finished(job, spec, full, steps, met, evaluate, weights.config.labels, say)


def _explored(
    job: SearchJob, space: SearchSpace, evaluate: Remembering, say: Say
) -> tuple[Measured, list[Step], list[Met]]:
    say("the full path")
    (full,) = evaluate([space.full()])
    if isinstance(full, Refused):
        raise SearchError(f"{job.weights}: the full path cannot be evaluated: {full.reason}")
    say(f"full: {100 * full.accuracy:.1f} % at {full.latency_ms:.1f} ms ({full.latency_kind})")
    speedups = job.speedups or (() if job.latencies_ms else DEFAULT_SPEEDUPS)
    asked = budgets(job.latencies_ms, speedups, full.latency_ms)
    per: Per = "ms" if job.energy is None else "mj"
    steps = slim(full, space, evaluate, asked[-1].latency_ms, per=per, say=say)
    say("every ladder at once")
    together = [each for each in evaluate(space.evenly()) if isinstance(each, Measured)]
    if job.trials:
        seeds = list(dict.fromkeys([full, *(step.measured for step in steps), *together]))
        explore(space, evaluate, seeds, trials=job.trials, seed=job.seed, sampler=job.sampler, say=say)
    kept = frontier(evaluate.measured()).kept
    met = [meet(budget, kept) for budget in asked]
    for each in met:
        say(
            each.reason
            or f"{each.budget.asked} ({each.budget.latency_ms:.1f} ms): {100 * each.path.accuracy:.1f} % "
            f"at {each.path.latency_ms:.1f} ms"
        )
    return full, steps, met


def _finished(
    job: SearchJob,
    spec: SegformerSpec,
    full: Measured,
    steps: Sequence[Step],
    met: Sequence[Met],
    evaluate: Remembering,
    labels: tuple[str, ...],
    say: Say,
) -> Found:
    names = _names(full, met, evaluate.measured())

    def named(each: Measured) -> Measured:
        return replace(each, path=replace(each.path, name=names[each.path]))

    chosen = [named(each) for each in dict.fromkeys([full, *(m.path for m in met)])]
    evaluator = SegformerEvaluator(spec)
    finals = judge(
        lambda path: evaluator.built(path)[1],
        chosen,
        labels,
        job.size,
        dataset=job.dataset,
        fallback=job.search_set,
        limit=job.limit,
        keep_predicted=job.table is not None,
        say=say,
    )
    seen = tuple(named(each) if isinstance(each, Measured) else each for each in evaluate.seen.values())
    dominated = frontier([each for each in seen if isinstance(each, Measured)]).refused
    impossible = tuple(each for each in seen if isinstance(each, Refused))
    found = Found(
        job=job,
        full=named(full),
        seen=seen,
        steps=tuple(replace(step, measured=named(step.measured)) for step in steps),
        met=tuple(replace(each, path=named(each.path)) for each in met),
        finals=finals,
        refused=(*finals.refused, *dominated, *impossible),
        labels=labels,
        agreement=job.search_set.startswith("images:"),
        evaluated=evaluate.evaluated,
    )
    write_results(found, say)
    return found


def _names(full: Measured, met: Sequence[Met], seen: Sequence[Measured]) -> dict[ExecutionPath, str]:
    """``full``, ``p1`` and on for what meets a budget, the slowest first, ``c1`` and on for the others as asked for."""
    names = {full.path: "full"}
    for each in sorted(dict.fromkeys(m.path for m in met), key=lambda m: -m.latency_ms):
        names.setdefault(each.path, f"p{len(names)}")
    others = [each.path for each in seen if each.path not in names]
    return {**names, **{path: f"c{number}" for number, path in enumerate(others, start=1)}}


def _spec(job: SearchJob) -> SegformerSpec:
    if job.table is not None and not job.table.is_file():
        raise UsageError(f"--table {job.table}: no such file; joulepath study latency writes one")
    return SegformerSpec(
        weights=job.weights,
        size=job.size,
        calibration=job.calibration,
        search_set=job.search_set,
        calibration_images=job.calibration_images,
        search_images=job.search_images,
        table=job.table,
    )


def _workers(job: SearchJob, spec: SegformerSpec, say: Say) -> Workers:
    if job.ray is not None:
        return RayWorkers(spec, job.ray, say)
    return Processes(spec, job.workers, say)


def _reference_ms(job: SearchJob, spec: SegformerSpec, say: Say) -> float:
    """The full path's time on this machine, once for a search: when it goes on later, it goes on with the same."""
    file = job.out / REFERENCE
    if file.is_file():
        try:
            return float(json.loads(file.read_text(encoding="utf-8"))["full_ms"])
        except (ValueError, TypeError, KeyError) as error:
            raise SearchError(f"{file}: is damaged; remove it, and the full path is timed again") from error
    say("timing the full path")
    weights = segformer.load(job.weights)
    network = segformer.folded(segformer.network(weights, weights.space.full()))
    from converters.litert import to_litert

    builders = segformer.builders({"path": network}, job.size)
    with Running(to_litert(builders, {segformer.INPUT: (1, *job.size, 3)}).content, spec.threads) as model:
        full_ms = round(float(np.median(interleaved({"full": model}, _REFERENCE_ROUNDS)["full"])), 3)
    write_whole(file, json.dumps({"full_ms": full_ms}) + "\n")
    return full_ms


# -- files ------------------------------------------------------------------------------------------------------------


def write_results(found: Found, say: Say = lambda _: None) -> None:
    """Write paths.json, frontier.json and report.html to the job's folder. Raises SearchError."""
    from converters.search.report import page

    out = found.job.out
    paths = {"paths": [path_to_json(final.path) for final in found.finals.kept]}
    write_whole(out / "paths.json", json.dumps(paths, indent=1) + "\n")
    write_whole(out / "frontier.json", json.dumps(frontier_json(found), indent=1, allow_nan=False) + "\n")
    write_whole(out / "report.html", page(found))
    say(f"{out}: paths.json, frontier.json, report.html; {len(found.finals.kept)} paths stand")


def frontier_json(found: Found) -> dict[str, Any]:
    """Everything that was found out, in numbers."""
    finals = found.finals
    return {
        "weights": found.job.weights,
        "size": list(found.job.size),
        "search_set": found.job.search_set,
        "search_metric": "agreement mIoU" if found.agreement else "mIoU",
        "dataset": finals.dataset,
        "images": finals.images if finals.dataset else None,
        "latency_table": None if found.job.table is None else found.job.table.name,
        "seed": found.job.seed,
        "evaluated": len(found.seen),
        "paths": [
            {
                **path_to_json(each.path),
                "accuracy": _rounded(each.accuracy),
                "confidence_interval": None
                if each.score is None
                else list(map(_rounded, each.score.confidence_interval)),
                "difference": None if each.difference is None else _rounded(each.difference.miou),
                "difference_interval": None
                if each.difference is None
                else list(map(_rounded, each.difference.interval)),
                "search_accuracy": _rounded(each.search.accuracy),
                "agreement": _rounded(each.agreement),
                "latency_ms": _rounded(each.latency_ms),
                "latency_kind": each.latency_kind,
                "searched_latency_ms": _rounded(each.search.latency_ms),
                "measured_here_ms": _rounded(each.here_ms),
                "speedup_here": _rounded(each.speedup),
                "speedup_range": list(map(_rounded, each.speedup_range)),
                "macs": each.search.macs,
                "parameters": each.search.parameters,
                "bytes": each.search.bytes,
                "energy_mj": None if each.search.energy_mj is None else _rounded(each.search.energy_mj),
                "energy_kind": None if each.search.energy_mj is None else "modelled",
            }
            for each in finals.kept
        ],
        "budgets": [
            {
                "asked": m.budget.asked,
                "latency_ms": _rounded(m.budget.latency_ms),
                "path": m.path.path.name,
                "unmet": m.reason,
            }
            for m in found.met
        ],
        "refused": [{**path_to_json(each.path), "reason": each.reason} for each in found.refused],
    }


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def write_whole(file: Path, text: str) -> None:
    """The file appears, or is replaced, whole or not at all. Raises SearchError."""
    beside = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        Path(beside).chmod(0o644)
        Path(beside).replace(file)
    except OSError as error:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)
        raise SearchError(
            f"{file}: cannot be written ({error.strerror}); evaluations are kept: make room, then give the same "
            "command again"
        ) from error
