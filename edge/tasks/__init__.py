"""Tasks: what a model's output means, how it is drawn and scored."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge.bundle.manifest import Manifest, Variant
from edge.engines.contract import Array
from edge.errors import JoulepathError
from edge.tasks.classify import ClassifyTask
from edge.tasks.palette import Palette
from edge.tasks.segment import SegmentTask

__all__ = ["ClassifyTask", "SegmentTask", "Task", "open_task"]


class Task(Protocol):
    """The meaning of a bundle's outputs."""

    labels: tuple[str, ...]
    palette: Palette

    def finish(self, output: Array, variant: Variant, size: tuple[int, int]) -> npt.NDArray[Any]:
        """The answer for one frame: a mask HxW uint8 at `size`, or K float32 probabilities."""
        ...

    def score(self, answer: npt.NDArray[Any], truth: npt.NDArray[np.uint8]) -> float | None:
        """How right the answer is, 0..1, None when that cannot be said."""
        ...


def open_task(manifest: Manifest) -> Task:
    """The bundle's task. Raises JoulepathError when this version cannot do it, or an output does not suit it."""
    if manifest.task == "segment":
        return SegmentTask(manifest)
    if manifest.task == "classify":
        return ClassifyTask(manifest)
    raise JoulepathError(f"{manifest.name}: task {manifest.task!r} is not supported yet; segment and classify are")
