"""What is reported of the chosen paths: scored on the user's set at the masks' own resolution, timed side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from converters.errors import ConvertError
from converters.evaluate import Score, spread, summarise
from converters.paths import ExecutionPath
from converters.search.contract import LatencyKind, Measured, Refused, Say
from converters.search.images import Frame, ImageSource, Mask, at_size, open_images
from converters.search.pareto import frontier
from converters.search.running import Running, interleaved
from edge.tasks.score import IncrementalConfusion
from edge.tasks.upsample import upsampled_argmax

_ROUNDS = 40
_EXAMPLES = 3
_SAY_EVERY = 20


@dataclass(frozen=True)
class Difference:
    """A path's mIoU less the full path's on the same images, with a 95 % interval of a paired bootstrap."""

    miou: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Final:
    """A chosen path. `score` is on the reported set, None when none was given; `search` is what the search knew.

    `latency_ms` is what budgets and the frontier go by; `here_ms` and `speedup` (over the full path, with the tenth and
    ninetieth percentile) were measured on this machine, all paths taking turns.
    """

    search: Measured
    latency_ms: float
    latency_kind: LatencyKind
    here_ms: float
    speedup: float
    speedup_range: tuple[float, float]
    score: Score | None
    difference: Difference | None
    agreement: float

    @property
    def path(self) -> ExecutionPath:
        """Its path, with the name that it is reported under."""
        return self.search.path

    @property
    def accuracy(self) -> float:
        """On the reported set; on the search set where there is none."""
        return self.search.accuracy if self.score is None else self.score.miou


@dataclass(frozen=True)
class Example:
    """One image of the set, its truth where there are labels, and each path's mask, all at the image's resolution."""

    frame: Frame
    truth: Mask | None
    masks: Mapping[str, Mask]


@dataclass(frozen=True)
class Finals:
    """`kept` from the slowest to the fastest, the full path among them; `refused` of the chosen, and why."""

    kept: tuple[Final, ...]
    refused: tuple[Refused, ...]
    examples: tuple[Example, ...]
    dataset: str | None
    images: int


def judge(
    built: Callable[[ExecutionPath], bytes],
    chosen: Sequence[Measured],
    labels: Sequence[str],
    size: tuple[int, int],
    *,
    dataset: str | None,
    fallback: str,
    limit: int | None = None,
    threads: int = 1,
    keep_predicted: bool = False,
    say: Say = lambda _: None,
) -> Finals:
    """Judge the `chosen` paths, the full one first. Without a `dataset` examples come from `fallback`, unscored.

    `keep_predicted` lets predicted latencies stand (a table of another board). Raises ConvertError and EngineError.
    """
    source = open_images(dataset or fallback, labels)
    with ExitStack() as stack:
        models = {each.path.name: stack.enter_context(Running(built(each.path), threads)) for each in chosen}
        sizes = {each.path.name: each.path.size or size for each in chosen}
        say(f"timing {len(models)} paths side by side")
        times = interleaved(models, _ROUNDS)
        indices = spread(len(source), limit if dataset else _EXAMPLES)
        seen = _look(models, sizes, source, indices, len(labels), say)
    scored = dataset is not None and seen.labelled
    if dataset is not None and not seen.labelled:
        raise ConvertError(f"--dataset {dataset}: has no labels to score on; leave it out, or give a labelled set")
    scores = {score.variant_id: score for score in summarise(seen.counts, labels, source.spec)} if scored else {}
    full = times[chosen[0].path.name]
    finals = []
    for each in chosen:
        name = each.path.name
        here_ms = float(np.median(times[name]))
        ratios = full / times[name]
        low, high = np.percentile(ratios, [10, 90])
        predicted = keep_predicted and each.latency_kind == "predicted"
        finals.append(
            Final(
                search=each,
                latency_ms=each.latency_ms if predicted else here_ms,
                latency_kind="predicted" if predicted else "measured",
                here_ms=here_ms,
                speedup=float(np.median(ratios)),
                speedup_range=(float(low), float(high)),
                score=scores.get(name),
                difference=_difference(seen.counts, chosen[0].path.name, name, labels) if scored else None,
                agreement=seen.agreement[name],
            )
        )
    return _without_dominated(finals, seen.examples, dataset, len(indices))


def _difference(counts: Mapping[str, npt.NDArray[np.int64]], full: str, name: str, labels: Sequence[str]) -> Difference:
    """From `summarise` of the two alone, which states the worse one against the better one."""
    if name == full:
        return Difference(0.0, (0.0, 0.0))
    first, second = summarise({full: counts[full], name: counts[name]}, labels, "")
    if second.difference < 0 or first.difference == 0:
        return Difference(second.difference, second.difference_interval)
    return Difference(-first.difference, (-first.difference_interval[1], -first.difference_interval[0]))


def _without_dominated(
    finals: Sequence[Final], examples: Sequence[Example], dataset: str | None, images: int
) -> Finals:
    by_name = {each.path.name: each for each in finals}
    found = frontier([replace(each.search, accuracy=each.accuracy, latency_ms=each.latency_ms) for each in finals])
    names = {each.path.name for each in found.kept}
    # The full path is what all others are measured by: it stays whatever beats it.
    reference = finals[0].path.name
    where = f" on {dataset}" if dataset else ""
    kept = sorted(
        (each for name, each in by_name.items() if name in names or name == reference),
        key=lambda each: (each.path.name != reference, -each.latency_ms),
    )
    refused = [replace(each, reason=each.reason + where) for each in found.refused if each.path.name != reference]
    return Finals(tuple(kept), tuple(refused), tuple(examples), dataset, images)


@dataclass
class _Seen:
    counts: dict[str, npt.NDArray[np.int64]]
    agreement: dict[str, float]
    examples: list[Example]
    labelled: bool


def _look(
    models: Mapping[str, Running],
    sizes: Mapping[str, tuple[int, int]],
    source: ImageSource,
    indices: Sequence[int],
    classes: int,
    say: Say,
) -> _Seen:
    """Run every path on every image; keep confusions, agreement with the first path, and a few images as examples."""
    shown = set(spread(len(indices), _EXAMPLES))
    seen = _Seen({name: np.zeros((len(indices), classes, classes + 1), np.int64) for name in models}, {}, [], True)
    same, pixels = dict.fromkeys(models, 0), 0
    for number, index in enumerate(indices):
        frame, truth = source.read(index)
        seen.labelled &= truth is not None
        shape = (frame.shape[0], frame.shape[1])
        masks = {name: upsampled_argmax(model(at_size(frame, sizes[name])), shape) for name, model in models.items()}
        full = next(iter(masks.values()))
        pixels += full.size
        for name, mask in masks.items():
            same[name] += int((mask == full).sum())
            if truth is not None:
                counted = IncrementalConfusion(classes)
                counted.add(mask, truth)
                seen.counts[name][number] = counted.matrix
        if number in shown:
            seen.examples.append(Example(frame, truth, masks))
        if (number + 1) % _SAY_EVERY == 0:
            say(f"{number + 1} of {len(indices)} images of {source.spec} with {len(models)} paths")
    seen.agreement = {name: count / pixels for name, count in same.items()}
    return seen
