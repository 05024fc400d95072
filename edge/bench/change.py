"""What it costs to see that a frame shows nothing new, and what it costs to answer it with the answer before.

A variant's masks are computed for every frame of a clip. Then the change detector decides, at several thresholds, which
of them would have been reused, and the reused masks are held against the computed ones, and against the truth where
there is some. Standing scenes are made of a clip's own pictures: one is held still under noise and drifting light, and
pieces of another are put into it, to see which go unseen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from edge.bench.machine import describe_machine
from edge.bench.record import BenchError, Cell, Goal, Result, Table, now_utc
from edge.bundle.load import Bundle
from edge.change import THRESHOLD, ChangeDetector, compare, thumbnail
from edge.tasks import open_task
from edge.tasks.score import VOID, IncrementalConfusion
from edge.variants import Pool

THRESHOLDS = (2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
NOISES = (0.0, 2.0, 5.0, 10.0)  # standard deviation of a pixel, grey levels
SIZES = (0.01, 0.02, 0.04, 0.08)  # of the picture's width
GOAL_MS = 0.3
_LEAST_CALLS = 600
_TRIALS = 200
_STILL_FRAMES = 90
_DRIFT_PER_S = 0.05
_PICTURES = (".png", ".jpg", ".jpeg")
Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]
Rows = tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Clip:
    """Frames (HxWx3 uint8 BGR) at `fps`, and truth (HxW class ids, VOID where unknown) beside them where there is."""

    name: str
    fps: float
    frames: list[Image]
    truths: list[Mask] | None = None


@dataclass(frozen=True)
class Reuse:
    """What came of one clip at one threshold. `agreement` is the share of pixels of reused masks that are as computed,
    `miou` their mean IoU against the computed ones; None where nothing was reused."""

    clip: str
    threshold: float
    reused_share: float
    agreement: float | None
    miou: float | None
    truth_computed: float | None
    truth_reusing: float | None


def read_clip(path: Path, fps: float | None = None, masks: Path | None = None, void: int = VOID) -> Clip:
    """A video file, or a folder of pictures with masks of the same names in `masks`. Raises BenchError."""
    import cv2

    if path.is_dir():
        names = sorted(file.name for file in path.iterdir() if file.suffix.lower() in _PICTURES)
        frames = [_picture(path / name, cv2.IMREAD_COLOR) for name in names]
        truths = None if masks is None else [_truth(masks / f"{Path(name).stem}.png", void) for name in names]
        rate = fps
    else:
        capture = cv2.VideoCapture(str(path))
        frames, truths, rate = list(_decoded(capture)), None, fps or float(capture.get(cv2.CAP_PROP_FPS))
        capture.release()
    if len(frames) < 2 or not rate:
        raise BenchError(f"{path}: {len(frames)} frames at {rate} fps; give a video, or a folder and --fps")
    return Clip(path.name if masks is None else f"{path.parent.name}/{path.name}", rate, frames, truths)


def _decoded(capture: Any) -> Iterator[Image]:
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield frame


def _picture(path: Path, how: int) -> Image:
    import cv2

    image = cv2.imread(str(path), how)
    if image is None:
        raise BenchError(f"{path}: not a picture that can be read")
    return np.asarray(image, np.uint8)


def _truth(path: Path, void: int) -> Mask:
    import cv2

    mask = _picture(path, cv2.IMREAD_GRAYSCALE)
    return np.where(mask == void, VOID, mask).astype(np.uint8)


def bench_change(
    bundle: Bundle,
    clips: Sequence[Clip],
    *,
    variant: str | None = None,
    longest_s: float = 1.0,
    seed: int = 0,
    command: str = "",
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Result:
    """Measure on `clips`. Raises BenchError for none, EngineError."""
    if not clips:
        raise BenchError("no clip: give --clip VIDEO, or a folder of pictures with --fps")
    chosen = variant or bundle.manifest.variants[0].id
    machine, started = describe_machine(("numpy", "opencv-python-headless", "ai-edge-litert")), now_utc()
    costs = {clip.name: _cost_ms(clip, clock) for clip in clips}
    reuses = [reuse for clip in clips for reuse in _reuses(bundle, clip, chosen, longest_s)]
    still = {clip.name: _still(clip, longest_s, seed) for clip in clips}
    unseen = {clip.name: _seen_things(clip, seed) for clip in clips}
    widest = max(clips, key=lambda clip: clip.frames[0].size)
    return Result(
        name="change",
        title="Frames that show nothing new",
        command=command,
        machine=machine,
        started_utc=started,
        method=(
            f"masks of {bundle.manifest.name}, {chosen}; an answer is renewed after {longest_s:g} s; threshold by "
            f"default {THRESHOLD:g} grey levels",
            "agreement: pixels of reused masks that are as computed for that very frame; mIoU of reused masks against "
            "computed ones; against truth: over all frames, at the truth's size",
            f"still: a clip's first picture, {_STILL_FRAMES} times at 30 fps with Gaussian noise of each pixel, and "
            f"light that drifts by {100 * _DRIFT_PER_S:g} % a second; renewing alone computes "
            f"{1 / (30 * longest_s):.1%}",
            f"things: {_TRIALS} square pieces of the clip's last picture, each at a random place of its first one",
            "cost: every call of the detector over the clip's frames, one thread, pictures in memory",
        ),
        tables=(_cost_table(clips, costs), _reuse_table(reuses), _still_table(still), _things_table(unseen)),
        goals=(
            Goal(
                f"looking at a frame of {_size(widest)}, median",
                float(np.median(costs[widest.name])),
                GOAL_MS,
                " ms",
                at_most=True,
            ),
        ),
        notes=(
            "A camera that moves shows something new with every frame: there is nothing to be had, and a threshold "
            "high enough to reuse there reuses what differs. The gain is for a camera that stands.",
        ),
        details={"reuse": [asdict(one) for one in reuses], "still": still, "things": unseen},
    )


def _cost_ms(clip: Clip, clock: Callable[[], int]) -> list[float]:
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    detector, found = ChangeDetector(), []
    for number in range(max(_LEAST_CALLS, len(clip.frames))):
        frame = clip.frames[number % len(clip.frames)]
        began = clock()
        detector.unchanged(frame, round(number * 1e9 / clip.fps))
        found.append((clock() - began) / 1e6)
    cv2.setNumThreads(before)
    return found


def _reuses(bundle: Bundle, clip: Clip, variant: str, longest_s: float) -> list[Reuse]:
    computed = _computed(bundle, clip, variant)
    return [_reuse(bundle, clip, computed, threshold, longest_s) for threshold in THRESHOLDS]


def _computed(bundle: Bundle, clip: Clip, variant: str) -> list[Mask]:
    """The mask of every frame, at the truth's size, or at the variant's own."""
    task = open_task(bundle.manifest)
    described = next((v for v in bundle.manifest.variants if v.id == variant), None)
    if described is None:
        raise BenchError(f"variant {variant!r} is not in {bundle.manifest.name}")
    masks = []
    with Pool(bundle, threads=1) as pool:
        pool.wait(variant, timeout_s=300)
        for number, frame in enumerate(clip.frames):
            size = (described.input.height, described.input.width)
            if clip.truths is not None:
                size = (clip.truths[number].shape[0], clip.truths[number].shape[1])
            masks.append(task.finish(pool.infer(variant, frame).output, described, size))
    return masks


def _reuse(bundle: Bundle, clip: Clip, computed: list[Mask], threshold: float, longest_s: float) -> Reuse:
    detector, classes = ChangeDetector(threshold, longest_s), len(bundle.manifest.labels)
    reused = [detector.unchanged(frame, round(n * 1e9 / clip.fps)) for n, frame in enumerate(clip.frames)]
    shown, last = [], computed[0]
    for mask, again in zip(computed, reused, strict=True):
        last = last if again else mask
        shown.append(last)
    against, alike = IncrementalConfusion(classes), []
    for mask, given, again in zip(computed, shown, reused, strict=True):
        if again:
            against.add(given, mask)
            alike.append(float((given == mask).mean()))
    return Reuse(
        clip.name,
        threshold,
        sum(reused) / len(reused),
        sum(alike) / len(alike) if alike else None,
        against.miou(),
        _against_truth(clip, computed, classes),
        _against_truth(clip, shown, classes),
    )


def _against_truth(clip: Clip, masks: list[Mask], classes: int) -> float | None:
    if clip.truths is None:
        return None
    confusion = IncrementalConfusion(classes)
    for mask, truth in zip(masks, clip.truths, strict=True):
        confusion.add(mask, truth)
    return confusion.miou()


def _still(clip: Clip, longest_s: float, seed: int) -> dict[str, float]:
    """The share of frames that were computed although nothing changed, by what was laid over the picture."""
    found = {}
    for noise in NOISES:
        for drift in (0.0, _DRIFT_PER_S):
            drawn, detector, computed = np.random.default_rng(seed), ChangeDetector(longest_s=longest_s), 0
            for number in range(_STILL_FRAMES):
                lit = clip.frames[0] * (1 + drift * number / 30) + drawn.normal(0, noise, clip.frames[0].shape)
                image = np.clip(lit, 0, 255).astype(np.uint8)
                computed += not detector.unchanged(image, round(number * 1e9 / 30))
            found[f"noise {noise:g}{', light drifting' if drift else ''}"] = computed / _STILL_FRAMES
    return found


def _seen_things(clip: Clip, seed: int) -> dict[str, dict[str, float]]:
    """The share of things that are seen, by their size and by threshold."""
    before, other = clip.frames[0], clip.frames[-1]
    height, width = before.shape[:2]
    still, drawn = thumbnail(before), np.random.default_rng(seed)
    found: dict[str, dict[str, float]] = {}
    for share in SIZES:
        side, largest = max(2, round(share * width)), []
        for _ in range(_TRIALS):
            top, left, their_top, their_left = (
                int(drawn.integers(0, span - side)) for span in (height, width, height, width)
            )
            image = before.copy()
            image[top : top + side, left : left + side] = other[
                their_top : their_top + side, their_left : their_left + side
            ]
            largest.append(compare(thumbnail(image), still).largest)
        found[f"{share:.0%} of the width"] = {f"{t:g}": float(np.mean(np.array(largest) > t)) for t in THRESHOLDS}
    return found


def _size(clip: Clip) -> str:
    return f"{clip.frames[0].shape[1]}x{clip.frames[0].shape[0]}"


def _cost_table(clips: Sequence[Clip], costs: dict[str, list[float]]) -> Table:
    rows: Rows = tuple(
        (clip.name, _size(clip), *(float(np.percentile(costs[clip.name], q)) for q in (50, 90, 99))) for clip in clips
    )
    return Table("What a look costs", ("clip", "pixels", "p50 ms", "p90 ms", "p99 ms"), rows)


def _reuse_table(reuses: Sequence[Reuse]) -> Table:
    rows: Rows = tuple(
        (
            one.clip,
            one.threshold,
            100 * one.reused_share,
            _percent(one.agreement),
            _percent(one.miou),
            _percent(one.truth_computed),
            _percent(one.truth_reusing),
        )
        for one in reuses
    )
    columns = (
        "clip", "threshold", "frames reused %", "pixels alike %", "mIoU against computed %",
        "mIoU against truth, all computed %", "with reuse %",
    )  # fmt: skip
    return Table("Reuse on real clips", columns, rows)


def _still_table(still: dict[str, dict[str, float]]) -> Table:
    laid_over = list(next(iter(still.values())))
    rows: Rows = tuple((what, *(100 * shares[what] for shares in still.values())) for what in laid_over)
    return Table("A picture that stands still: frames computed %", ("laid over", *still), rows)


def _things_table(things: dict[str, dict[str, dict[str, float]]]) -> Table:
    rows: Rows = tuple(
        (clip, size, *(100 * share for share in shares.values()))
        for clip, sizes in things.items()
        for size, shares in sizes.items()
    )
    columns = ("clip", "size", *(f"at {threshold:g}" for threshold in THRESHOLDS))
    return Table("Things that appear in a still picture: seen %, by threshold", columns, rows)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def change_command(
    clip: Annotated[list[Path], typer.Option(help="video, or folder of pictures; several may be given")],
    fps: Annotated[float | None, typer.Option(min=0.1, help="rate of folders; a video has its own")] = None,
    masks: Annotated[Path | None, typer.Option(help="truth of the folders, masks of the same names")] = None,
    void: Annotated[int, typer.Option(min=0, max=255, help="the class id in masks that counts nowhere")] = VOID,
    bundle: Annotated[Path | None, typer.Option(help="bundle directory; the shipped one when absent")] = None,
    variant: Annotated[str | None, typer.Option(help="whose masks; the bundle's first when absent")] = None,
    record: Annotated[Path | None, typer.Option(help="write NAME.json and NAME.md into this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What it costs to see that a frame shows nothing new, and what reusing the answer before costs in accuracy.

    Example:

      joulepath bench change --clip road.mp4 --clip camvid/val --fps 15 --masks camvid/valannot --void 11
    """
    from edge.bench.output import finish, own_command
    from edge.bundle.load import load_bundle
    from edge.demo.run import BUNDLE

    clips = [read_clip(path, fps if path.is_dir() else None, masks if path.is_dir() else None, void) for path in clip]
    result = bench_change(load_bundle(bundle or BUNDLE), clips, variant=variant, command=own_command())
    finish(result, record, as_json)
