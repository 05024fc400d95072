"""A SegFormer along a path: built by the workshop, converted, scored on the search set, timed or its time predicted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from converters.families import segformer
from converters.litert import to_litert
from converters.ops.count import CountOps
from converters.paths import ExecutionPath
from converters.quiet import quiet
from converters.search.contract import LatencyKind, Measured
from converters.search.identity import digest
from converters.search.images import ImageSource, at_size, chosen, content_hash, open_images
from converters.search.running import SIGNATURE, Running, interleaved, ratio
from converters.search.scoring import Mask, confusion, grid_of, mask_of, mean_iou, truth_at
from converters.search.threads import compute_on_one_thread
from converters.workshop import Workshop

# Raised when the same path would get other numbers than before.
VERSION = 1
_ROUNDS = 25


class LatencyModel(Protocol):
    """Predicts the time of a network from a board's latency table."""

    def predict_ms(self, network: segformer.Network, size: tuple[int, int]) -> float:
        """One inference, milliseconds."""
        ...


@dataclass(frozen=True)
class SegformerSpec:
    """What to evaluate with. `table` is a latency table (JSON), or None to time each path beside the full one.

    `reference_ms` is then the full path's time on this machine: a path's time is that times its ratio to the full path
    in interleaved runs, which does not change when other workers slow both down.
    """

    weights: str
    size: tuple[int, int]
    calibration: str
    search_set: str
    calibration_images: int = 32
    search_images: int = 64
    table: Path | None = None
    reference_ms: float | None = None
    threads: int = 1

    @property
    def fingerprint(self) -> str:
        """Of everything that decides a number: weights, both sets' images, the table, the versions."""
        weights = segformer.load(self.weights)
        learnt, compared = self.indices()
        calibration, search = open_images(self.calibration, None), open_images(self.search_set, weights.config.labels)
        return digest(
            f"{VERSION} {self.size} {self.threads} {self.reference_ms}",
            str(weights.sha256),
            content_hash(calibration, learnt),
            content_hash(search, compared),
            "" if self.table is None else self.table.read_text(encoding="utf-8"),
        )

    def indices(self) -> tuple[list[int], list[int]]:
        """The images used of the calibration set and of the search set. Raises ConvertError."""
        return chosen(self.calibration, self.calibration_images, self.search_set, self.search_images)

    def build(self) -> SegformerEvaluator:
        """In a worker: read weights and images. Raises JoulepathError."""
        compute_on_one_thread()
        return SegformerEvaluator(self)


class SegformerEvaluator:
    """Holds weights, images and what the workshop learnt from them."""

    def __init__(self, spec: SegformerSpec) -> None:
        self.spec = spec
        self.weights = segformer.load(spec.weights)
        learnt, compared = spec.indices()
        calibration = open_images(spec.calibration, None)
        self.workshop = Workshop(self.weights, [calibration.read(index)[0] for index in learnt], spec.size)
        source = open_images(spec.search_set, self.weights.config.labels)
        self._frames, self._truths = self._read(source, compared)
        self._latency: LatencyModel | None = None if spec.table is None else _latency_model(spec.table)

    def __call__(self, path: ExecutionPath) -> Measured:
        """Raises ConvertError for a path that cannot be built, StudyError when the table cannot tell its time."""
        with quiet():
            return self._measured(path)

    def _measured(self, path: ExecutionPath) -> Measured:
        network, content = self.built(path)
        size = path.size or self.spec.size
        ops = CountOps()
        segformer.build(ops, network, size)
        cost = ops.cost()
        with Running(content, self.spec.threads) as model:
            accuracy = self._score(model, size)
            latency_ms, kind = self._time(model, network, size)
        return Measured(path, accuracy, latency_ms, kind, cost.macs, cost.parameters, len(content))

    def built(self, path: ExecutionPath) -> tuple[segformer.Network, bytes]:
        """The network along a path, and its float32 file of one signature."""
        with quiet():
            network = self.workshop.network(path)
        builders = segformer.builders({SIGNATURE: network}, path.size or self.spec.size)
        return network, to_litert(builders, {segformer.INPUT: (1, *(path.size or self.spec.size), 3)}).content

    def _read(self, source: ImageSource, indices: list[int]) -> tuple[list[Mask], list[Mask] | None]:
        grid = grid_of(self.spec.size)
        frames, truths = [], []
        for index in indices:
            frame, mask = source.read(index)
            frames.append(frame)
            if mask is not None:
                truths.append(truth_at(mask, grid))
        return frames, truths or None

    @cached_property
    def _full(self) -> Running:
        return Running(self.built(self.weights.space.full())[1], self.spec.threads)

    @cached_property
    def _wanted(self) -> list[Mask]:
        """The truth at the grid; what the full network says where there are no labels."""
        if self._truths is not None:
            return self._truths
        grid = grid_of(self.spec.size)
        return [mask_of(self._full(at_size(frame, self.spec.size)), grid) for frame in self._frames]

    def _score(self, model: Running, size: tuple[int, int]) -> float:
        grid, classes = grid_of(self.spec.size), self.weights.config.classes
        return mean_iou(
            sum(
                (
                    confusion(mask_of(model(at_size(frame, size)), grid), truth, classes)
                    for frame, truth in zip(self._frames, self._wanted, strict=True)
                ),
                start=confusion(self._wanted[0][:0], self._wanted[0][:0], classes),
            )
        )

    def _time(self, model: Running, network: segformer.Network, size: tuple[int, int]) -> tuple[float, LatencyKind]:
        if self._latency is not None:
            # A table that lacks a unit is wrong for all of the search, not for this path: the error ends it.
            return self._latency.predict_ms(network, size), "predicted"
        times = interleaved({"full": self._full, "path": model}, _ROUNDS)
        reference_ms = self.spec.reference_ms or float(sorted(times["full"])[_ROUNDS // 2])
        return reference_ms * ratio(times["path"], times["full"]), "measured"


def _latency_model(table: Path) -> LatencyModel:
    from converters.latency import LatencyModel as TableModel
    from converters.latency import LatencyTable

    return TableModel(LatencyTable.read(table))
