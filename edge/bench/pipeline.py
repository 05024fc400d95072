"""What the daemon costs around a model: frames a second of a whole run against a loop that does nothing but invoke.

A round is one run of the real daemon (camera process, preparing, inference, mask, meter, journal, sampler, steward)
and then, in the same engine process, as many bare inferences of the same variant. The overhead is what a frame takes
longer in the run, so copies, messages and every stall count as overhead. Frames are BMP files: a source that costs
almost nothing to read, since a camera's cost is not the pipeline's.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from edge.bench.interleave import Ratio, Spread, paired_ratio
from edge.bench.machine import describe_machine
from edge.bench.record import BenchError, Cell, Goal, Result, Table, now_utc

if TYPE_CHECKING:
    from edge.ledger import Served
    from edge.pipeline import Shown
    from edge.variants import Pool

WARM_FRAMES = 8  # of a run; the first frames still fault memory in
BARE_WARM = 3
PICTURES = 24
LOADING_S = 15.0
LIVE_FPS = 60.0
GOAL_OVERHEAD = 0.05
NS_PER_MS = 1e6
# No throttling: the simulated board would hold frames back on purpose.
BOARD = "simulated:throttle_c=1000"


@dataclass
class Collector:
    """A sink that keeps what each frame took."""

    served: list[Served] = field(default_factory=list)

    def show(self, shown: Shown) -> None:
        self.served.append(shown.served)

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True)
class Round:
    """One run and its bare loop. Times are milliseconds; a frame's is its mean share of the run."""

    frame_ms: float
    bare_ms: float
    infer_ms: float
    prepare_ms: float
    finish_ms: float
    gap_ms: float  # between the end of one inference and the start of the next


@dataclass(frozen=True)
class Live:
    """One run on a live source."""

    camera_fps: float
    served_fps: float
    frames: int
    skipped: int
    age_ms: Spread
    infer_ms: Spread


