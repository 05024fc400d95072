"""What the planning controller foretells of real inferences, held against what came."""

from __future__ import annotations

import statistics
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.bench.interleave import Spread
from edge.bench.machine import describe_machine
from edge.bench.record import Goal, Result, Table, now_utc
from edge.config import Config
from edge.controller.contract import Controller, Decision, FrameSeen, Observation

CAMERA = "synthetic:360x480@15"
VARIANTS = 3
SETTLED_S = 60.0
AFTER_S = 25.0
NEXT_S = 1.0  # what a prediction is held against: the mean of the frames of the next second
GOAL_LATENCY_PERCENT = 3.0
GOAL_ENERGY_PERCENT = 5.0
_NS = 1e-9


@dataclass(frozen=True)
class Moment:
    """One decision: what was foretold of the variant that ran on, and the frames since the decision before."""

    at_s: float
    variant: str
    latency_ms: float | None
    energy_mj: float | None
    frames: tuple[FrameSeen, ...]


@dataclass(frozen=True)
class Errors:
    """Errors of predictions for one variant, percent of what came."""

    variant: str
    latency: tuple[float, ...]
    energy: tuple[float, ...]


class Watched:
    """A controller that may use one variant only, and whose decisions are kept."""

    def __init__(self, base: Controller, only: str, kept: list[Moment]) -> None:
        self._base, self._only, self._kept = base, only, kept

    def initial(self) -> Any:
        return self._base.initial()

    def decide(self, state: Any, seen: Observation) -> tuple[Any, Decision]:
        candidates = tuple(replace(c, usable=c.usable and c.id == self._only) for c in seen.candidates)
        state, decision = self._base.decide(state, replace(seen, candidates=candidates))
        foretold = decision.expected
        self._kept.append(
            Moment(
                seen.monotonic_ns * _NS,
                decision.variant,
                foretold.get("latency_ms"),
                foretold.get("energy_mj"),
                seen.frames,
            )
        )
        return state, decision


def errors(moments: Sequence[Moment], settled_s: float = SETTLED_S, next_s: float = NEXT_S) -> Errors:
    """Errors of the predictions made after `settled_s` on the variant, against the mean of the `next_s` after each.

    Of moments of one variant. A prediction with no frames after it, or none of known energy, is held against nothing.
    """
    latency, energy = [], []
    for number, moment in enumerate(moments):
        if moment.at_s - moments[0].at_s < settled_s:
            continue
        later = [m for m in moments[number + 1 :] if m.at_s <= moment.at_s + next_s]
        frames = [frame for m in later for frame in m.frames if frame.variant == moment.variant]
        if frames and moment.latency_ms is not None:
            came_ms = statistics.fmean(frame.infer_ms for frame in frames)
            latency.append(100 * abs(moment.latency_ms / came_ms - 1))
        known = [frame.energy_mj for frame in frames if frame.energy_mj is not None]
        if known and moment.energy_mj is not None:
            energy.append(100 * abs(moment.energy_mj / statistics.fmean(known) - 1))
    return Errors(moments[0].variant if moments else "", tuple(latency), tuple(energy))


def bench_prediction(
    bundle: Path, *, camera: str = CAMERA, command: str = "", say: Callable[[str], None] = lambda line: None
) -> Result:
    """Run the whole daemon with real inference, one variant after the other, without a profile."""
    from edge.bundle import load_bundle

    machine, started = describe_machine(("ai-edge-litert", "tflite-runtime", "numpy")), now_utc()
    names = [variant.id for variant in load_bundle(bundle).manifest.variants]
    chosen = [names[round(i * (len(names) - 1) / (VARIANTS - 1))] for i in range(VARIANTS)]
    found = []
    for name in chosen:
        say(f"{name}: {SETTLED_S + AFTER_S:g} s")
        moments = _run(bundle, camera, name)
        found.append(errors([moment for moment in moments if moment.variant == name], SETTLED_S))
    latency = [value for one in found for value in one.latency]
    energy = [value for one in found for value in one.energy]
    return Result(
        name="prediction",
        title="What the controller foretells, and what came",
        command=command,
        machine=machine,
        started_utc=started,
        method=(
            f"The whole daemon on camera `{camera}`, one inference thread, the planning controller at its defaults, "
            f"kept to one variant by declaring the others unusable; {len(chosen)} variants, each in a run of its own.",
            f"From {SETTLED_S:g} s on, each decision's expected latency and energy of a frame (four a second) is held "
            f"against the mean over the frames of the {NEXT_S:g} s after it.",
            "Latencies are measured. Energy is the simulated board's, modelled from what really ran, with its noise: "
            "it shows how well the controller follows a meter, not what a board draws.",
        ),
        tables=(_table(found),),
        goals=(
            Goal("latency, median error", _median(latency), GOAL_LATENCY_PERCENT, " %", at_most=True),
            Goal("energy of a frame, median error", _median(energy), GOAL_ENERGY_PERCENT, " %", at_most=True),
        ),
        details={one.variant: {"latency": one.latency, "energy": one.energy} for one in found},
    )


def _run(bundle: Path, camera: str, only: str) -> list[Moment]:
    from edge.daemon import Daemon, RunOptions

    moments: list[Moment] = []
    with tempfile.TemporaryDirectory(prefix="joulepath-bench-") as folder:
        options = RunOptions(bundle, camera, "simulated", Path(folder) / "journal.db", pin=None, threads=1)
        with Daemon(options) as daemon:
            controller = Config().controller
            watched = Watched(controller.make(), only, moments)
            daemon.steward.replace_controller(watched, int(controller.period_s / _NS))
            timer = threading.Timer(SETTLED_S + AFTER_S, daemon.stop)
            timer.start()
            try:
                daemon.run()
            finally:
                timer.cancel()
    return moments


def _table(found: Sequence[Errors]) -> Table:
    rows = []
    for one in found:
        for what, values in (("latency", one.latency), ("energy of a frame", one.energy)):
            if values:
                spread = Spread.of(list(values))
                rows.append((one.variant, what, len(values), round(spread.median, 2), round(spread.p90, 2)))
    return Table(
        "errors of predictions",
        ("variant", "what", "predictions", "median error, %", "90th percentile, %"),
        tuple(rows),
    )


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def prediction_command(
    bundle: Annotated[Path | None, typer.Option(help="bundle directory; the shipped one when absent")] = None,
    camera: Annotated[str, typer.Option(help="the camera, as `joulepath run` takes it")] = CAMERA,
    record: Annotated[Path | None, typer.Option(help="write NAME.json and NAME.md into this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What the controller foretells of latency and energy, against what came, on real inference. Five minutes.

    Example:

      joulepath bench prediction --record docs/bench
    """
    from edge.bench.output import finish, note, own_command
    from edge.demo.run import BUNDLE

    finish(bench_prediction(bundle or BUNDLE, camera=camera, command=own_command(), say=note), record, as_json)
