"""Segmentation: what the output tensors of models mean, as a mask of class ids at the size that is wanted."""

from __future__ import annotations

import cv2
import numpy as np

from edge.bundle.manifest import Manifest, OutputSpec, Variant
from edge.engines.contract import Array
from edge.errors import JoulepathError
from edge.tasks.draw import resize_mask
from edge.tasks.palette import Palette, palette_for
from edge.tasks.score import miou
from edge.tasks.upsample import MAX_CLASSES, Mask, upsampled_argmax


class SegmentTask:
    """Masks, scored by mean IoU."""

    def __init__(self, manifest: Manifest) -> None:
        """Raises JoulepathError for labels or outputs that make no mask."""
        if len(manifest.labels) > MAX_CLASSES:
            raise JoulepathError(f"{manifest.name}: {len(manifest.labels)} labels; masks hold at most {MAX_CLASSES}")
        for variant in manifest.variants:
            if variant.output.kind == "scores":
                raise JoulepathError(f"{manifest.name}: variant {variant.id!r} gives scores, not a mask")
        self.labels = manifest.labels
        self.palette: Palette = palette_for(manifest.labels, manifest.palette)

    def finish(self, output: Array, variant: Variant, size: tuple[int, int]) -> Mask:
        """The mask (HxW uint8 class ids) at `size` (H, W) from the variant's raw output tensor."""
        return to_mask(output, variant.output, size)

    def score(self, answer: Mask, truth: Mask) -> float | None:
        """The frame's mean IoU over the classes that occur in `truth` (0..1), None when all of it is void."""
        return miou(answer, truth, len(self.labels))


def to_mask(output: Array, spec: OutputSpec, size: tuple[int, int]) -> Mask:
    """The mask (HxW uint8 class ids) at `size` (H, W) that an output tensor means."""
    if spec.kind == "logits":
        return upsampled_argmax(output.reshape(spec.shape[-3:]), size)
    plane = output.reshape(spec.shape[1:3])
    if spec.kind == "class_ids":
        return resize_mask(plane.astype(np.uint8), size)
    return _foreground(plane, spec, size)


def _foreground(plane: Array, spec: OutputSpec, size: tuple[int, int]) -> Mask:
    probability = plane.astype(np.float32, copy=False)
    threshold = spec.threshold
    if spec.quantum is not None:
        # The threshold is brought to the stored numbers, not the numbers to the threshold.
        threshold = threshold / spec.quantum + (spec.zero_point or 0)
    if probability.shape != size:
        probability = cv2.resize(probability, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.greater_equal(probability, threshold).view(np.uint8)