def bench_pipeline(
    bundle: Path,
    *,
    variant: str | None = None,
    frames: int = 80,
    rounds: int = 6,
    threads: Sequence[int] = (1, 0),
    camera_size: tuple[int, int] = (480, 640),
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Result:
    """Measure one variant (the most accurate, when None) for each number of threads (0 is every core).

    Raises BenchError for a variant that the bundle lacks and for too few frames, BundleError, EngineError.
    """
    from edge.bundle.load import load_bundle

    if frames <= WARM_FRAMES + 2:
        raise BenchError(
            f"--frames {frames}: a run needs more than {WARM_FRAMES + 2} frames, the first are not counted"
        )
    variants = {v.id: v for v in load_bundle(bundle).manifest.variants}
    chosen = variant or max(variants.values(), key=lambda v: v.accuracy[0].value if v.accuracy else -1.0).id
    if chosen not in variants:
        raise BenchError(f"{bundle}: has no variant {chosen!r}; it has: {', '.join(variants)}")
    machine, started = (
        describe_machine(("ai-edge-litert", "tflite-runtime", "numpy", "opencv-python-headless")),
        now_utc(),
    )
    measured: dict[int, list[Round]] = {}
    live: dict[int, tuple[Live, Live]] = {}
    with tempfile.TemporaryDirectory(prefix="joulepath-bench-") as temporary:
        bench = _Bench(bundle, chosen, Path(temporary), camera_size)
        for count in threads:
            measured[count] = []
            for number in range(rounds):
                say(f"{_threads(count)}: round {number + 1} of {rounds}")
                measured[count].append(bench.round(count, frames))
            say(f"{_threads(count)}: live sources")
            bare_ms = Spread.of([one.bare_ms for one in measured[count]]).median
            slow_fps = max(1.0, min(LIVE_FPS / 2, round(500 / bare_ms, 1)))
            live[count] = bench.live(count, slow_fps, frames, bare_ms), bench.live(count, LIVE_FPS, frames, bare_ms)
    size = variants[chosen].input
    return Result(
        name="pipeline",
        title="Pipeline overhead over the bare model",
        command=command,
        machine=machine,
        started_utc=started,
        method=_METHOD,
        tables=(
            _overhead_table(f"{chosen}, {size.height}x{size.width}, {rounds} rounds of {frames} frames", measured),
            _live_table(live),
        ),
        goals=tuple(_goals(measured, live)),
        notes=(f"camera frames are {camera_size[0]}x{camera_size[1]}, bundle {bundle.name}",),
        details={
            "rounds": {_threads(count): [asdict(one) for one in found] for count, found in measured.items()},
            "live": {_threads(count): [asdict(one) for one in pair] for count, pair in live.items()},
        },
    )


class _Bench:
    """What all runs share: the bundle, the variant, a folder of pictures."""

    def __init__(self, bundle: Path, variant: str, folder: Path, camera_size: tuple[int, int]) -> None:
        self._bundle, self._variant, self._folder = bundle, variant, folder
        self._pictures = _write_pictures(folder / "pictures", camera_size)
        self._runs = 0

    def round(self, threads: int, frames: int) -> Round:
        with self._run(self._source(frames), threads, frames) as (served, pool):
            bare_ms = bare_loop(pool, self._variant, frames)
        steady = served[WARM_FRAMES:]
        span_ns = steady[-1].start_ns - steady[0].start_ns
        return Round(
            frame_ms=span_ns / (len(steady) - 1) / NS_PER_MS,
            bare_ms=bare_ms,
            infer_ms=_median_ms([s.infer_end_ns - s.start_ns for s in steady]),
            prepare_ms=_median_ms([s.prepare_ns for s in steady]),
            finish_ms=_median_ms([s.finish_ns for s in steady]),
            gap_ms=_median_ms([after.start_ns - before.infer_end_ns for before, after in pairwise(steady)]),
        )

    def live(self, threads: int, fps: float, frames: int, bare_ms: float) -> Live:
        # A live folder goes on while the engine loads and while frames are passed over: it must not end before.
        run_s = LOADING_S + 2 * frames * max(bare_ms / 1e3, 1 / fps)
        with self._run(f"{self._source(math.ceil(fps * run_s))}@{fps:g}", threads, frames) as (served, _):
            steady = served[WARM_FRAMES:]
        return Live(
            camera_fps=fps,
            served_fps=rate_fps([s.done_ns for s in steady]),
            frames=len(steady),
            skipped=sum(s.skipped for s in steady[1:]),
            age_ms=Spread.of([(s.done_ns - s.captured_ns) / NS_PER_MS for s in steady]),
            infer_ms=Spread.of([(s.infer_end_ns - s.start_ns) / NS_PER_MS for s in steady]),
        )

    def _source(self, frames: int) -> Path:
        """A folder of `frames` names for the same few pictures."""
        folder = self._folder / f"source-{frames}"
        if not folder.exists():
            folder.mkdir()
            for number in range(frames):
                os.link(self._pictures[number % len(self._pictures)], folder / f"{number:06d}.bmp")
        return folder

    @contextmanager
    def _run(self, camera: Path | str, threads: int, frames: int) -> Iterator[tuple[list[Served], Pool]]:
        """The frames of one run of the daemon, and its pool while the engine is still there and the rest is silent."""
        from edge.daemon import Daemon, RunOptions

        self._runs += 1
        options = RunOptions(
            bundle=self._bundle,
            camera=str(camera) + ",masks=none",
            board=BOARD,
            journal=self._folder / f"run-{self._runs}.db",
            frames=frames,
            pin=self._variant,
            threads=threads,
        )
        collector = Collector()
        with Daemon(options) as daemon:
            daemon.add_sink(collector)
            daemon.run()
            daemon.sampler.close()
            if len(collector.served) < frames:
                raise BenchError(f"the run ended after {len(collector.served)} of {frames} frames; see its messages")
            yield collector.served, daemon.pool


def bare_loop(pool: Pool, variant: str, frames: int) -> float:
    """Mean milliseconds of `invoke` alone, frame after frame, input already in place."""
    for _ in range(BARE_WARM):
        pool.submit(variant, 0)
        pool.result()
    total_ns = 0
    for _ in range(frames):
        pool.submit(variant, 0)
        total_ns += pool.result().invoke_ns
    return total_ns / frames / NS_PER_MS


def rate_fps(done_ns: Sequence[int]) -> float:
    """Frames a second by a straight line through all instants: one late frame at an end does not change the rate."""
    slope_ns = np.polyfit(np.arange(len(done_ns)), np.asarray(done_ns, np.float64) - done_ns[0], 1)[0]
    return float(1e9 / slope_ns)


def _write_pictures(folder: Path, size: tuple[int, int]) -> list[Path]:
    import cv2

    from edge.cameras.synthetic import SyntheticStreet

    folder.mkdir()
    street = SyntheticStreet(*size, seed=7)
    paths = [folder / f"{number:02d}.bmp" for number in range(PICTURES)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), street.render(number / 15)[0])
    return paths


# -- reporting ------------------------------------------------------------------------------------------------

