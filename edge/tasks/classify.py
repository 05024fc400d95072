"""Classification: scores to a label and how sure the model is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.bundle.manifest import Manifest, OutputSpec, Variant
from edge.engines.contract import Array
from edge.errors import JoulepathError
from edge.tasks.palette import Palette, palette_for

Probabilities = npt.NDArray[np.float32]
_SUM_TOLERANCE = 0.05  # 1001 probabilities quantized to 1/256 do not add up to exactly one


@dataclass(frozen=True)
class Answer:
    """One class, `probability` 0..1."""

    index: int
    label: str
    probability: float


class ClassifyTask:
    """Probabilities for each label."""

    def __init__(self, manifest: Manifest) -> None:
        """Raises JoulepathError for a variant whose output is no vector of scores, one a label."""
        for variant in manifest.variants:
            count = int(np.prod(variant.output.shape))
            if variant.output.kind != "scores" or count != len(manifest.labels):
                raise JoulepathError(
                    f"{manifest.name}: variant {variant.id!r} gives {count} {variant.output.kind}; "
                    f"classification needs one score for each of the {len(manifest.labels)} labels"
                )
        self.labels = manifest.labels
        self.palette: Palette = palette_for(manifest.labels, manifest.palette)

    def finish(self, output: Array, variant: Variant, size: tuple[int, int]) -> Probabilities:
        """K float32 probabilities; `size` plays no part."""
        return to_probabilities(output, variant.output)

    def score(self, answer: Probabilities, truth: npt.NDArray[np.uint8]) -> float | None:
        """Masks say nothing about a label."""
        return None

    def best(self, answer: Probabilities, count: int = 1) -> tuple[Answer, ...]:
        """The most probable classes, best first; of equals the lower index."""
        order = np.argsort(-answer, kind="stable")[:count]
        return tuple(Answer(int(i), self.labels[int(i)], float(answer[i])) for i in order)


def to_probabilities(output: Array, spec: OutputSpec) -> Probabilities:
    """K float32 probabilities from a tensor of scores: dequantized, and through a softmax unless they already are."""
    scores = output.ravel().astype(np.float32)
    if spec.quantum is not None:
        scores = (scores - (spec.zero_point or 0)) * np.float32(spec.quantum)
    already = scores.min() >= 0 and scores.max() <= 1 and abs(float(scores.sum()) - 1) <= _SUM_TOLERANCE
    if not already:
        scores = np.exp(scores - scores.max())
    probabilities: Probabilities = scores / scores.sum()
    return probabilities
