"""What each variant costs on this machine: latency and, where the board can tell, energy. Stored for the controller.

Variants take turns in short bursts, so that heat, clocks and other work meet all of them alike. A burst is one window
of the meter: its energy divided by its inferences is what one inference costs with everything else that the total rail
feeds; `idle_w` beside it says how much of that the board draws anyway.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from boards.board import Activity, Board
from boards.sensor import Method
from edge.bench.machine import describe_machine
from edge.bundle.load import Bundle
from edge.engines.contract import EngineError
from edge.errors import JoulepathError
from edge.meter import Meter
from edge.prepare import Frame
from edge.sampler import Sampler
from edge.variants import Pool

NS_PER_S = 1_000_000_000
FORMAT = 1
BURST_S = 0.4  # long enough for 20 samples at 50 Hz
LEAST_ROUNDS = 3
Clock = Callable[[], int]
OnRound = Callable[[int, int], None]  # rounds done, rounds in all


@dataclass(frozen=True)
class Cost:
    """One variant on this machine; times in ms. Energies are None where the board cannot tell."""

    latency_ms: float | None  # median
    p10_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    runs: int = 0
    energy_mj: float | None = None  # median over bursts, for one inference
    energy_p10_mj: float | None = None
    energy_p90_mj: float | None = None
    method: str = "unavailable"
    why_unknown: str | None = None


@dataclass(frozen=True)
class Profile:
    """A bundle's costs, and what they were measured on."""

    bundle: str
    digest: str
    threads: int
    library: str
    machine: dict[str, Any]
    board: str
    measured_utc: str
    rounds: int
    idle_w: float | None
    costs: dict[str, Cost] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def latencies_ms(self) -> dict[str, float]:
        """Median latency by variant id, of those that could be measured."""
        return {name: cost.latency_ms for name, cost in self.costs.items() if cost.latency_ms is not None}

    @property
    def energies_mj(self) -> dict[str, float]:
        """Median energy of one inference by variant id, of those that could be measured."""
        return {name: cost.energy_mj for name, cost in self.costs.items() if cost.energy_mj is not None}


def measure(
    bundle: Bundle,
    *,
    board: Board | None = None,
    threads: int = 1,
    library: str = "auto",
    seconds: float = 20.0,
    seed: int = 0,
    clock: Clock = time.monotonic_ns,
    on_round: OnRound = lambda done, total: None,
) -> Profile:
    """Run every variant in turn for `seconds` in all. A variant that cannot run is listed with the reason.

    Raises EngineError when none can.
    """
    variants = [v.id for v in bundle.manifest.variants]
    files = len({v.file for v in bundle.manifest.variants})
    with ExitStack() as stack:
        pool = stack.enter_context(Pool(bundle, threads=threads, library=library, max_resident_files=files))
        broken = _load(pool, variants)
        working = [v for v in variants if v not in broken]
        if not working:
            raise EngineError(next(iter(broken.values())))
        gauge = _Gauge(board, clock)
        stack.callback(gauge.close)
        idle_w = gauge.idle()
        loaded = pool.wait(working[0])
        bursts: dict[str, list[_Burst]] = {v: [] for v in working}
        rounds = max(LEAST_ROUNDS, round(seconds / (BURST_S * len(working))))
        frame = _frame(seed)
        for done in range(1, rounds + 1):
            for variant in working:
                bursts[variant].append(_burst(pool, variant, frame, gauge, clock))
            on_round(done, rounds)
        gauge.settle()
        costs = {v: _cost(bursts[v], gauge) for v in working}
    costs.update({v: Cost(None, why_unknown=reason) for v, reason in broken.items()})
    return Profile(
        bundle=bundle.manifest.name,
        digest=bundle.digest,
        threads=pool.threads,
        library=f"{loaded.library} {loaded.version}",
        machine=asdict(describe_machine(("numpy", "opencv-python-headless"))),
        board=board.info.name if board is not None else "none",
        measured_utc=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        rounds=rounds,
        idle_w=idle_w,
        costs={v: costs[v] for v in variants},
    )


@dataclass(frozen=True)
class _Burst:
    start_ns: int
    end_ns: int
    times_ms: tuple[float, ...]


def _load(pool: Pool, variants: Sequence[str]) -> dict[str, str]:
    """Load all; the reasons of those that cannot serve."""
    broken = {}
    for variant in variants:
        try:
            pool.wait(variant, timeout_s=300)
        except EngineError as error:
            broken[variant] = str(error)
    return broken


def _burst(pool: Pool, variant: str, frame: Frame, gauge: _Gauge, clock: Clock) -> _Burst:
    pool.infer(variant, frame)  # settles caches after the variant before; not measured
    gauge.note(variant, True)
    first = pool.infer(variant, frame)
    times, result = [first], first
    while result.end_ns - first.start_ns < BURST_S * NS_PER_S or len(times) < 2:
        pool.submit(variant, 0)
        result = pool.result()
        times.append(result)
    gauge.note(variant, False)
    return _Burst(first.start_ns, result.end_ns, tuple((t.end_ns - t.start_ns) / 1e6 for t in times))