_METHOD = (
    "A round is one run of the daemon and then, in the same engine process, as many bare inferences, all other "
    "threads silent; rounds follow one another. The overhead is (time of a frame in the run) / (time of `invoke` "
    "alone) - 1, its interval a 95 % bootstrap over rounds.",
    f"A frame's time in a run is the mean over all frames but the first {WARM_FRAMES}, from start to start of "
    "inference. Prepare and finish overlap inference; gap is the time that the engine waits between two frames.",
    "The source of the first table is a folder of BMP files, every frame of it; the journal, the meter and the sampler "
    "of the simulated board (100 Hz) run as always.",
    "Live: the same pictures as a camera of a fixed rate; age is from capture to finished mask.",
)


def _threads(count: int) -> str:
    return "every core" if count == 0 else f"{count} thread{'s' * (count > 1)}"


def _overhead(found: Sequence[Round]) -> Ratio:
    return paired_ratio([one.frame_ms for one in found], [one.bare_ms for one in found])


def _overhead_table(title: str, measured: dict[int, list[Round]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for count, found in measured.items():
        ratio = _overhead(found)

        def middle(name: str, found: Sequence[Round] = found) -> float:
            return Spread.of([getattr(one, name) for one in found]).median

        frame_ms, bare_ms = middle("frame_ms"), middle("bare_ms")
        percent = f"{100 * (ratio.median - 1):.1f} ({100 * (ratio.low - 1):.1f} to {100 * (ratio.high - 1):.1f})"
        rows.append(
            (
                _threads(count), 1000 / bare_ms, 1000 / frame_ms, bare_ms, frame_ms, percent,
                middle("prepare_ms"), middle("finish_ms"), middle("gap_ms"),
            )
        )  # fmt: skip
    columns = (
        "inference", "bare fps", "pipeline fps", "bare ms", "frame ms", "overhead % (95 %)", "prepare ms", "finish ms",
        "gap ms",
    )  # fmt: skip
    return Table(title, columns, tuple(rows))


def _live_table(live: dict[int, tuple[Live, Live]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for count, pair in live.items():
        for one in pair:
            age = one.age_ms
            rows.append(
                (
                    _threads(count), one.camera_fps, one.served_fps, one.frames, one.skipped,
                    age.median, age.p10, age.p90, one.infer_ms.median,
                )
            )  # fmt: skip
    columns = (
        "inference", "camera fps", "served fps", "frames", "skipped", "age ms", "age p10", "age p90", "infer ms",
    )  # fmt: skip
    return Table("Live sources: a slow camera, and one faster than the model", columns, tuple(rows))


def _goals(measured: dict[int, list[Round]], live: dict[int, tuple[Live, Live]]) -> Iterator[Goal]:
    for count, found in measured.items():
        ratio = _overhead(found)
        interval = (100 * (ratio.low - 1), 100 * (ratio.high - 1))
        what = f"overhead over the bare invoke loop, {_threads(count)}"
        yield Goal(what, 100 * (ratio.median - 1), 100 * GOAL_OVERHEAD, " %", at_most=True, interval=interval)
    for count, (slow, _) in live.items():
        at = f"camera of {slow.camera_fps:g} fps, {_threads(count)}"
        yield Goal(
            f"share of the camera's rate that is served, {at}", 100 * slow.served_fps / slow.camera_fps, 99.0, " %"
        )
        yield Goal(f"frames lost, {at}", slow.skipped, 0, at_most=True)


def _median_ms(values_ns: Sequence[int]) -> float:
    return float(np.median(values_ns)) / NS_PER_MS


# -- the command ----------------------------------------------------------------------------------------------


def pipeline_command(
    bundle: Annotated[Path | None, typer.Option(help="bundle directory; the shipped one when absent")] = None,
    variant: Annotated[str | None, typer.Option(help="variant id; the most accurate when absent")] = None,
    frames: Annotated[int, typer.Option(min=12, help="frames of a run")] = 80,
    rounds: Annotated[int, typer.Option(min=1, help="runs, each with its bare loop")] = 6,
    threads: Annotated[str, typer.Option(help="comma-separated thread counts; 0 is every core")] = "1,0",
    record: Annotated[Path | None, typer.Option(help="write pipeline.json and pipeline.md into this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    from edge.bench.output import finish, note, own_command
    from edge.demo.run import BUNDLE

    counts = _counts(threads)
    result = bench_pipeline(
        bundle or BUNDLE, variant=variant, frames=frames, rounds=rounds, threads=counts, command=own_command(), say=note
    )
    finish(result, record, as_json)


def _counts(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise typer.BadParameter(f"--threads {text!r}: write whole numbers separated by commas, such as 1,0")
    return tuple(dict.fromkeys(int(part) for part in parts))