def _cost(bursts: Sequence[_Burst], gauge: _Gauge) -> Cost:
    times = np.array([t for burst in bursts for t in burst.times_ms])
    p10, median, p90, p95 = (float(p) for p in np.percentile(times, [10, 50, 90, 95]))
    energies = [e for burst in bursts if (e := gauge.energy_mj(burst)) is not None]
    if not energies:
        return Cost(median, p10, p90, p95, len(times))
    low, middle, high = (float(p) for p in np.percentile(energies, [10, 50, 90]))
    return Cost(median, p10, p90, p95, len(times), middle, low, high, gauge.method.name.lower())


class _Gauge:
    """The board's meter while a profile runs; without a board, or one without power, it knows nothing."""

    IDLE_S = 1.0

    def __init__(self, board: Board | None, clock: Clock) -> None:
        self._board, self._clock = board, clock
        self._meter: Meter | None = None
        self._sampler: Sampler | None = None
        self.method = Method.UNAVAILABLE
        if board is None:
            return
        channel = next((c for c in board.channels if c.name == board.energy_channel), None)
        if channel is None:
            return
        self.method = channel.method
        self._meter = Meter.for_channel(channel)
        self._sampler = Sampler(board, clock=clock, meter=self._meter)
        self._sampler.start()

    def idle(self) -> float | None:
        """Mean watts of a second in which nothing runs."""
        if self._sampler is None or self._meter is None:
            return None
        start_ns = self._clock()
        time.sleep(self.IDLE_S)
        self._sampler.wait_past(self._clock(), timeout_s=0.5)
        return self._meter.power_w(self._clock(), self._clock() - start_ns)

    def note(self, variant: str, busy: bool) -> None:
        """Tell a simulated board what runs."""
        if self._board is not None:
            self._board.note(Activity(variant, busy, self._clock()))

    def settle(self) -> None:
        """Wait until the last burst's energy is known."""
        if self._sampler is not None:
            self._sampler.wait_past(self._clock(), timeout_s=0.5)

    def energy_mj(self, burst: _Burst) -> float | None:
        """Millijoules of one inference of the burst."""
        if self._meter is None:
            return None
        energy_uj = self._meter.energy(burst.start_ns, burst.end_ns).energy_uj
        return None if energy_uj is None else energy_uj / 1e3 / len(burst.times_ms)

    def close(self) -> None:
        """End sampling."""
        if self._sampler is not None:
            self._sampler.close()


def _frame(seed: int) -> Frame:
    return np.random.default_rng(seed).integers(0, 256, (480, 640, 3)).astype(np.uint8)


def show(profile: Profile) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    # Into a pipe the table keeps a width that holds it.
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table()
    table.add_column("variant", overflow="fold", min_width=12)
    for column in ("ms", "10-90 %", "p95 ms", "runs", "mJ", "10-90 %", "method"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, cost in profile.costs.items():
        latency = [_figure(cost.latency_ms), _range(cost.p10_ms, cost.p90_ms), _figure(cost.p95_ms), str(cost.runs)]
        energy = [_figure(cost.energy_mj), _range(cost.energy_p10_mj, cost.energy_p90_mj), cost.method]
        table.add_row(name, *latency, *energy)
    console.print(table)
    idle = "not known" if profile.idle_w is None else f"{profile.idle_w:.2f} W"
    notes = [f"{n}: {c.why_unknown}" for n, c in profile.costs.items() if c.why_unknown]
    notes.append(
        f"{profile.library}, {profile.threads} thread(s), {profile.rounds} interleaved rounds; board {profile.board}, "
        f"idle power {idle}"
    )
    for note in notes:
        console.print(note, style="dim", highlight=False)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _range(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.2f}-{high:.2f}"


# -- kept on disk ---------------------------------------------------------------------------------------------------


def profile_folder() -> Path:
    """``$STATE_DIRECTORY`` (systemd) or the user's state folder, and ``profiles`` in it."""
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return Path(state) / "profiles"
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "joulepath" / "profiles"


def save_profile(profile: Profile, folder: Path | None = None) -> Path:
    """Write ``<bundle digest>.json``, at once or not at all. Raises JoulepathError."""
    folder = folder or profile_folder()
    path = folder / f"{profile.digest}.json"
    partial = path.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(asdict(profile), indent=1) + "\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        raise JoulepathError(f"{path}: cannot be written ({error.strerror}); name another folder") from error
    return path


def load_profile(bundle: Bundle, folder: Path | None = None, *, threads: int | None = None) -> Profile | None:
    """The stored profile of this very bundle on this kind of processor, None when there is none that applies.

    One made with another number of threads (where `threads` is given), on another processor, or by another version of
    this format does not apply; nor does a damaged file.
    """
    path = (folder or profile_folder()) / f"{bundle.digest}.json"
    try:
        body = json.loads(path.read_text("utf-8"))
        costs = {name: Cost(**cost) for name, cost in body.pop("costs").items()}
        profile = Profile(costs=costs, **body)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    here = describe_machine()
    applies = (
        profile.format == FORMAT
        and profile.digest == bundle.digest
        and profile.machine.get("cpu") == here.cpu
        and threads in (None, profile.threads)
    )
    return profile if applies else None
